"""The local agent, through its socket and its command line."""
