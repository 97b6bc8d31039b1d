"""What is given to those who test code that calls agents: the proxy with its faults, the fixtures, the example."""
