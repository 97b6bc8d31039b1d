"""Benchmarks of the SDK and the local agent against alternatives."""
