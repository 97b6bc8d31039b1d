"""The clients, under the published import paths."""
