"""The command line, in pipes and in a real pseudo-terminal, against a real agent."""
