"""The Ray executor: `executor` in the agent, `gateway` beside it, and `actor` on the nodes."""
