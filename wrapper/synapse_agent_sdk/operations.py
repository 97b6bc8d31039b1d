"""Operations: arguments become a call. Pure, and shared by both flavours.

Each function asks the generated endpoint of its operation (`_get_kwargs`, the one seam to the generated code) for
method, path, query, headers and body, so that none of them is spelled here. The imports stand inside the functions,
since the generated models cost more to import than the rest of the SDK: who only imports a client does not pay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from synapse_sdk.clients.agent import jsonbody, legacy
from synapse_sdk.clients.agent.lookup import Lookup, ReleaseLookup

if TYPE_CHECKING:
    import uuid

    from synapse_agent_api.typed_dicts import Health, PluginRelease, PluginReleasePage
    from synapse_agent_api.types import Unset

    from synapse_sdk.clients.agent.settings import Timeout

T = TypeVar("T")
R = TypeVar("R")


class Call(NamedTuple, Generic[R]):
    """One call of an operation that has an R as its result, ready to be sent any number of times."""

    method: str
    url: str
    """Path below the agent's URL, percent-encoded, or a whole URL."""
    promises: type | None
    """The kind of JSON that a success carries; None where it carries nothing, `object` where anything."""
    params: Mapping[str, Any] | None = None
    headers: Mapping[str, str] | None = None
    content: bytes | None = None
    is_run: bool = False
    """Whether it may take hours, and must not be carried out twice."""
    timeout: Timeout | None = None
    job_id: str | None = None
    idempotency_key: str | None = None


def health_check() -> Call[Health]:
    from synapse_agent_api.api.health import health_check as endpoint

    return _call(endpoint._get_kwargs(), promises=dict)


def list_plugin_releases(
    params: Mapping[str, Any] | None = None, *, page_size: int | None = None
) -> Call[PluginReleasePage]:
    from synapse_agent_api.api.plugin_releases import list_plugin_releases as endpoint
    from synapse_agent_api.models import ListPluginReleasesFilters

    if params is not None and not isinstance(params, Mapping):
        msg = f"params must be a dict, not {params!r:.100}"
        raise TypeError(msg)
    query = {name: value for name, value in (params or {}).items() if value is not None}
    for name, value in query.items():
        if not isinstance(name, str):
            msg = f"params: the name of a filter must be a text, not {name!r:.100}"
            raise TypeError(msg)
        if not all(map(_is_scalar, value if isinstance(value, list | tuple) else [value])):
            msg = f"params[{name!r}] must be a text, a number, a bool or a list of these, not {value!r:.100}"
            raise TypeError(msg)
    filters = ListPluginReleasesFilters.from_dict(query)  # these win over what else is given by the same name
    return _call(endpoint._get_kwargs(page_size=_given(page_size), filters=filters), promises=dict)


def get_plugin_release(lookup: Lookup) -> Call[PluginRelease]:
    from synapse_agent_api.api.plugin_releases import get_plugin_release as endpoint

    return _call(endpoint._get_kwargs(str(ReleaseLookup.parse(lookup))), promises=dict)


def create_plugin_release(plugin: str, version: str) -> Call[PluginRelease]:
    from synapse_agent_api.api.plugin_releases import create_plugin_release as endpoint
    from synapse_agent_api.models import CreatePluginReleaseRequest

    for name, value in (("plugin", plugin), ("version", version)):
        if not isinstance(value, str) or not value.strip():
            msg = f"{name} must be a text that is not blank, not {value!r:.100}"
            raise ValueError(msg)
    return _call(endpoint._get_kwargs(body=CreatePluginReleaseRequest(plugin=plugin, version=version)), promises=dict)


def delete_plugin_release(lookup: Lookup) -> Call[None]:
    from synapse_agent_api.api.plugin_releases import delete_plugin_release as endpoint

    return _call(endpoint._get_kwargs(str(ReleaseLookup.parse(lookup))), promises=None)


def run_plugin_release(
    lookup: Lookup,
    action: str | Mapping[str, Any] | None = None,
    params: Mapping[str, Any] | None = None,
    *,
    data: Mapping[str, Any] | None = None,
    requirements: Sequence[str] | None = None,
    job_id: str | None = None,
    language: str | None = None,
    idempotency_key: str | uuid.UUID | None = None,
    timeout: Timeout | None = None,
) -> Call[Any]:
    from synapse_agent_api.api.plugin_releases import run_plugin_release as endpoint
    from synapse_agent_api.models import RunPluginReleaseRequest, RunPluginReleaseRequestParams

    name, data = legacy.split_action("run_plugin_release", action, data)
    body = RunPluginReleaseRequest(action=name or "")
    if data is None:
        body.params = _given(_object("params", params, RunPluginReleaseRequestParams.from_dict))
        body.requirements = _given(_texts("requirements", requirements))
        body.job_id = _given(job_id)
        body.language = _given(language)
    key = _key(idempotency_key)
    kwargs = endpoint._get_kwargs(str(ReleaseLookup.parse(lookup)), body=body, idempotency_key=key)
    return _run(kwargs, data, key, timeout)


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
    idempotency_key: str | uuid.UUID | None = None,
    timeout: Timeout | None = None,
) -> Call[Any]:
    from synapse_agent_api import models
    from synapse_agent_api.api.plugin_releases import run_debug_plugin_release as endpoint

    name, data = legacy.split_action("run_debug_plugin_release", action, data)
    body = models.RunDebugPluginReleaseRequest(action=name or "")
    if data is None:
        body.params = _given(_object("params", params, models.RunDebugPluginReleaseRequestParams.from_dict))
        body.plugin_path = _given(_path("plugin_path", plugin_path))
        body.config = _given(_object("config", config, models.RunDebugPluginReleaseRequestConfig.from_dict))
        body.modules = _given(_object("modules", modules, models.RunDebugPluginReleaseRequestModules.from_dict))
        body.requirements = _given(_texts("requirements", requirements))
        body.job_id = _given(job_id)
        body.language = _given(language)
    key = _key(idempotency_key)
    return _run(endpoint._get_kwargs(body=body, idempotency_key=key), data, key, timeout)


def _call(kwargs: dict[str, Any], *, promises: type | None) -> Call[Any]:
    """The call of a generated endpoint that takes no longer than any other."""
    content = jsonbody.encode(kwargs["json"]) if "json" in kwargs else None
    method = kwargs["method"].upper()
    return Call(method, kwargs["url"], promises, kwargs.get("params"), kwargs["headers"], content)


def _run(kwargs: dict[str, Any], data: Mapping[str, Any] | None, key: str, timeout: Timeout | None) -> Call[Any]:
    """The call of an endpoint that runs an action; `data` takes the place of the body, untouched."""
    body = kwargs["json"] if data is None else data
    return Call(
        method=kwargs["method"].upper(),
        url=kwargs["url"],
        promises=object,
        headers=kwargs["headers"],
        content=jsonbody.encode(body),
        is_run=True,
        timeout=timeout,
        job_id=body.get("job_id"),
        idempotency_key=key,
    )


def _given(value: T | None) -> T | Unset:
    """`value`, or the generated client's mark for a field that is left out."""
    from synapse_agent_api.types import UNSET

    return UNSET if value is None else value


def _object(name: str, value: Mapping[str, Any] | None, model: Callable[[Mapping[str, Any]], T]) -> T | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        msg = f"{name} must be a dict, not {value!r:.100}"
        raise TypeError(msg)
    return model(value)


def _texts(name: str, value: Sequence[str] | None) -> list[str] | None:
    if value is None:
        return None
    if isinstance(value, str) or not isinstance(value, Sequence) or not all(isinstance(text, str) for text in value):
        msg = f"{name} must be a list of texts, not {value!r:.100}"
        raise TypeError(msg)
    return list(value)


def _path(name: str, value: str | PathLike[str] | None) -> str | None:
    path = fspath(value) if isinstance(value, PathLike) else value
    if path is not None and not isinstance(path, str):
        msg = f"{name} must be a text or a Path, not {value!r:.100}"
        raise TypeError(msg)
    return path


def _key(idempotency_key: str | uuid.UUID | None) -> str:
    """The caller's key, or a new one: one per logical call, however often it is sent."""
    import uuid

    if idempotency_key is None:
        return str(uuid.uuid4())
    if isinstance(idempotency_key, uuid.UUID):
        return str(idempotency_key)
    try:
        key = str(uuid.UUID(idempotency_key))
        return idempotency_key if idempotency_key.lower() == key else key
    except (ValueError, AttributeError, TypeError):
        msg = f"idempotency_key must be a UUID, such as str(uuid.uuid4()), not {idempotency_key!r:.100}"
        raise ValueError(msg) from None


def _is_scalar(value: object) -> bool:
    return isinstance(value, str | int | float | bool)
