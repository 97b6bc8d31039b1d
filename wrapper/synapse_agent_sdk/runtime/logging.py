"""`SYNAPSE_LOG=debug` or `info`: the log on stderr, without code."""

from __future__ import annotations

import logging
import sys
import warnings

LOG = logging.getLogger("synapse_agent_sdk")
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO}


class StderrHandler(logging.StreamHandler):  # type: ignore[type-arg]  # generic for type checkers alone
    """Writes to what stderr is at the time, and only where the program itself has set up no handler, now or later."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, unless a handler of the program's gets it too."""
        handlers = [*LOG.handlers, *(logging.getLogger().handlers if LOG.propagate else ())]
        if all(handler is self or isinstance(handler, logging.NullHandler) for handler in handlers):
            self.stream = sys.stderr  # another than before, where it was redirected
            super().emit(record)


HANDLER = StderrHandler()
HANDLER.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s: %(message)s"))


def enable_logging(level: str) -> None:
    """Do as `SYNAPSE_LOG` says; a second time it changes nothing, so that the program may.

    Args:
        level: `debug` or `info`, in any case. Anything else is warned of.
    """
    if HANDLER in LOG.handlers:
        return
    if level.strip().lower() not in LEVELS:
        msg = f"SYNAPSE_LOG is {level!r:.100}, which switches nothing on: it takes debug or info"
        warnings.warn(msg, RuntimeWarning, stacklevel=3)
        return
    LOG.setLevel(LEVELS[level.strip().lower()])
    LOG.addHandler(HANDLER)
