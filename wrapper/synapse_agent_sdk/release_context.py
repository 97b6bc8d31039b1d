"""A release for the length of a block: cached on entry, and deleted on exit where that was asked for."""

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
    """What both flavours share: which release it is, and what becomes of an error on the way out."""

    def __init__(self, plugin: str, version: str | None, *, delete: bool) -> None:
        self._code, self._version = _parts(plugin, version)
        self._delete = delete
        self._info: PluginRelease | None = None

    @property
    def info(self) -> PluginRelease:
        """The release as the agent sent it, once the block was entered."""
        if self._info is None:
            msg = f"{self!r} is cached when its block is entered: use it in `with` or `async with`"
            raise RuntimeError(msg)
        return self._info

    def __repr__(self) -> str:
        return f"{type(self).__name__}({f'{self._code}@{self._version}'!r:.200})"

    def _run_of(
        self, endpoint: Callable[Concatenate[Lookup, P], Request[Any]], call: Callable[[Request[Any]], R]
    ) -> Callable[P, R]:
        """Runs an action of this release: the signature is the endpoint's without its first parameter."""

        @functools.wraps(endpoint)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            return call(endpoint(self.info, *args, **kwargs))

        shown = inspect.signature(endpoint)  # by help() and notebooks
        run.__dict__["__signature__"] = shown.replace(parameters=list(shown.parameters.values())[1:])
        return run

    @contextlib.contextmanager
    def _deleting(self, error: BaseException | None) -> Iterator[None]:
        """Around the deletion: it must not hide the error that ended the block, and what is gone need not go."""
        try:
            yield
        except exceptions.NotFoundError:
            pass
        except Exception as failure:
            if error is None:
                raise
            error.add_note(f"{self!r} could not be deleted either: {failure}")


class ReleaseContext(BaseReleaseContext):
    """A release of `AgentClient.plugin_release`: `run` its actions, and read its data from `info`."""

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
    """A release of `AsyncAgentClient.plugin_release`: `run` its actions, and read its data from `info`."""

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

            # A block that was cancelled still cleans up; the time of a call bounds how long that takes.
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
            msg = f"{lookup!r:.100} names no release that can be cached: give code@version, or code and version"
            raise ValueError(msg)
    endpoints.create_plugin_release(plugin, version)  # what it refuses is refused here, and not on entry
    return plugin, version
