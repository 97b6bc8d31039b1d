"""Summary of a CSV file."""
