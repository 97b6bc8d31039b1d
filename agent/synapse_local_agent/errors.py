"""Errors that more than one room raises or handles."""

from __future__ import annotations


class RegistryError(Exception):
    """A registry or a plugin in it is invalid; the message says what to do, in one line."""


class RequirementsError(Exception):
    """What a job requires cannot be had; the message says why."""


class UnavailableError(Exception):
    """There is nothing that could take the job now; nothing of it has run.

    Args:
        detail: What is missing, and what there is.
        error_type: The kind, for the caller's program, such as `gpu_unavailable`.
    """

    def __init__(self, detail: str, error_type: str | None = None) -> None:
        super().__init__(detail)
        self.error_type = error_type
