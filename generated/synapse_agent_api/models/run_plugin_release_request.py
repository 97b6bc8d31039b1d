from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.run_plugin_release_request_params import RunPluginReleaseRequestParams


T = TypeVar("T", bound="RunPluginReleaseRequest")


@_attrs_define
class RunPluginReleaseRequest:
    """The action to run and its input. Older clients may send additional fields."""

    action: str
    """ Name of the action in the plugin's config.yaml. """
    params: RunPluginReleaseRequestParams | Unset = UNSET
    """ Parameters of the action. """
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
        if requirements is not UNSET:
            field_dict["requirements"] = requirements
        if job_id is not UNSET:
            field_dict["job_id"] = job_id
        if language is not UNSET:
            field_dict["language"] = language

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.run_plugin_release_request_params import (
            RunPluginReleaseRequestParams,  # noqa: PLC0415
        )

        d = dict(src_dict)
        action = d.pop("action")

        _params = d.pop("params", UNSET)
        params: RunPluginReleaseRequestParams | Unset
        if isinstance(_params, Unset):
            params = UNSET
        else:
            params = RunPluginReleaseRequestParams.from_dict(_params)

        requirements = cast(list[str], d.pop("requirements", UNSET))

        job_id = d.pop("job_id", UNSET)

        language = d.pop("language", UNSET)

        run_plugin_release_request = cls(
            action=action,
            params=params,
            requirements=requirements,
            job_id=job_id,
            language=language,
        )

        run_plugin_release_request.additional_properties = d
        return run_plugin_release_request

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
