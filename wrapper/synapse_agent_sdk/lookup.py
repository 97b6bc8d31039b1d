"""What names a release: its id, or its plugin's code and its version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from synapse_agent_api.models import PluginRelease as PluginReleaseModel
    from synapse_agent_api.typed_dicts import PluginRelease

Lookup: TypeAlias = "str | int | PluginRelease | PluginReleaseModel | Mapping[str, Any] | ReleaseLookup"
"""What the methods of the client take for a release; see `ReleaseLookup.parse`."""


@dataclass(frozen=True, slots=True)
class ReleaseLookup:
    """A release's name in a path: its id, or `code@version`.

    Args:
        value: The name itself; `parse` makes it of the other forms.

    Raises:
        ValueError: If it names no release.

    Example:
        >>> ReleaseLookup.parse("seg-anything@2.1.0+lig")
        ReleaseLookup(value='seg-anything@2.1.0+lig')
        >>> str(ReleaseLookup.parse({"id": 7, "plugin": "ocr_plugin", "version": "2.0.0"}))
        '7'
    """

    value: str

    def __post_init__(self) -> None:
        # One that is made by hand is checked too: `..` would reach another path.
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
        """Read a release's name from any of the forms that people have at hand.

        Args:
            lookup: An id (an int, or digits), `code@version`, a release as the client returned it (a dict with
                `id`, or with `plugin` and `version`), or a release of the generated models.

        Returns:
            The lookup, which is one path segment once it is percent-encoded.

        Raises:
            ValueError: If it is none of these. Nothing has been sent then.

        Example:
            >>> ReleaseLookup.parse({"plugin": "ocr_plugin", "version": "2.0.0"}).value
            'ocr_plugin@2.0.0'
        """
        if isinstance(lookup, str):
            return cls(str.__str__(lookup))  # the text itself, where an enum would give the name of its member
        if isinstance(lookup, cls):
            return lookup
        try:
            return cls(_text(lookup))
        except ValueError:
            raise ValueError(_error_message(lookup)) from None


def _error_message(lookup: object) -> str:
    forms = "its id, such as 123, or code@version, such as ocr_plugin@2.0.0"
    return f"{lookup!r:.100} names no release. Give {forms}."


def _text(lookup: Any) -> str:
    """The text that `lookup` stands for, or one that is no lookup."""
    if isinstance(lookup, str):
        return str.__str__(lookup)
    if isinstance(lookup, int) and not isinstance(lookup, bool):
        return str(int(lookup))
    if isinstance(lookup, Mapping):
        release: Any = lookup
        parts: tuple[Any, ...] = release.get("id"), release.get("plugin"), release.get("version")
    else:  # a generated model, which has the same names as attributes
        parts = tuple(getattr(lookup, name, None) for name in ("id", "plugin", "version"))
    identity, code, version = parts
    if identity is not None:
        return _text(identity) if isinstance(identity, str | int) else ""
    if not isinstance(code, str) or not isinstance(version, str) or "@" in version:
        return ""  # the agent splits at the last @, so an @ in the version would name another release
    return f"{code}@{version}"
