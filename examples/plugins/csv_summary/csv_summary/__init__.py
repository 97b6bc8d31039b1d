"""A summary of a CSV file."""
