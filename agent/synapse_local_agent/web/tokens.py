"""The agent token: its validation, and the token file in the data folder."""

from __future__ import annotations

import contextlib
import os
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

FILE = "token"


class TokenError(ValueError):
    """The token is invalid; the message says what to do, in one line, and never shows the token."""


def validate(token: str, origin: str) -> str:
    """Check that a token can be sent in a header, and return it.

    Args:
        token: The token.
        origin: Where it comes from, for the message.

    Raises:
        TokenError: If it is empty, which would let everyone in, or has characters that a header cannot carry.
    """
    if not token or not all("!" <= character <= "~" for character in token):
        msg = f"{origin} must be one or more visible ASCII characters without spaces (it is not shown here)"
        raise TokenError(msg)
    return token


def load_or_create(folder: Path) -> str:
    """Return the token in the data folder; create it, readable only by its owner, if there is no file yet.

    The agent holds the lock of the folder (see `data_lock`), so no other agent creates one at the same time.

    Raises:
        TokenError: If the file exists but holds no valid token.
    """
    path = folder / FILE
    with contextlib.suppress(FileNotFoundError):
        try:
            return validate(path.read_text(encoding="ascii").strip(), f"The token in {path}")
        except UnicodeDecodeError:
            return validate("", f"The token in {path}")
    token = secrets.token_urlsafe(32)
    # Created with its final mode, so that others can never read it, and renamed so that it is never partial.
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(token)
        file.flush()
        os.fsync(descriptor)
    partial.rename(path)
    return token
