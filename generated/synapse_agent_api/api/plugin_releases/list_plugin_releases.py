from http import HTTPStatus
from typing import Any

import httpx

from ...client import AuthenticatedClient, Client
from ...models.error import Error
from ...models.list_plugin_releases_filters import ListPluginReleasesFilters
from ...models.plugin_release_page import PluginReleasePage
from ...types import UNSET, Response, Unset


def _get_kwargs(
    *,
    page: int | Unset = UNSET,
    page_size: int | Unset = UNSET,
    filters: ListPluginReleasesFilters | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    if not isinstance(synapse_user, Unset):
        headers["SYNAPSE-User"] = synapse_user

    if not isinstance(synapse_tenant, Unset):
        headers["SYNAPSE-Tenant"] = synapse_tenant

    params: dict[str, Any] = {}

    params["page"] = page

    params["page_size"] = page_size

    json_filters: dict[str, Any] | Unset = UNSET
    if not isinstance(filters, Unset):
        json_filters = filters.to_dict()
    if not isinstance(json_filters, Unset):
        params.update(json_filters)

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/plugin_releases/",
        "params": params,
    }

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> Error | PluginReleasePage:
    if response.status_code == 200:
        response_200 = PluginReleasePage.from_dict(response.json())

        return response_200

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

    response_default = Error.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[Error | PluginReleasePage]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    page: int | Unset = UNSET,
    page_size: int | Unset = UNSET,
    filters: ListPluginReleasesFilters | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Response[Error | PluginReleasePage]:
    """List plugin releases

     Returns one page of the cached releases. `next` and `previous` are absolute URLs, or null if there
    is
    no such page. They keep query parameters that the agent does not know.

    Args:
        page (int | Unset): Page number, starting at 1. Defaults to 1.
        page_size (int | Unset): Releases per page. The default depends on the agent.
        filters (ListPluginReleasesFilters | Unset): Additional filters, each sent as its own
            query parameter, such as `plugin=ocr_plugin`.
        synapse_user (str | Unset): User that the request is made for, as `Token <user token>`.
        synapse_tenant (str | Unset): Tenant that the request is made for, as `Token <tenant>`.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Error | PluginReleasePage]
    """

    kwargs = _get_kwargs(
        page=page,
        page_size=page_size,
        filters=filters,
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
    page: int | Unset = UNSET,
    page_size: int | Unset = UNSET,
    filters: ListPluginReleasesFilters | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Error | PluginReleasePage | None:
    """List plugin releases

     Returns one page of the cached releases. `next` and `previous` are absolute URLs, or null if there
    is
    no such page. They keep query parameters that the agent does not know.

    Args:
        page (int | Unset): Page number, starting at 1. Defaults to 1.
        page_size (int | Unset): Releases per page. The default depends on the agent.
        filters (ListPluginReleasesFilters | Unset): Additional filters, each sent as its own
            query parameter, such as `plugin=ocr_plugin`.
        synapse_user (str | Unset): User that the request is made for, as `Token <user token>`.
        synapse_tenant (str | Unset): Tenant that the request is made for, as `Token <tenant>`.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Error | PluginReleasePage
    """

    return sync_detailed(
        client=client,
        page=page,
        page_size=page_size,
        filters=filters,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    page: int | Unset = UNSET,
    page_size: int | Unset = UNSET,
    filters: ListPluginReleasesFilters | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Response[Error | PluginReleasePage]:
    """List plugin releases

     Returns one page of the cached releases. `next` and `previous` are absolute URLs, or null if there
    is
    no such page. They keep query parameters that the agent does not know.

    Args:
        page (int | Unset): Page number, starting at 1. Defaults to 1.
        page_size (int | Unset): Releases per page. The default depends on the agent.
        filters (ListPluginReleasesFilters | Unset): Additional filters, each sent as its own
            query parameter, such as `plugin=ocr_plugin`.
        synapse_user (str | Unset): User that the request is made for, as `Token <user token>`.
        synapse_tenant (str | Unset): Tenant that the request is made for, as `Token <tenant>`.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Error | PluginReleasePage]
    """

    kwargs = _get_kwargs(
        page=page,
        page_size=page_size,
        filters=filters,
        synapse_user=synapse_user,
        synapse_tenant=synapse_tenant,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    page: int | Unset = UNSET,
    page_size: int | Unset = UNSET,
    filters: ListPluginReleasesFilters | Unset = UNSET,
    synapse_user: str | Unset = UNSET,
    synapse_tenant: str | Unset = UNSET,
) -> Error | PluginReleasePage | None:
    """List plugin releases

     Returns one page of the cached releases. `next` and `previous` are absolute URLs, or null if there
    is
    no such page. They keep query parameters that the agent does not know.

    Args:
        page (int | Unset): Page number, starting at 1. Defaults to 1.
        page_size (int | Unset): Releases per page. The default depends on the agent.
        filters (ListPluginReleasesFilters | Unset): Additional filters, each sent as its own
            query parameter, such as `plugin=ocr_plugin`.
        synapse_user (str | Unset): User that the request is made for, as `Token <user token>`.
        synapse_tenant (str | Unset): Tenant that the request is made for, as `Token <tenant>`.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Error | PluginReleasePage
    """

    return (
        await asyncio_detailed(
            client=client,
            page=page,
            page_size=page_size,
            filters=filters,
            synapse_user=synapse_user,
            synapse_tenant=synapse_tenant,
        )
    ).parsed
