"""Connections: deadlines, pools, and uses of httpx and httpcore internals (`_private`)."""
