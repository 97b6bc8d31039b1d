"""Async versions of the operations in `plugin_releases`, which documents them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from synapse_agent_sdk import endpoints
from synapse_agent_sdk.raw_response import AsyncWithRawResponse
from synapse_agent_sdk.release_context import AsyncReleaseContext
from synapse_agent_sdk.runtime import AsyncItems, collect

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike
    from uuid import UUID

    from synapse_agent_api.typed_dicts import PluginRelease, PluginReleasePage

    from synapse_agent_sdk.lookup import Lookup
    from synapse_agent_sdk.pruning import Age
    from synapse_agent_sdk.runtime import AsyncHttpClient, PageCursor, Timeout


class AsyncPluginClientMixin:
    """The plugin release operations of `AsyncAgentClient`."""

    _http: AsyncHttpClient

    @overload
    async def list_plugin_releases(
        self, params: Mapping[str, Any] | None = None, *, list_all: Literal[False] = False
    ) -> PluginReleasePage: ...
    @overload
    async def list_plugin_releases(
        self, params: Mapping[str, Any] | None = None, *, list_all: Literal[True]
    ) -> tuple[list[PluginRelease], int]: ...
    @overload
    async def list_plugin_releases(
        self, params: Mapping[str, Any] | None = None, *, list_all: bool
    ) -> PluginReleasePage | tuple[list[PluginRelease], int]: ...
    async def list_plugin_releases(
        self, params: Mapping[str, Any] | None = None, *, list_all: bool = False
    ) -> PluginReleasePage | tuple[list[PluginRelease], int]:
        """List the cached releases (`list_plugin_releases`).

        Arguments, result and errors are those of `AgentClient.list_plugin_releases`.

        Example:
            >>> releases, total = await client.list_plugin_releases({"plugin": "text_stats"}, list_all=True)
            >>> total, releases[0]["plugin"]
            (1, 'text_stats')
        """
        if list_all:
            return await self._http.run(collect(self._cursor(params)))
        return await self._http.call(endpoints.list_plugin_releases(params))

    def iter_plugin_releases(
        self, params: Mapping[str, Any] | None = None
    ) -> AsyncItems[PluginReleasePage, PluginRelease]:
        """Iterate over the cached releases, requesting pages as needed (`list_plugin_releases`).

        Use `async for`. Arguments and errors are those of `AgentClient.iter_plugin_releases`.

        Example:
            >>> [release["version"] async for release in client.iter_plugin_releases({"plugin": "text_stats"})]
            ['1.0.0']
        """
        return AsyncItems(lambda: self._cursor(params), self._http.run)

    async def get_plugin_release(self, lookup: Lookup) -> PluginRelease:
        """Get one cached release (`get_plugin_release`).

        Arguments, result and errors are those of `AgentClient.get_plugin_release`.

        Example:
            >>> (await client.get_plugin_release("text_stats@1.0.0"))["version"]
            '1.0.0'
        """
        return await self._http.call(endpoints.get_plugin_release(lookup))

    async def create_plugin_release(self, plugin: str, version: str) -> PluginRelease:
        """Fetch and cache a release on the agent (`create_plugin_release`); safe to repeat.

        Arguments, result and errors are those of `AgentClient.create_plugin_release`.

        Example:
            >>> (await client.create_plugin_release(plugin="text_stats", version="1.0.0"))["plugin"]
            'text_stats'
        """
        return await self._http.call(endpoints.create_plugin_release(plugin, version))

    async def delete_plugin_release(self, lookup: Lookup) -> None:
        """Remove a release from the agent's cache (`delete_plugin_release`).

        Arguments, result and errors are those of `AgentClient.delete_plugin_release`.

        Example:
            >>> release = await client.create_plugin_release("csv_summary", "1.0.0")
            >>> await client.delete_plugin_release(release)
        """
        await self._http.call(endpoints.delete_plugin_release(lookup))

    async def run_plugin_release(
        self,
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
    ) -> Any:
        """Run an action of a cached release and wait for its result (`run_plugin_release`).

        Arguments, result and errors are those of `AgentClient.run_plugin_release`.

        Example:
            >>> params = {"path": os.path.abspath("README.md")}
            >>> result = await client.run_plugin_release("text_stats@1.0.0", "analyze", params)
            >>> result["words"] > 100
            True
        """
        return await self._http.call(
            endpoints.run_plugin_release(
                lookup,
                action,
                params,
                data=data,
                requirements=requirements,
                job_id=job_id,
                language=language,
                idempotency_key=idempotency_key,
                timeout=timeout,
            )
        )

    async def run_debug_plugin_release(
        self,
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
    ) -> Any:
        """Run an action from source, without a release, and wait for its result (`run_debug_plugin_release`).

        Arguments, result and errors are those of `AgentClient.run_debug_plugin_release`.

        Example:
            >>> await client.run_debug_plugin_release(
            ...     "double",
            ...     {"number": 21},
            ...     config={"actions": {"double": {"entrypoint": "numbers_plugin:double"}}},
            ...     modules={"numbers_plugin": "def double(number): return 2 * number"},
            ... )
            42
        """
        return await self._http.call(
            endpoints.run_debug_plugin_release(
                action,
                params,
                data=data,
                plugin_path=plugin_path,
                config=config,
                modules=modules,
                requirements=requirements,
                job_id=job_id,
                language=language,
                idempotency_key=idempotency_key,
                timeout=timeout,
            )
        )

    @property
    def with_raw_response(self) -> AsyncWithRawResponse:
        """The same operations, returning a `RawResponse` with status, headers, elapsed time and attempts."""
        return AsyncWithRawResponse(self._http)

    def plugin_release(self, plugin: str, version: str | None = None, *, delete: bool = False) -> AsyncReleaseContext:
        """Cache a release for an `async with` block and run its actions there.

        Arguments, result and errors are those of `AgentClient.plugin_release`.

        Example:
            >>> async with client.plugin_release("text_stats@1.0.0") as release:
            ...     result = await release.run("analyze", {"path": os.path.abspath("README.md")})
            >>> release.info["version"], result["words"] > 100
            ('1.0.0', True)
        """
        return AsyncReleaseContext(self._http, plugin, version, delete=delete)

    async def prune_plugin_releases(
        self,
        *,
        older_than: Age | None = None,
        keep: int | None = None,
        plugin: str | None = None,
        dry_run: bool = False,
    ) -> list[PluginRelease]:
        """Delete old releases from the agent's cache: reads the whole list, then deletes releases by id.

        Arguments, result and errors are those of `AgentClient.prune_plugin_releases`.

        Example:
            >>> [release["version"] for release in await client.prune_plugin_releases(older_than="30d", keep=2)]
            []
        """
        from synapse_agent_sdk.pruning import prune  # imports dateutil

        return await self._http.run(prune(self._http, older_than=older_than, keep=keep, plugin=plugin, dry_run=dry_run))

    def _cursor(self, params: Mapping[str, Any] | None) -> PageCursor[PluginReleasePage]:
        return self._http.cursor(*endpoints.release_pages(params))
