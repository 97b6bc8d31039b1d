"""The operations that run actions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool

from synapse_local_agent.errors import RegistryError, RequirementsError, UnavailableError
from synapse_local_agent.releases.registry import CONFIG, read_config
from synapse_local_agent.runs.idempotency import KeyReusedError, fingerprint
from synapse_local_agent.runs.runner import QueueFullError
from synapse_local_agent.web import job_requests
from synapse_local_agent.web.messages import ApiError, ApiResponse, Call, no_release

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from synapse_local_agent.releases.store import Store
    from synapse_local_agent.runs.model import Job
    from synapse_local_agent.runs.runner import Runner


class RunHandlers:
    """Runs actions of releases and of sources, and keeps the files of a deleted release until its runs end."""

    def __init__(self, store: Store, runner: Runner, debug_roots: Sequence[Path]) -> None:
        self._store = store
        self._runner = runner
        self._debug_roots = [root.resolve() for root in debug_roots]
        self._running: list[str] = []
        self._deleted: set[str] = set()
        """Digests of deleted releases whose files a run may still need."""

    async def run(self, call: Call) -> ApiResponse:
        """Run an action of a release."""
        return await self._once("run", call, lambda on_start: self._run_release(call, on_start))

    async def run_debug(self, call: Call) -> ApiResponse:
        """Run an action from a source folder, from modules in the request, or from both."""
        return await self._once("run_debug", call, lambda on_start: self._run_sources(call, on_start))

    async def forget(self, digest: str) -> None:
        """Remove the files of a deleted release once no run needs them."""
        self._deleted.add(digest)
        self._runner.forget(digest)
        await self._discard(digest)

    async def _once(
        self, operation: str, call: Call, carry_out: Callable[[Callable[[], None]], Awaitable[tuple[int, bytes]]]
    ) -> ApiResponse:
        """Carry out a run, or return the first response if its idempotency key is known."""
        if call.key is None:
            return ApiResponse(*await carry_out(lambda: None))
        try:
            asked = fingerprint(operation, call.lookup, call.body)
            return ApiResponse(*await self._runner.keys.run_once(call.key, asked, carry_out))
        except KeyReusedError:
            raise ApiError(422, f"Idempotency key {call.key} was used for another request: use a new key.") from None

    async def _run_release(self, call: Call, on_start: Callable[[], None]) -> tuple[int, bytes]:
        release = self._store.get(call.lookup)
        if release is None:
            raise no_release(call.lookup)
        self._running.append(release.digest)
        try:
            folder = self._store.sources(release)
            return await self._run(job_requests.job(call.body, release.config, folder, digest=release.digest), on_start)
        finally:
            self._running.remove(release.digest)
            await self._discard(release.digest)

    async def _run_sources(self, call: Call, on_start: Callable[[], None]) -> tuple[int, bytes]:
        body = call.body
        job_requests.check_modules(body.get("modules", {}))
        config: dict[str, Any] = {}
        folder = None
        if "plugin_path" in body:
            folder = self._debug_folder(body["plugin_path"])
            if (folder / CONFIG).is_file():
                try:
                    config = await run_in_threadpool(read_config, folder)
                except RegistryError as error:
                    raise ApiError(422, f"{error}.") from None
        config = job_requests.merge(config, body.get("config", {}))
        return await self._run(job_requests.job(body, config, folder, modules=body.get("modules")), on_start)

    async def _run(self, job: Job, on_start: Callable[[], None]) -> tuple[int, bytes]:
        try:
            outcome = await self._runner.run(job, on_start)
        except QueueFullError:
            detail = "The queue of runs is full: try again later, or raise the agent's --max-queue."
            raise ApiError(429, detail, headers={"Retry-After": "1"}) from None
        except RequirementsError as error:
            raise ApiError(422, f"The requirements cannot be installed: {error}", "requirements_failed") from None
        except UnavailableError as error:
            raise ApiError(503, str(error), error.error_type) from None
        return job_requests.reply(outcome)

    async def _discard(self, digest: str) -> None:
        if digest in self._deleted and digest not in self._running:
            self._deleted.discard(digest)
            self._runner.forget(digest)
            await run_in_threadpool(self._store.discard, digest)

    def _debug_folder(self, plugin_path: str) -> Path:
        if not plugin_path.strip():
            raise ApiError(422, "plugin_path is empty: give a folder, or omit it.")
        try:
            folder = Path(plugin_path).resolve()
            is_folder = folder.is_dir()
        except (OSError, ValueError, RuntimeError) as error:
            raise ApiError(422, f"plugin_path is invalid: {error}.") from None
        if not any(folder.is_relative_to(root) for root in self._debug_roots):
            roots = ", ".join(map(str, self._debug_roots))
            raise ApiError(403, f"{plugin_path} is outside the folders that debug runs may load from: {roots}.")
        if not is_folder:
            raise ApiError(422, f"plugin_path {plugin_path} is not a folder on the agent's machine.")
        return folder
