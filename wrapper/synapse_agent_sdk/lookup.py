"""Release lookups: an id, or a plugin's code and version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from synapse_agent_api.models import PluginRelease as PluginReleaseModel
    from synapse_agent_api.typed_dicts import PluginRelease

Lookup: TypeAlias = "str | int | PluginRelease | PluginReleaseModel | Mapping[str, Any] | ReleaseLookup"
"""Any form of a release that the client accepts; see `ReleaseLookup.parse`."""


@dataclass(frozen=True, slots=True)
class ReleaseLookup:
    """A release as a path segment: its id, or `code@version`.

    Args:
        value: The id or `code@version`; use `parse` for other forms.

    Raises:
        ValueError: If it is not a valid lookup.

    Example:
        >>> ReleaseLookup.parse("seg-anything@2.1.0+lig")
        ReleaseLookup(value='seg-anything@2.1.0+lig')
        >>> str(ReleaseLookup.parse({"id": 7, "plugin": "ocr_plugin", "version": "2.0.0"}))
        '7'
    """

    value: str

    def __post_init__(self) -> None:
        # Validated even if not parsed: `..` would reach another path.
        text = self.value
        if isinstance(text, str) and text.isprintable():
            code, at, version = text.rpartition("@")
            if (text.isascii() and text.isdigit()) or (at and code.strip() and version.strip()):
                return
        raise ValueError(_error_message(text))

    def __str__(self) -> str:
        return self.value

    @classmethod
    def parse(cls, lookup: Lookup) -> ReleaseLookup:
        """Parse a lookup of any form.

        Args:
            lookup: An id (int or digits), `code@version`, a release returned by the client (a dict with `id`, or with
                `plugin` and `version`), or a release of the generated models.

        Returns:
            The lookup, which is a single path segment once percent-encoded.

        Raises:
            ValueError: If it has another form.

        Example:
            >>> ReleaseLookup.parse({"plugin": "ocr_plugin", "version": "2.0.0"}).value
            'ocr_plugin@2.0.0'
        """
        if isinstance(lookup, str):
            return cls(str.__str__(lookup))  # the value of a string enum, not its member's name
        if isinstance(lookup, cls):
            return lookup
        try:
            return cls(_text(lookup))
        except ValueError:
            raise ValueError(_error_message(lookup)) from None


def _error_message(lookup: object) -> str:
    return f"invalid release {lookup!r:.100}: pass its id, such as 123, or code@version, such as ocr_plugin@2.0.0"


def _text(lookup: Any) -> str:
    """The lookup as a string; empty if it is invalid."""
    if isinstance(lookup, str):
        return str.__str__(lookup)
    if isinstance(lookup, int) and not isinstance(lookup, bool):
        return str(int(lookup))
    if isinstance(lookup, Mapping):
        release: Any = lookup
        parts: tuple[Any, ...] = release.get("id"), release.get("plugin"), release.get("version")
    else:  # a generated model, with attributes of the same names
        parts = tuple(getattr(lookup, name, None) for name in ("id", "plugin", "version"))
    identity, code, version = parts
    if identity is not None:
        return _text(identity) if isinstance(identity, str | int) else ""
    if not isinstance(code, str) or not isinstance(version, str) or "@" in version:
        return ""  # the agent splits at the last @, so an @ in the version would select another release
    return f"{code}@{version}"
