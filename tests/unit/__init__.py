"""What decides: pure functions, one at a time, without a network."""
