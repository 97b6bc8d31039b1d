"""Tests of the SDK and the local agent."""
