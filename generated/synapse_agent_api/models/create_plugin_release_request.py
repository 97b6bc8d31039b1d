from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

T = TypeVar("T", bound="CreatePluginReleaseRequest")


@_attrs_define
class CreatePluginReleaseRequest:
    """The release to fetch and cache."""

    plugin: str
    """ Code of the plugin. """
    version: str
    """ Version of the release, which may end in `+variant`. """

    def to_dict(self) -> dict[str, Any]:
        plugin = self.plugin

        version = self.version

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "plugin": plugin,
                "version": version,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        plugin = d.pop("plugin")

        version = d.pop("version")

        create_plugin_release_request = cls(
            plugin=plugin,
            version=version,
        )

        return create_plugin_release_request
