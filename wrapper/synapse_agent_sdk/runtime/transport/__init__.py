"""Connections below httpx: deadlines, pools, and all that is private of httpx and httpcore (`_private`)."""
