"""Logging to stderr with `SYNAPSE_LOG=debug` or `info`."""

from __future__ import annotations

import logging
import sys
import warnings

LOG = logging.getLogger("synapse_agent_sdk")
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO}


class StderrHandler(logging.StreamHandler):  # type: ignore[type-arg]  # generic only for type checkers
    """Writes to the current stderr, unless the program has its own handler."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, unless another handler receives it too."""
        handlers = [*LOG.handlers, *(logging.getLogger().handlers if LOG.propagate else ())]
        if all(handler is self or isinstance(handler, logging.NullHandler) for handler in handlers):
            self.stream = sys.stderr  # it may have been redirected
            super().emit(record)


HANDLER = StderrHandler()
HANDLER.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s: %(message)s"))


def enable_logging(level: str) -> None:
    """Log to stderr at a level; repeated calls do nothing, so that the program can change the level.

    Args:
        level: `debug` or `info`, case-insensitive. Other values cause a warning.
    """
    if HANDLER in LOG.handlers:
        return
    if level.strip().lower() not in LEVELS:
        msg = f"invalid SYNAPSE_LOG {level!r:.100}: use debug or info"
        warnings.warn(msg, RuntimeWarning, stacklevel=3)
        return
    LOG.setLevel(LEVELS[level.strip().lower()])
    LOG.addHandler(HANDLER)
