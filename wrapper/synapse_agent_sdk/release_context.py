"""Releases as context managers: cached on entry, optionally deleted on exit."""

from __future__ import annotations

import contextlib
import functools
import inspect
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from synapse_agent_sdk import endpoints, exceptions
from synapse_agent_sdk.lookup import ReleaseLookup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType
    from typing import Self

    from synapse_agent_api.typed_dicts import PluginRelease

    from synapse_agent_sdk.lookup import Lookup
    from synapse_agent_sdk.runtime import AsyncHttpClient, HttpClient, Request

P = ParamSpec("P")
R = TypeVar("R")


class BaseReleaseContext:
    """State and error handling, shared by sync and async."""

    def __init__(self, plugin: str, version: str | None, *, delete: bool) -> None:
        self._code, self._version = _parts(plugin, version)
        self._delete = delete
        self._info: PluginRelease | None = None

    @property
    def info(self) -> PluginRelease:
        """The release as the agent sent it; available inside the block."""
        if self._info is None:
            msg = f"{self!r} is not cached yet: enter it using `with` or `async with`"
            raise RuntimeError(msg)
        return self._info

    def __repr__(self) -> str:
        return f"{type(self).__name__}({f'{self._code}@{self._version}'!r:.200})"

    def _run_of(
        self, endpoint: Callable[Concatenate[Lookup, P], Request[Any]], call: Callable[[Request[Any]], R]
    ) -> Callable[P, R]:
        """A function that runs an action of this release, with the endpoint's signature minus its first parameter."""

        @functools.wraps(endpoint)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            return call(endpoint(self.info, *args, **kwargs))

        shown = inspect.signature(endpoint)  # for help() and notebooks
        run.__dict__["__signature__"] = shown.replace(parameters=list(shown.parameters.values())[1:])
        return run

    @contextlib.contextmanager
    def _deleting(self, error: BaseException | None) -> Iterator[None]:
        """Wraps the deletion: it must not mask the block's error, and a missing release is not an error."""
        try:
            yield
        except exceptions.NotFoundError:
            pass
        except Exception as failure:
            if error is None:
                raise
            error.add_note(f"{self!r} could not be deleted either: {failure}")


class ReleaseContext(BaseReleaseContext):
    """A release from `AgentClient.plugin_release`: `run` runs its actions, `info` has its data."""

    def __init__(self, http: HttpClient, plugin: str, version: str | None, *, delete: bool) -> None:
        super().__init__(plugin, version, delete=delete)
        self._http = http
        self.run = self._run_of(endpoints.run_plugin_release, http.call)

    def __enter__(self) -> Self:
        self._info = self._http.call(endpoints.create_plugin_release(self._code, self._version))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._delete:
            with self._deleting(error):
                self._http.call(endpoints.delete_plugin_release(self.info))


class AsyncReleaseContext(BaseReleaseContext):
    """A release from `AsyncAgentClient.plugin_release`: `run` runs its actions, `info` has its data."""

    def __init__(self, http: AsyncHttpClient, plugin: str, version: str | None, *, delete: bool) -> None:
        super().__init__(plugin, version, delete=delete)
        self._http = http
        self.run = self._run_of(endpoints.run_plugin_release, http.call)

    async def __aenter__(self) -> Self:
        release = await self._http.call(endpoints.create_plugin_release(self._code, self._version))
        self._info = release
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._delete:
            import anyio

            # Clean up even after cancellation; the request's timeout limits how long that takes.
            with self._deleting(error), anyio.CancelScope(shield=True):
                await self._http.call(endpoints.delete_plugin_release(self.info))


def _parts(plugin: str, version: str | None) -> tuple[str, str]:
    """A plugin's code and version, from `code@version` or from both.

    Raises:
        ValueError: If one of them is missing.
    """
    if version is None:
        lookup = str(ReleaseLookup.parse(plugin))
        plugin, at, version = lookup.rpartition("@")
        if not at:
            msg = f"{lookup!r:.100} needs a version: pass code@version, or code and version"
            raise ValueError(msg)
    endpoints.create_plugin_release(plugin, version)  # validates now, not on entry
    return plugin, version
