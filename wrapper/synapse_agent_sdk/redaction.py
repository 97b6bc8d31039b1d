"""Keeps secrets out of messages, for the client and the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MASK = "(secret)"
FEWEST_CHARACTERS = 6
"""Shorter secrets are not redacted: they could be part of any word."""


def redactable(secrets: Iterable[str | None]) -> tuple[str, ...]:
    """The secrets that are long enough to redact.

    Example:
        >>> redactable(["token-1", "ab", None])
        ('token-1',)
    """
    return tuple(secret for secret in secrets if secret and len(secret) >= FEWEST_CHARACTERS)


def redact(text: str, secrets: Iterable[str]) -> str:
    """Replace each secret in a string.

    Example:
        >>> redact("401: token-1 has expired", ["token-1"])
        '401: (secret) has expired'
    """
    for secret in secrets:
        text = text.replace(secret, MASK)
    return text
