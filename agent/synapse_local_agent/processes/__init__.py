"""The executor on this machine: workers, their environments, and what they may take."""
