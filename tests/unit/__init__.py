"""Unit tests: pure functions, without a network."""
