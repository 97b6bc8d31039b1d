"""What all tests share."""

from __future__ import annotations

import signal

# A shell's job in the background ignores Ctrl-C, and so would every program that the tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
