from http import HTTPStatus
from typing import Any

import httpx

from ...client import AuthenticatedClient, Client
from ...models.create_plugin_release_request import CreatePluginReleaseRequest
from ...models.error import Error
from ...models.plugin_release import PluginRelease
from ...types import UNSET, Response, Unset


def _get_kwargs(
    *,
    body: CreatePluginReleaseRequest,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    if not isinstance(synapse_user, Unset):
        headers["SYNAPSE-User"] = synapse_user

    if not isinstance(synapse_tenant, Unset):
        headers["SYNAPSE-Tenant"] = synapse_tenant

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/plugin_releases/",
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> Error | PluginRelease:
    if response.status_code == 200:
        response_200 = PluginRelease.from_dict(response.json())

        return response_200

    if response.status_code == 201:
        response_201 = PluginRelease.from_dict(response.json())

        return response_201

    if response.status_code == 400:
        response_400 = Error.from_dict(response.json())

        return response_400

    if response.status_code == 401:
        response_401 = Error.from_dict(response.json())

        return response_401

    if response.status_code == 403:
        response_403 = Error.from_dict(response.json())

        return response_403

    if response.status_code == 404:
        response_404 = Error.from_dict(response.json())

        return response_404

    if response.status_code == 409:
        response_409 = Error.from_dict(response.json())

        return response_409

    if response.status_code == 413:
        response_413 = Error.from_dict(response.json())

        return response_413

    if response.status_code == 415:
        response_415 = Error.from_dict(response.json())

        return response_415

    if response.status_code == 422:
        response_422 = Error.from_dict(response.json())

        return response_422

    if response.status_code == 429:
        response_429 = Error.from_dict(response.json())

        return response_429

    if response.status_code == 500:
        response_500 = Error.from_dict(response.json())

        return response_500

    if response.status_code == 503:
        response_503 = Error.from_dict(response.json())

        return response_503

    if response.status_code == 504:
        response_504 = Error.from_dict(response.json())

        return response_504

    response_default = Error.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[Error | PluginRelease]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: CreatePluginReleaseRequest,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Response[Error | PluginRelease]:
    """Cache a plugin release

     Fetches a release from the backend and caches it on the agent. The operation is idempotent: if the
    release is already cached, the response is 200.

    Args:
        synapse_user (str | Unset): User that the request is made for, as `Token <user token>`.
        synapse_tenant (str | Unset): Tenant that the request is made for, as `Token <tenant>`.
        body (CreatePluginReleaseRequest): The release to fetch and cache.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Error | PluginRelease]
    """

    kwargs = _get_kwargs(
        body=body,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient | Client,
    body: CreatePluginReleaseRequest,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Error | PluginRelease | None:
    """Cache a plugin release

     Fetches a release from the backend and caches it on the agent. The operation is idempotent: if the
    release is already cached, the response is 200.

    Args:
        synapse_user (str | Unset): User that the request is made for, as `Token <user token>`.
        synapse_tenant (str | Unset): Tenant that the request is made for, as `Token <tenant>`.
        body (CreatePluginReleaseRequest): The release to fetch and cache.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Error | PluginRelease
    """

    return sync_detailed(
        client=client,
        body=body,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: CreatePluginReleaseRequest,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Response[Error | PluginRelease]:
    """Cache a plugin release

     Fetches a release from the backend and caches it on the agent. The operation is idempotent: if the
    release is already cached, the response is 200.

    Args:
        synapse_user (str | Unset): User that the request is made for, as `Token <user token>`.
        synapse_tenant (str | Unset): Tenant that the request is made for, as `Token <tenant>`.
        body (CreatePluginReleaseRequest): The release to fetch and cache.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Error | PluginRelease]
    """

    kwargs = _get_kwargs(
        body=body,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    body: CreatePluginReleaseRequest,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Error | PluginRelease | None:
    """Cache a plugin release

     Fetches a release from the backend and caches it on the agent. The operation is idempotent: if the
    release is already cached, the response is 200.

    Args:
        synapse_user (str | Unset): User that the request is made for, as `Token <user token>`.
        synapse_tenant (str | Unset): Tenant that the request is made for, as `Token <tenant>`.
        body (CreatePluginReleaseRequest): The release to fetch and cache.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Error | PluginRelease
    """

    return (
        await asyncio_detailed(
            client=client,
            body=body,
            synapse_user=synapse_user,
            synapse_tenant=synapse_tenant,
        )
    ).parsed
