"""Errors that more than one package raises or handles."""

from __future__ import annotations


class RegistryError(Exception):
    """A registry or a plugin in it is invalid; the message says what to do, in one line."""


class RequirementsError(Exception):
    """The requirements of a job are invalid or cannot be installed; the message says why."""


class UnavailableError(Exception):
    """Nothing can run the job now, and none of it has run.

    Args:
        detail: What is missing and what is available.
        error_type: A machine-readable kind, such as `gpu_unavailable`.
    """

    def __init__(self, detail: str, error_type: str | None = None) -> None:
        super().__init__(detail)
        self.error_type = error_type
