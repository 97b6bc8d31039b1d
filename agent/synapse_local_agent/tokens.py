"""The agent token: which texts may be one, and the one that is kept in the data folder."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

FILE = "token"


class TokenError(ValueError):
    """A token cannot be used; the message says what to do, in one line, and never shows it."""


def checked(token: str, origin: str) -> str:
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


def kept(folder: Path) -> str:
    """The token in the data folder, which is made where there is none, for its owner's eyes alone.

    Raises:
        TokenError: If the file that is there holds no token.
    """
    path = folder / FILE
    try:
        # Made with its mode, so that there is no moment at which others can read it.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        try:
            return checked(path.read_text(encoding="ascii").strip(), f"The token in {path}")
        except UnicodeDecodeError:
            return checked("", f"The token in {path}")
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        token = secrets.token_urlsafe(32)
        file.write(token)
    return token
