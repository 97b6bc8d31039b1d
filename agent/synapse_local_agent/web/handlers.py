"""The handlers: one method per operation of the contract, named after its operationId."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import URL

from synapse_local_agent.errors import RegistryError
from synapse_local_agent.releases.plugin_files import digest
from synapse_local_agent.web.messages import ApiError, ApiResponse, Call, no_release
from synapse_local_agent.web.run_handlers import RunHandlers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from synapse_local_agent.releases.registry import Registry
    from synapse_local_agent.releases.store import Release, Store
    from synapse_local_agent.runs.runner import Runner

LOG = logging.getLogger(__name__)
DEFAULT_PAGE_SIZE = 100


class Handlers:
    """The operations. An error response is raised as an `ApiError`."""

    def __init__(self, registry: Registry, store: Store, runner: Runner, debug_roots: Sequence[Path], version: str):
        self._registry = registry
        self._store = store
        self._runner = runner
        self._runs = RunHandlers(store, runner, debug_roots)
        self._version = version

    async def start(self) -> None:
        """Prepare for runs."""
        await self._runner.start()

    def end_runs(self) -> None:
        """End all running actions, and any that start later."""
        self._runner.end_runs()

    async def close(self) -> None:
        """End all running actions and close the store."""
        await self._runner.close()
        self._store.close()

    async def health_check(self, _: Call) -> ApiResponse:
        """Report that the agent is up."""
        return ApiResponse(200, {"status": "ok", "version": self._version})

    async def list_plugin_releases(self, call: Call) -> ApiResponse:
        """One page of the cached releases, newest first."""
        number, size = call.query.get("page", 1), call.query.get("page_size", DEFAULT_PAGE_SIZE)
        count, releases = await run_in_threadpool(self._store.page, call.filters, number, size)
        if number > 1 and not releases:
            raise ApiError(404, f"There is no page {number}: there are {count} releases, {size} per page.")
        url = URL(call.url())
        body = {
            "count": count,
            "next": str(url.include_query_params(page=number + 1)) if number * size < count else None,
            "previous": str(url.include_query_params(page=number - 1)) if number > 1 else None,
            "results": [release.to_json() for release in releases],
        }
        return ApiResponse(200, body)

    async def create_plugin_release(self, call: Call) -> ApiResponse:
        """Cache a release from the registry."""
        try:
            release, is_new = await run_in_threadpool(self._cache, call.body["plugin"], call.body["version"])
        except RegistryError as error:
            raise ApiError(422, f"{error}.") from None
        except OSError as error:
            raise ApiError(500, f"The release cannot be cached: {error}.") from None
        return ApiResponse(201 if is_new else 200, release.to_json())

    def _cache(self, code: str, version: str) -> tuple[Release, bool]:
        """Cache a release and return whether it is new. A cached release never changes, even if its plugin does.

        Raises:
            RegistryError: If the plugin is invalid.
        """
        if release := self._store.find(code, version):
            self._warn_of_change(release)
            return release, False
        plugin = self._registry.find(code, version)
        if plugin is None:
            raise ApiError(404, f"The registry has no plugin {code!r} with version {version!r}.")
        return self._store.add(plugin)

    def _warn_of_change(self, release: Release) -> None:
        """Warn if the registry's plugin differs from the cached release although its version is the same."""
        with contextlib.suppress(RegistryError, OSError):
            plugin = self._registry.find(release.plugin, release.version)
            if plugin is not None and digest(plugin.path) != release.digest:
                LOG.warning(
                    "%s@%s has changed in the registry without a new version: the cached release is used;"
                    " delete it to cache the current files",
                    release.plugin,
                    release.version,
                )

    async def get_plugin_release(self, call: Call) -> ApiResponse:
        """Return a cached release."""
        release = self._store.get(call.lookup)
        if release is None:
            raise no_release(call.lookup)
        return ApiResponse(200, release.to_json())

    async def delete_plugin_release(self, call: Call) -> ApiResponse:
        """Delete a release; its files are removed once no run needs them."""
        release = await run_in_threadpool(self._store.delete, call.lookup)
        if release is None:
            raise no_release(call.lookup)
        await self._runs.forget(release.digest)
        return ApiResponse(204)

    async def run_plugin_release(self, call: Call) -> ApiResponse:
        """Run an action of a release."""
        return await self._runs.run(call)

    async def run_debug_plugin_release(self, call: Call) -> ApiResponse:
        """Run an action from a source folder, from modules in the request, or from both."""
        return await self._runs.run_debug(call)
