"""Builds requests, one function per operation. Pure, and shared by sync and async.

This is the only module that imports the generated package, through `_request`: the generated endpoint provides method,
path, query, headers and body. The imports are inside the functions because the generated models take longer to import
than the rest of the SDK.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID, uuid4

from synapse_agent_sdk import legacy
from synapse_agent_sdk.lookup import Lookup, ReleaseLookup
from synapse_agent_sdk.runtime import Request

if TYPE_CHECKING:
    from types import ModuleType

    from synapse_agent_api.client import AuthenticatedClient
    from synapse_agent_api.typed_dicts import Health, PluginRelease, PluginReleasePage
    from synapse_agent_api.types import Unset

    from synapse_agent_sdk.runtime import Timeout

T = TypeVar("T")

PAGE_SIZE = 1000
"""Default page size for whole lists: the contract's maximum."""


def health_check() -> Request[Health]:
    """`GET` the agent's state."""
    from synapse_agent_api.api.health import health_check as endpoint

    return _request(endpoint, result_type=dict, replayable=True)


def list_plugin_releases(
    params: Mapping[str, Any] | None = None, *, page_size: int | None = None
) -> Request[PluginReleasePage]:
    """`GET` one page of releases; `params` overrides `page_size`."""
    from synapse_agent_api.api.plugin_releases import list_plugin_releases as endpoint
    from synapse_agent_api.models import ListPluginReleasesFilters

    if params is not None and not isinstance(params, Mapping):
        raise _type_error("params", "a dict", params)
    query = {name: value for name, value in (params or {}).items() if value is not None}
    for name, value in query.items():
        if not isinstance(name, str):
            raise _type_error("params: the name of a filter", "a string", name)
        if not all(
            isinstance(part, str | int | float) for part in (value if isinstance(value, list | tuple) else [value])
        ):
            raise _type_error(f"params[{name!r}]", "a string, a number, a bool or a list of these", value)
    filters = ListPluginReleasesFilters.from_dict(query)
    return _request(endpoint, page_size=_or_unset(page_size), filters=filters, result_type=dict, replayable=True)


def release_pages(params: Mapping[str, Any] | None) -> tuple[Request[PluginReleasePage], Request[PluginReleasePage]]:
    """Requests for the first page of a whole list: with the maximum page size, and with the agent's default."""
    return list_plugin_releases(params, page_size=PAGE_SIZE), list_plugin_releases(params)


def get_plugin_release(lookup: Lookup) -> Request[PluginRelease]:
    """`GET` one release."""
    from synapse_agent_api.api.plugin_releases import get_plugin_release as endpoint

    return _request(endpoint, ReleaseLookup.parse(lookup).value, result_type=dict, replayable=True)


def create_plugin_release(plugin: str, version: str) -> Request[PluginRelease]:
    """`POST` a release to cache. Creating it twice is harmless, so it is replayable."""
    from synapse_agent_api.api.plugin_releases import create_plugin_release as endpoint
    from synapse_agent_api.models import CreatePluginReleaseRequest

    for name, value in (("plugin", plugin), ("version", version)):
        if not isinstance(value, str) or not value.strip():
            msg = f"{name} must be a non-blank string, not {value!r:.100}"
            raise ValueError(msg)
    body = CreatePluginReleaseRequest(plugin=plugin, version=version)
    return _request(endpoint, body=body, result_type=dict, replayable=True)


def delete_plugin_release(lookup: Lookup) -> Request[None]:
    """`DELETE` one release."""
    from synapse_agent_api.api.plugin_releases import delete_plugin_release as endpoint

    return _request(endpoint, ReleaseLookup.parse(lookup).value, result_type=None, replayable=True)


def run_plugin_release(
    lookup: Lookup,
    action: str | Mapping[str, Any] | None = None,
    params: Mapping[str, Any] | None = None,
    *,
    data: Mapping[str, Any] | None = None,
    requirements: Sequence[str] | None = None,
    job_id: str | None = None,
    language: str | None = None,
    idempotency_key: str | UUID | None = None,
    timeout: Timeout | None = None,
) -> Request[Any]:
    """`POST` a run of an action of a release."""
    from synapse_agent_api.api.plugin_releases import run_plugin_release as endpoint
    from synapse_agent_api.models import RunPluginReleaseRequest, RunPluginReleaseRequestParams

    if data is not None or not isinstance(action, str) or not action.strip():
        action, data = legacy.split_action("run_plugin_release", action, data)
    if data is not None:  # the whole body
        params = requirements = job_id = language = None
    body = RunPluginReleaseRequest(action=action or "")
    if params is not None:
        if not isinstance(params, Mapping):
            raise _type_error("params", "a dict", params)
        body.params = RunPluginReleaseRequestParams.from_dict(params)
    if requirements is not None:
        body.requirements = _string_list("requirements", requirements)
    if job_id is not None:
        body.job_id = job_id
    if language is not None:
        body.language = language
    key = str(uuid4()) if idempotency_key is None else _key(idempotency_key)
    segment = ReleaseLookup.parse(lookup).value
    return _request(endpoint, segment, body=body, idempotency_key=key, result_type=object, data=data, timeout=timeout)


def run_debug_plugin_release(
    action: str | Mapping[str, Any] | None = None,
    params: Mapping[str, Any] | None = None,
    *,
    data: Mapping[str, Any] | None = None,
    plugin_path: str | PathLike[str] | None = None,
    config: Mapping[str, Any] | None = None,
    modules: Mapping[str, str] | None = None,
    requirements: Sequence[str] | None = None,
    job_id: str | None = None,
    language: str | None = None,
    idempotency_key: str | UUID | None = None,
    timeout: Timeout | None = None,
) -> Request[Any]:
    """`POST` a run of an action from source."""
    from synapse_agent_api import models
    from synapse_agent_api.api.plugin_releases import run_debug_plugin_release as endpoint

    if data is not None or not isinstance(action, str) or not action.strip():
        action, data = legacy.split_action("run_debug_plugin_release", action, data)
    if data is not None:  # the whole body
        params = plugin_path = config = modules = requirements = job_id = language = None
    for name, value in (("params", params), ("config", config), ("modules", modules)):
        if value is not None and not isinstance(value, Mapping):
            raise _type_error(name, "a dict", value)
    body = models.RunDebugPluginReleaseRequest(action=action or "")
    if params is not None:
        body.params = models.RunDebugPluginReleaseRequestParams.from_dict(params)
    if plugin_path is not None:
        body.plugin_path = _path("plugin_path", plugin_path)
    if config is not None:
        body.config = models.RunDebugPluginReleaseRequestConfig.from_dict(config)
    if modules is not None:
        body.modules = models.RunDebugPluginReleaseRequestModules.from_dict(modules)
    if requirements is not None:
        body.requirements = _string_list("requirements", requirements)
    body.job_id, body.language = _or_unset(job_id), _or_unset(language)
    key = str(uuid4()) if idempotency_key is None else _key(idempotency_key)
    return _request(endpoint, body=body, idempotency_key=key, result_type=object, data=data, timeout=timeout)


def auth_headers(agent_token: str | None, user_token: str | None, tenant: str | None) -> dict[str, str]:
    """The headers with a client's credentials, named by the contract."""
    import attrs
    from synapse_agent_api.api.health import health_check as endpoint
    from synapse_agent_api.client import AuthenticatedClient

    headers: dict[str, str] = {}
    if user_token or tenant:
        user, for_tenant = (_or_unset(f"Token {secret}" if secret else None) for secret in (user_token, tenant))
        made = _request(endpoint, synapse_user=user, synapse_tenant=for_tenant, result_type=None)
        headers.update(made.headers or {})
    if agent_token is not None:
        name: Any = attrs.fields(AuthenticatedClient).auth_header_name.default
        headers[name] = agent_token
    return headers


def generated_client(base_url: str) -> AuthenticatedClient:
    """A client for the generated functions. It has no real token, as its repr would show it; the SDK sends it."""
    from synapse_agent_api.client import AuthenticatedClient

    return AuthenticatedClient(base_url=base_url, token="(sent by the SDK)")  # noqa: S106 - not a token


def _request(
    endpoint: ModuleType,
    *args: str,
    result_type: type | None,
    replayable: bool = False,
    data: Mapping[str, Any] | None = None,
    timeout: Timeout | None = None,
    **kwargs: Any,
) -> Request[Any]:
    """The request of a generated endpoint; `data` replaces the body."""
    made = endpoint._get_kwargs(*args, **kwargs)  # noqa: SLF001 - the only use of generated internals
    json = made.get("json") if data is None else data
    return Request(
        method=made["method"].upper(),
        url=made["url"],
        result_type=result_type,
        params=made.get("params"),
        headers=made.get("headers"),
        json=json,
        replayable=replayable,
        timeout=timeout,
        job_id=None if json is None else json.get("job_id"),
        idempotency_key=kwargs.get("idempotency_key"),
    )


def _or_unset(value: T | None) -> T | Unset:
    """`value`, or the generated client's marker for an omitted field."""
    from synapse_agent_api.types import UNSET

    return UNSET if value is None else value


def _type_error(name: str, expected: str, value: object) -> TypeError:
    return TypeError(f"{name} must be {expected}, not {value!r:.100}")


def _string_list(name: str, value: Sequence[str]) -> list[str]:
    if isinstance(value, str) or not isinstance(value, Sequence) or not all(isinstance(part, str) for part in value):
        raise _type_error(name, "a list of strings", value)
    return list(value)


def _path(name: str, value: str | PathLike[str]) -> str:
    path = fspath(value) if isinstance(value, PathLike) else value
    if not isinstance(path, str):
        raise _type_error(name, "a string or a Path", value)
    return path


def _key(idempotency_key: str | UUID) -> str:
    """The key in the canonical form of a UUID."""
    if isinstance(idempotency_key, UUID):
        return str(idempotency_key)
    try:
        key = str(UUID(idempotency_key))
        return idempotency_key if idempotency_key.lower() == key else key
    except (ValueError, AttributeError, TypeError):
        msg = f"idempotency_key must be a UUID, such as str(uuid.uuid4()), not {idempotency_key!r:.100}"
        raise ValueError(msg) from None
