"""The executor on this machine: workers, environments and limits."""
