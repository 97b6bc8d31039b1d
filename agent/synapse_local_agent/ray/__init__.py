"""Running jobs on a Ray cluster: `executor` in the agent, `gateway` beside it, and `actor` on the nodes."""
