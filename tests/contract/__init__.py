"""The contract: that it is sound, and that everything made from it is what it says."""
