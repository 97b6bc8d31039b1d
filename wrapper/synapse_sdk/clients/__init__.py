"""Clients of the servers that the SDK speaks to."""
