"""The plugin release operations, one short method each; `async_plugin_releases` has the async versions.

Sync and async signatures are identical, which a test asserts. Requests are built in `endpoints`, and responses parsed
in `runtime.response`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from synapse_agent_sdk import endpoints
from synapse_agent_sdk.raw_response import WithRawResponse
from synapse_agent_sdk.release_context import ReleaseContext
from synapse_agent_sdk.runtime import Items, collect

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike
    from uuid import UUID

    from synapse_agent_api.typed_dicts import PluginRelease, PluginReleasePage

    from synapse_agent_sdk.lookup import Lookup
    from synapse_agent_sdk.pruning import Age
    from synapse_agent_sdk.runtime import HttpClient, PageCursor, Timeout


class PluginClientMixin:
    """The plugin release operations of `AgentClient`."""

    _http: HttpClient

    @overload
    def list_plugin_releases(
        self, params: Mapping[str, Any] | None = None, *, list_all: Literal[False] = False
    ) -> PluginReleasePage: ...
    @overload
    def list_plugin_releases(
        self, params: Mapping[str, Any] | None = None, *, list_all: Literal[True]
    ) -> tuple[list[PluginRelease], int]: ...
    @overload
    def list_plugin_releases(
        self, params: Mapping[str, Any] | None = None, *, list_all: bool
    ) -> PluginReleasePage | tuple[list[PluginRelease], int]: ...
    def list_plugin_releases(
        self, params: Mapping[str, Any] | None = None, *, list_all: bool = False
    ) -> PluginReleasePage | tuple[list[PluginRelease], int]:
        """List the cached releases (`list_plugin_releases`).

        Args:
            params: `page` (from 1), `page_size`, and any filter of the agent, such as `plugin`. None values are
                omitted.
            list_all: Whether to read all pages, with 1,000 releases each unless `page_size` is given or the agent's
                limit is lower.

        Returns:
            One page as the agent sent it (`count`, `next`, `previous`, `results`), or with `list_all` all releases
            and their count.

        Raises:
            TypeError: If a filter is not a string, a number, a bool or a list of these.
            PaginationError: If the pages loop, end too early or are invalid.
            UntrustedOriginError: If a link leads away from the agent.
            ClientError: If the request fails in another way; `page` is the number of the failed page, and `results`
                the releases before it.

        Example:
            >>> releases, total = client.list_plugin_releases({"plugin": "text_stats"}, list_all=True)
            >>> total, releases[0]["plugin"]
            (1, 'text_stats')
        """
        if list_all:
            return self._http.run(collect(self._cursor(params)))
        return self._http.call(endpoints.list_plugin_releases(params))

    def iter_plugin_releases(self, params: Mapping[str, Any] | None = None) -> Items[PluginReleasePage, PluginRelease]:
        """Iterate over the cached releases, requesting pages as needed (`list_plugin_releases`).

        Args:
            params: The same as for `list_plugin_releases`.

        Returns:
            An iterator over the releases; its `pages()` iterates over the pages.

        Raises:
            TypeError: If a filter is not a string, a number, a bool or a list of these.
            ClientError: If a page fails while iterating; `page` is its number. Continuing requests that page again.

        Example:
            >>> [release["version"] for release in client.iter_plugin_releases({"plugin": "text_stats"})]
            ['1.0.0']
        """
        return Items(lambda: self._cursor(params), self._http.run)

    def get_plugin_release(self, lookup: Lookup) -> PluginRelease:
        """Get one cached release (`get_plugin_release`).

        Args:
            lookup: The release's id, `code@version`, or a release returned by the client.

        Returns:
            The release as the agent sent it.

        Raises:
            ValueError: If `lookup` is invalid.
            NotFoundError: If it is not cached.
            ClientError: If the request fails in another way.

        Example:
            >>> client.get_plugin_release("text_stats@1.0.0")["version"]
            '1.0.0'
        """
        return self._http.call(endpoints.get_plugin_release(lookup))

    def create_plugin_release(self, plugin: str, version: str) -> PluginRelease:
        """Fetch and cache a release on the agent (`create_plugin_release`); safe to repeat.

        Args:
            plugin: The plugin's code.
            version: The release's version, optionally with a `+variant`.

        Returns:
            The release as the agent sent it.

        Raises:
            ValueError: If either is blank.
            NotFoundError: If there is no such plugin or version.
            ClientError: If the request fails in another way.

        Example:
            >>> client.create_plugin_release(plugin="text_stats", version="1.0.0")["plugin"]
            'text_stats'
        """
        return self._http.call(endpoints.create_plugin_release(plugin, version))

    def delete_plugin_release(self, lookup: Lookup) -> None:
        """Remove a release from the agent's cache (`delete_plugin_release`).

        Args:
            lookup: The release's id, `code@version`, or a release returned by the client.

        Raises:
            ValueError: If `lookup` is invalid.
            NotFoundError: If it is not cached.
            ClientError: If the request fails in another way.

        Example:
            >>> release = client.create_plugin_release("csv_summary", "1.0.0")
            >>> client.delete_plugin_release(release)
        """
        self._http.call(endpoints.delete_plugin_release(lookup))

    def run_plugin_release(
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

        Arguments that are None are omitted; `{}` and `[]` are sent.

        Args:
            lookup: The release's id, `code@version`, or a release returned by the client.
            action: The action's name, or the whole body as in v1.
            params: The action's parameters.
            data: The whole body, as in v1, sent unchanged; the other body arguments are ignored.
            requirements: Additional packages to install, such as `["pillow>=9.0.0"]`.
            job_id: Your id for this run.
            language: Language of the action's user-facing log messages, such as `"ko"`.
            idempotency_key: A UUID; agents that honour it run an action once per key. Generated if omitted.
            timeout: Any form that the client accepts. Defaults to the client's, or else no limit.

        Returns:
            The action's result: any JSON value.

        Raises:
            TypeError: If both `action` and `data` are missing, or a value is not JSON.
            ValueError: If `lookup` or `idempotency_key` is invalid, or a value is not JSON.
            ActionFailedError: If the action failed; `detail` says how.
            ClientResponseIncompleteError: If the connection broke after the request was sent: the action may run.
            ClientError: If the request fails in another way.

        Example:
            >>> params = {"path": os.path.abspath("README.md")}
            >>> result = client.run_plugin_release("text_stats@1.0.0", "analyze", params)
            >>> result["words"] > 100
            True
        """
        return self._http.call(
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

    def run_debug_plugin_release(
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

        Arguments that are None are omitted; `{}` and `[]` are sent.

        Args:
            action: The action's name, or the whole body as in v1.
            params: The action's parameters.
            data: The whole body, as in v1, sent unchanged; the other body arguments are ignored.
            plugin_path: Source folder of the plugin, on the agent's machine.
            config: Configuration that overrides that of the sources.
            modules: Source code by dotted module name; overrides the sources.
            requirements: Additional packages to install, such as `["numpy"]`.
            job_id: Your id for this run.
            language: Language of the action's user-facing log messages, such as `"ko"`.
            idempotency_key: A UUID; agents that honour it run an action once per key. Generated if omitted.
            timeout: Any form that the client accepts. Defaults to the client's, or else no limit.

        Returns:
            The action's result: any JSON value.

        Raises:
            TypeError: If both `action` and `data` are missing, or a value is not JSON.
            ValueError: If `idempotency_key` is invalid, or a value is not JSON.
            ActionFailedError: If the action failed; `detail` says how.
            ClientResponseIncompleteError: If the connection broke after the request was sent: the action may run.
            ClientError: If the request fails in another way.

        Example:
            >>> client.run_debug_plugin_release(
            ...     "double",
            ...     {"number": 21},
            ...     config={"actions": {"double": {"entrypoint": "numbers_plugin:double"}}},
            ...     modules={"numbers_plugin": "def double(number): return 2 * number"},
            ... )
            42
        """
        return self._http.call(
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
    def with_raw_response(self) -> WithRawResponse:
        """The same operations, returning a `RawResponse` with status, headers, elapsed time and attempts."""
        return WithRawResponse(self._http)

    def plugin_release(self, plugin: str, version: str | None = None, *, delete: bool = False) -> ReleaseContext:
        """Cache a release for a `with` block and run its actions there.

        Entering the block caches the release. Its `run` takes the arguments of `run_plugin_release` except the
        release, and its `info` is the release as the agent sent it.

        Args:
            plugin: The plugin's code, or `code@version` without `version`.
            version: The release's version.
            delete: Whether to delete the release when the block ends, even after an error. If deleting fails too,
                the block's error is raised with a note. By default the release stays, as other programs may use it.

        Returns:
            A context manager. Entering and leaving raise the errors of `create_plugin_release` and
            `delete_plugin_release`, except that a missing release is not an error on leaving.

        Raises:
            ValueError: If `plugin` or `version` is blank or missing.

        Example:
            >>> with client.plugin_release("text_stats", "1.0.0") as release:
            ...     result = release.run("analyze", {"path": os.path.abspath("README.md")})
            >>> release.info["version"], result["words"] > 100
            ('1.0.0', True)
        """
        return ReleaseContext(self._http, plugin, version, delete=delete)

    def prune_plugin_releases(
        self,
        *,
        older_than: Age | None = None,
        keep: int | None = None,
        plugin: str | None = None,
        dry_run: bool = False,
    ) -> list[PluginRelease]:
        """Delete old releases from the agent's cache: reads the whole list, then deletes releases by id.

        Deletes releases that match all criteria. Releases without a valid `created` (RFC 3339 with an offset) are
        never deleted and do not count towards `keep`.

        Args:
            older_than: An age (`90min`, `12h`, `30d`, `2w` or a timedelta), or a date (ISO 8601 or a datetime). A
                date without a timezone is local time; without a time of day it is midnight.
            keep: Number of newest releases of each plugin to keep, regardless of age; at least 1.
            plugin: Prune only releases of this plugin. Requires `older_than` or `keep`.
            dry_run: Whether to return the releases without deleting them.

        Returns:
            The releases that were deleted, or with `dry_run` would be, oldest first. Releases deleted by others in the
            meantime are not included.

        Raises:
            TypeError: If `older_than` has the wrong type.
            ValueError: If both `older_than` and `keep` are missing, or an argument is invalid.
            ClientError: If reading the list or deleting a release fails; `results` has the releases deleted so far.

        Example:
            >>> [release["version"] for release in client.prune_plugin_releases(older_than="30d", keep=2)]
            []
        """
        from synapse_agent_sdk.pruning import prune  # rarely used, and imports dateutil

        return self._http.run(prune(self._http, older_than=older_than, keep=keep, plugin=plugin, dry_run=dry_run))

    def _cursor(self, params: Mapping[str, Any] | None) -> PageCursor[PluginReleasePage]:
        return self._http.cursor(*endpoints.release_pages(params))
