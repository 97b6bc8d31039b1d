from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.plugin_release_config import PluginReleaseConfig


T = TypeVar("T", bound="PluginRelease")


@_attrs_define
class PluginRelease:
    """A release of a plugin. Agents may add fields."""

    id: int
    """ Id of the release on this agent. """
    plugin: str
    """ Code of the plugin. """
    version: str
    """ Version of the release, which may end in `+variant`. """
    config: PluginReleaseConfig | Unset = UNSET
    """ Configuration of the plugin (config.yaml). """
    actions: Any | Unset = UNSET
    """ Actions of the release, as a list of names or an object by name. """
    created: datetime.datetime | Unset = UNSET
    """ Time when the release was cached on this agent (RFC 3339). """
    size: int | Unset = UNSET
    """ Size of the release's files in bytes. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        plugin = self.plugin

        version = self.version

        config: dict[str, Any] | Unset = UNSET
        if not isinstance(self.config, Unset):
            config = self.config.to_dict()

        actions = self.actions

        created: str | Unset = UNSET
        if not isinstance(self.created, Unset):
            created = self.created.isoformat()

        size = self.size

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "plugin": plugin,
                "version": version,
            }
        )
        if config is not UNSET:
            field_dict["config"] = config
        if actions is not UNSET:
            field_dict["actions"] = actions
        if created is not UNSET:
            field_dict["created"] = created
        if size is not UNSET:
            field_dict["size"] = size

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.plugin_release_config import PluginReleaseConfig  # noqa: PLC0415

        d = dict(src_dict)
        id = d.pop("id")

        plugin = d.pop("plugin")

        version = d.pop("version")

        _config = d.pop("config", UNSET)
        config: PluginReleaseConfig | Unset
        if isinstance(_config, Unset):
            config = UNSET
        else:
            config = PluginReleaseConfig.from_dict(_config)

        actions = d.pop("actions", UNSET)

        _created = d.pop("created", UNSET)
        created: datetime.datetime | Unset
        if isinstance(_created, Unset):
            created = UNSET
        else:
            created = datetime.datetime.fromisoformat(_created)

        size = d.pop("size", UNSET)

        plugin_release = cls(
            id=id,
            plugin=plugin,
            version=version,
            config=config,
            actions=actions,
            created=created,
            size=size,
        )

        plugin_release.additional_properties = d
        return plugin_release

    @property
    def additional_keys(self) -> list[str]:
        return list(self.additional_properties.keys())

    def __getitem__(self, key: str) -> Any:
        return self.additional_properties[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.additional_properties[key] = value

    def __delitem__(self, key: str) -> None:
        del self.additional_properties[key]

    def __contains__(self, key: str) -> bool:
        return key in self.additional_properties
