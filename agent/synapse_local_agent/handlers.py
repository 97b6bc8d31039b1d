"""What the agent does: one method for each operation of the contract, named by its operationId."""

from __future__ import annotations

import contextlib
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import URL

from synapse_local_agent import sources
from synapse_local_agent.errors import RegistryError
from synapse_local_agent.registry import CONFIG, entrypoint, read_config
from synapse_local_agent.runner import Job

if TYPE_CHECKING:
    from collections.abc import Sequence

    from synapse_local_agent.registry import Registry
    from synapse_local_agent.runner import Outcome, Runner
    from synapse_local_agent.store import Release, Store

LOG = logging.getLogger(__name__)
DEFAULT_PAGE_SIZE = 100
MODULE_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


@dataclass(frozen=True, slots=True)
class Call:
    """A request that the contract found valid."""

    lookup: str
    query: dict[str, Any]
    """The parameters that the contract declares."""
    filters: dict[str, str]
    """The parameters beside them."""
    body: Any
    url: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A success: its status, and its body as JSON."""

    status: int
    body: Any = None
    """As Python has it, or as the bytes that are sent."""


class Refusal(Exception):  # noqa: N818 - an answer, not a fault
    """An answer other than success: its status, and what is wrong as the contract's `detail`."""

    def __init__(self, status: int, detail: Any, error_type: str | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.body = {"detail": detail} if error_type is None else {"detail": detail, "error_type": error_type}


class Handlers:
    """The operations. What they refuse they raise as a Refusal."""

    def __init__(self, registry: Registry, store: Store, runner: Runner, debug_roots: Sequence[Path], version: str):
        self._registry = registry
        self._store = store
        self._runner = runner
        self._debug_roots = [root.resolve() for root in debug_roots]
        self._version = version
        self._running: list[str] = []

    def end_runs(self) -> None:
        """End all running actions, and any that is started later."""
        self._runner.close()

    def close(self) -> None:
        """End all running actions and close the store."""
        self._runner.close()
        self._store.close()

    async def health_check(self, _: Call) -> Answer:
        """Say that the agent is up."""
        return Answer(200, {"status": "ok", "version": self._version})

    async def list_plugin_releases(self, call: Call) -> Answer:
        """One page of the cached releases, newest first."""
        number, size = call.query.get("page", 1), call.query.get("page_size", DEFAULT_PAGE_SIZE)
        count, releases = await run_in_threadpool(self._store.page, call.filters, number, size)
        if number > 1 and not releases:
            raise Refusal(404, f"There is no page {number}: {count} releases fit on fewer pages of {size}.")
        url = URL(call.url)
        body = {
            "count": count,
            "next": str(url.include_query_params(page=number + 1)) if number * size < count else None,
            "previous": str(url.include_query_params(page=number - 1)) if number > 1 else None,
            "results": [release.answer() for release in releases],
        }
        return Answer(200, body)

    async def create_plugin_release(self, call: Call) -> Answer:
        """Cache a release from the registry."""
        try:
            release, is_new = await run_in_threadpool(self._cache, call.body["plugin"], call.body["version"])
        except RegistryError as error:
            raise Refusal(422, f"{error}.") from None
        except OSError as error:
            raise Refusal(500, f"The release cannot be cached: {error}.") from None
        return Answer(201 if is_new else 200, release.answer())

    def _cache(self, code: str, version: str) -> tuple[Release, bool]:
        """Cache a release, and say whether it was new; what was cached stays as it is, whatever became of its plugin.

        Raises:
            RegistryError: If the plugin is not as it should be.
        """
        if release := self._store.find(code, version):
            self._warn_of_change(release)
            return release, False
        plugin = self._registry.find(code, version)
        if plugin is None:
            raise Refusal(404, f"The registry has no plugin {code!r} of version {version!r}.")
        return self._store.add(plugin)

    def _warn_of_change(self, release: Release) -> None:
        """Log that the registry's plugin is no longer what was cached, which a new version would have said."""
        with contextlib.suppress(RegistryError, OSError):
            plugin = self._registry.find(release.plugin, release.version)
            if plugin is not None and sources.digest(plugin.path) != release.digest:
                LOG.warning(
                    "%s@%s has changed in the registry without a new version: the cached release is answered;"
                    " delete it to have the plugin as it is now",
                    release.plugin,
                    release.version,
                )

    async def get_plugin_release(self, call: Call) -> Answer:
        """A cached release."""
        return Answer(200, self._find(call.lookup).answer())

    async def delete_plugin_release(self, call: Call) -> Answer:
        """Forget a release; its files go once no run needs them."""
        release = await run_in_threadpool(self._store.delete, call.lookup)
        if release is None:
            raise Refusal(404, f"There is no release {call.lookup}.")
        await self._discard(release.digest)
        return Answer(204)

    async def run_plugin_release(self, call: Call) -> Answer:
        """Run an action of a release."""
        release = self._find(call.lookup)
        _refuse_requirements(call.body)
        job = _job(call.body, release.config, [str(self._store.sources(release))])
        self._running.append(release.digest)
        try:
            outcome = await self._runner.run(job)
        finally:
            self._running.remove(release.digest)
            await self._discard(release.digest)
        return _answer(outcome)

    async def run_debug_plugin_release(self, call: Call) -> Answer:
        """Run an action from a folder of sources, from modules sent along, or from both."""
        body = call.body
        _refuse_requirements(body)
        for name in body.get("modules", {}):
            if not MODULE_NAME.fullmatch(name):
                raise Refusal(422, f"modules: {name!r} is not the dotted name of a module.")
        config: dict[str, Any] = {}
        path = []
        if "plugin_path" in body:
            folder = self._debug_folder(body["plugin_path"])
            path = [str(folder)]
            if (folder / CONFIG).is_file():
                try:
                    config = await run_in_threadpool(read_config, folder)
                except RegistryError as error:
                    raise Refusal(422, f"{error}.") from None
        job = _job(body, merge(config, body.get("config", {})), path, body.get("modules", {}))
        return _answer(await self._runner.run(job))

    def _find(self, lookup: str) -> Release:
        release = self._store.get(lookup)
        if release is None:
            raise Refusal(404, f"There is no release {lookup}.")
        return release

    async def _discard(self, digest: str) -> None:
        if digest not in self._running:
            await run_in_threadpool(self._store.discard, digest)

    def _debug_folder(self, plugin_path: str) -> Path:
        if not plugin_path.strip():
            raise Refusal(422, "plugin_path is empty: name a folder, or leave it out.")
        try:
            folder = Path(plugin_path).resolve()
            is_folder = folder.is_dir()
        except (OSError, ValueError, RuntimeError) as error:
            raise Refusal(422, f"plugin_path cannot be used: {error}.") from None
        if not any(folder.is_relative_to(root) for root in self._debug_roots):
            roots = ", ".join(map(str, self._debug_roots))
            raise Refusal(403, f"{plugin_path} is outside the folders that debug runs may load from: {roots}.")
        if not is_folder:
            raise Refusal(422, f"plugin_path {plugin_path} is not a folder on the agent's machine.")
        return folder


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`over` laid over `base`: objects are merged, everything else is replaced.

    Example:
        >>> merge({"actions": {"train": {"method": "job"}}}, {"actions": {"train": {"entrypoint": "a:b"}}})
        {'actions': {'train': {'method': 'job', 'entrypoint': 'a:b'}}}
    """
    merged = dict(base)
    for name, value in over.items():
        below = merged.get(name)
        merged[name] = merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _job(body: dict[str, Any], config: dict[str, Any], path: list[str], modules: dict[str, str] | None = None) -> Job:
    try:
        target = entrypoint(config, body["action"])
    except (LookupError, RegistryError) as error:
        raise Refusal(422, str(error.args[0])) from None
    return Job(
        action=body["action"],
        entrypoint=target,
        path=path,
        modules=modules or {},
        params=body.get("params", {}),
        plugin=config.get("code"),
        version=config.get("version"),
        config=config,
        job_id=body.get("job_id"),
        language=body.get("language"),
    )


def _refuse_requirements(body: dict[str, Any]) -> None:
    if body.get("requirements"):
        raise Refusal(
            422, "This agent cannot install requirements yet: leave them out, and install them beside the agent."
        )


def _answer(outcome: Outcome) -> Answer:
    if outcome.error_type is not None:
        raise Refusal(500, outcome.detail, outcome.error_type)
    return Answer(200, outcome.result)
