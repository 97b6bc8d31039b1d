"""What the agent does: one method for each operation of the contract, named by its operationId."""

from __future__ import annotations

import contextlib
import json
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import URL

from synapse_local_agent import sources
from synapse_local_agent.environments import RequirementsError, required
from synapse_local_agent.errors import RegistryError
from synapse_local_agent.idempotency import KeyReusedError, fingerprint
from synapse_local_agent.registry import CONFIG, entrypoint, read_config
from synapse_local_agent.runner import Job, QueueFullError, Setting

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from synapse_local_agent.processes import Outcome
    from synapse_local_agent.registry import Registry
    from synapse_local_agent.runner import Runner
    from synapse_local_agent.store import Release, Store

LOG = logging.getLogger(__name__)
DEFAULT_PAGE_SIZE = 100
VARIABLE = re.compile(r"[^=\0]+")
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
    key: str | None = None
    """The idempotency key."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: its status, and its body as JSON."""

    status: int
    body: Any = None
    """As Python has it, or as the bytes that are sent."""


class Refusal(Exception):  # noqa: N818 - an answer, not a fault
    """An answer other than success: its status, and what is wrong as the contract's `detail`."""

    def __init__(
        self, status: int, detail: Any, error_type: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = headers
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
        self._deleted: set[str] = set()
        """The files of releases that were deleted; they go once no run needs them."""

    def end_runs(self) -> None:
        """End all running actions, and any that is started later."""
        self._runner.stop()

    async def close(self) -> None:
        """End all running actions and close the store."""
        await self._runner.close()
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
        self._deleted.add(release.digest)
        self._runner.forget(release.digest)
        await self._discard(release.digest)
        return Answer(204)

    async def run_plugin_release(self, call: Call) -> Answer:
        """Run an action of a release."""
        return await self._once("run", call, lambda on_start: self._run_release(call, on_start))

    async def run_debug_plugin_release(self, call: Call) -> Answer:
        """Run an action from a folder of sources, from modules sent along, or from both."""
        return await self._once("run_debug", call, lambda on_start: self._run_sources(call, on_start))

    async def _once(
        self, operation: str, call: Call, carry_out: Callable[[Callable[[], None]], Awaitable[tuple[int, bytes]]]
    ) -> Answer:
        """Carry out a run, or answer with what became of it where its idempotency key is known."""
        if call.key is None:
            return Answer(*await carry_out(lambda: None))
        try:
            asked = fingerprint(operation, call.lookup, call.body)
            return Answer(*await self._runner.keys.once(call.key, asked, carry_out))
        except KeyReusedError:
            raise Refusal(422, f"The idempotency key {call.key} was used for another call: make a new one.") from None

    async def _run_release(self, call: Call, on_start: Callable[[], None]) -> tuple[int, bytes]:
        release = self._find(call.lookup)
        folder = self._store.sources(release)
        job = _job(call.body, release.config, [str(folder)])
        self._running.append(release.digest)
        try:
            setting = _setting(call.body, release.config, folder, release.digest)
            return await self._run(job, setting, on_start)
        finally:
            self._running.remove(release.digest)
            await self._discard(release.digest)

    async def _run_sources(self, call: Call, on_start: Callable[[], None]) -> tuple[int, bytes]:
        body = call.body
        for name in body.get("modules", {}):
            if not MODULE_NAME.fullmatch(name):
                raise Refusal(422, f"modules: {name!r} is not the dotted name of a module.")
        config: dict[str, Any] = {}
        folder = None
        if "plugin_path" in body:
            folder = self._debug_folder(body["plugin_path"])
            if (folder / CONFIG).is_file():
                try:
                    config = await run_in_threadpool(read_config, folder)
                except RegistryError as error:
                    raise Refusal(422, f"{error}.") from None
        config = merge(config, body.get("config", {}))
        job = _job(body, config, [] if folder is None else [str(folder)], body.get("modules", {}))
        return await self._run(job, _setting(body, config, folder), on_start)

    async def _run(self, job: Job, setting: Setting, on_start: Callable[[], None]) -> tuple[int, bytes]:
        try:
            outcome = await self._runner.run(job, setting, on_start)
        except QueueFullError:
            detail = "The queue of runs is full: try again later, or have the agent take more with --max-queue."
            raise Refusal(429, detail, headers={"Retry-After": "1"}) from None
        except RequirementsError as error:
            raise Refusal(422, f"The requirements cannot be installed: {error}", "requirements_failed") from None
        return reply(outcome)

    def _find(self, lookup: str) -> Release:
        release = self._store.get(lookup)
        if release is None:
            raise Refusal(404, f"There is no release {lookup}.")
        return release

    async def _discard(self, digest: str) -> None:
        if digest in self._deleted and digest not in self._running:
            self._deleted.discard(digest)
            self._runner.forget(digest)
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


def _setting(body: dict[str, Any], config: dict[str, Any], folder: Path | None, digest: str | None = None) -> Setting:
    try:
        return Setting(required(folder, body.get("requirements", ())), variables(config), digest)
    except RequirementsError as error:
        raise Refusal(422, f"requirements: {error}.", "requirements_failed") from None


def variables(config: dict[str, Any]) -> dict[str, str]:
    """The environment variables that a config sets for its actions.

    Example:
        >>> variables({"env": {"MODE": "fast", "THREADS": 4, "DEBUG": True}})
        {'MODE': 'fast', 'THREADS': '4', 'DEBUG': 'true'}
    """
    given = config.get("env")
    given = {} if given is None else given
    found = {}
    for name, value in given.items() if isinstance(given, dict) else [("", given)]:
        text = value if isinstance(value, str) else json.dumps(value)
        if not VARIABLE.fullmatch(name) or "\0" in text or isinstance(value, (dict, list)) or value is None:
            raise Refusal(422, f"env: {name!r} must be a variable's name, with a text or a number, in {CONFIG}.")
        found[name] = text
    return found


def reply(outcome: Outcome) -> tuple[int, bytes]:
    """The status and body that answer for the outcome of a run."""
    if outcome.error_type is None:
        return 200, outcome.result
    body = {"detail": outcome.detail, "error_type": outcome.error_type}
    return (504 if outcome.error_type == "action_timeout" else 500), json.dumps(body).encode()
