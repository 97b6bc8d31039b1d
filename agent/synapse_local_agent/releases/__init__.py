"""Releases: the registry they come from, their files, and the store that caches them."""
