"""Tests of the contract and of everything generated from it."""
