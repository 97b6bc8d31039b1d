from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.run_debug_plugin_release_request_config import (
        RunDebugPluginReleaseRequestConfig,
    )
    from ..models.run_debug_plugin_release_request_modules import (
        RunDebugPluginReleaseRequestModules,
    )
    from ..models.run_debug_plugin_release_request_params import (
        RunDebugPluginReleaseRequestParams,
    )


T = TypeVar("T", bound="RunDebugPluginReleaseRequest")


@_attrs_define
class RunDebugPluginReleaseRequest:
    """The action to run, its source and its input. Older clients may send additional fields."""

    action: str
    """ Name of the action in the configuration. """
    params: RunDebugPluginReleaseRequestParams | Unset = UNSET
    """ Parameters of the action. """
    plugin_path: str | Unset = UNSET
    """ Path of the plugin's source folder on the agent's machine. """
    config: RunDebugPluginReleaseRequestConfig | Unset = UNSET
    """ Configuration, merged over the source folder's config.yaml. """
    modules: RunDebugPluginReleaseRequestModules | Unset = UNSET
    """ Source code by dotted module name. Overrides modules of the source folder. """
    requirements: list[str] | Unset = UNSET
    """ Additional packages that the action needs, as requirement specifiers (PEP 508). """
    job_id: str | Unset = UNSET
    """ Id that the caller gives this run. """
    language: str | Unset = UNSET
    """ Language of the action's user-facing log messages, such as `en` or `ko`. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        action = self.action

        params: dict[str, Any] | Unset = UNSET
        if not isinstance(self.params, Unset):
            params = self.params.to_dict()

        plugin_path = self.plugin_path

        config: dict[str, Any] | Unset = UNSET
        if not isinstance(self.config, Unset):
            config = self.config.to_dict()

        modules: dict[str, Any] | Unset = UNSET
        if not isinstance(self.modules, Unset):
            modules = self.modules.to_dict()

        requirements: list[str] | Unset = UNSET
        if not isinstance(self.requirements, Unset):
            requirements = self.requirements

        job_id = self.job_id

        language = self.language

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "action": action,
            }
        )
        if params is not UNSET:
            field_dict["params"] = params
        if plugin_path is not UNSET:
            field_dict["plugin_path"] = plugin_path
        if config is not UNSET:
            field_dict["config"] = config
        if modules is not UNSET:
            field_dict["modules"] = modules
        if requirements is not UNSET:
            field_dict["requirements"] = requirements
        if job_id is not UNSET:
            field_dict["job_id"] = job_id
        if language is not UNSET:
            field_dict["language"] = language

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.run_debug_plugin_release_request_config import (
            RunDebugPluginReleaseRequestConfig,  # noqa: PLC0415
        )
        from ..models.run_debug_plugin_release_request_modules import (
            RunDebugPluginReleaseRequestModules,  # noqa: PLC0415
        )
        from ..models.run_debug_plugin_release_request_params import (
            RunDebugPluginReleaseRequestParams,  # noqa: PLC0415
        )

        d = dict(src_dict)
        action = d.pop("action")

        _params = d.pop("params", UNSET)
        params: RunDebugPluginReleaseRequestParams | Unset
        if isinstance(_params, Unset):
            params = UNSET
        else:
            params = RunDebugPluginReleaseRequestParams.from_dict(_params)

        plugin_path = d.pop("plugin_path", UNSET)

        _config = d.pop("config", UNSET)
        config: RunDebugPluginReleaseRequestConfig | Unset
        if isinstance(_config, Unset):
            config = UNSET
        else:
            config = RunDebugPluginReleaseRequestConfig.from_dict(_config)

        _modules = d.pop("modules", UNSET)
        modules: RunDebugPluginReleaseRequestModules | Unset
        if isinstance(_modules, Unset):
            modules = UNSET
        else:
            modules = RunDebugPluginReleaseRequestModules.from_dict(_modules)

        requirements = cast(list[str], d.pop("requirements", UNSET))

        job_id = d.pop("job_id", UNSET)

        language = d.pop("language", UNSET)

        run_debug_plugin_release_request = cls(
            action=action,
            params=params,
            plugin_path=plugin_path,
            config=config,
            modules=modules,
            requirements=requirements,
            job_id=job_id,
            language=language,
        )

        run_debug_plugin_release_request.additional_properties = d
        return run_debug_plugin_release_request

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
