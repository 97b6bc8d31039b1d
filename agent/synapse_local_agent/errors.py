"""What can be wrong with what the agent is given to work with."""

from __future__ import annotations


class RegistryError(Exception):
    """A registry or a plugin in it is not as it should be; the message says what to do, in one line."""
