"""Statistics of a text file."""
