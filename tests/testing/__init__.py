"""Tests of the testing package: the fault proxy, the fixtures and the example."""
