"""The agent token: which texts may be one, and the one that is kept in the data folder."""

from __future__ import annotations

import contextlib
import os
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

FILE = "token"


class TokenError(ValueError):
    """A token cannot be used; the message says what to do, in one line, and never shows it."""


def validate(token: str, origin: str) -> str:
    """A token that can travel in a header.

    Args:
        token: The token.
        origin: Where it is from, for the message.

    Raises:
        TokenError: If it is empty, which would let everyone in, or has other characters than a header takes.
    """
    if not token or not all("!" <= character <= "~" for character in token):
        msg = f"{origin} must be visible ASCII characters without spaces, at least one (it is not shown here)"
        raise TokenError(msg)
    return token


def load_or_create(folder: Path) -> str:
    """The token in the data folder, which is made where there is none, for its owner's eyes alone.

    The folder is this agent's alone (see `lock`), so no other makes one at the same time.

    Raises:
        TokenError: If the file that is there holds no token.
    """
    path = folder / FILE
    with contextlib.suppress(FileNotFoundError):
        try:
            return validate(path.read_text(encoding="ascii").strip(), f"The token in {path}")
        except UnicodeDecodeError:
            return validate("", f"The token in {path}")
    token = secrets.token_urlsafe(32)
    # Made with its mode, so that there is no moment at which others can read it, and there whole or not at all.
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(token)
        file.flush()
        os.fsync(descriptor)
    partial.rename(path)
    return token
