"""Setup for all tests."""

from __future__ import annotations

import signal

# Shells make background jobs ignore SIGINT, and the programs that the tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
