"""Releases: the registry, plugin files, and the store."""
