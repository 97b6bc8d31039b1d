"""The plugin release operations: one short method each. `async_plugin` has the same, awaited.

The signatures of both flavours are the same, which a test asserts; what a method does with its arguments stands in
`operations`, and what it does with an answer in `answers`.
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
        """List the releases that the agent has cached (`list_plugin_releases`).

        Args:
            params: `page` (from 1), `page_size`, and any filter that the agent knows, such as `plugin`. What is None
                is left out.
            list_all: Whether to read all pages. They have up to 1,000 releases each, unless `page_size` says otherwise
                or the agent has smaller ones.

        Returns:
            One page as the agent sent it (`count`, `next`, `previous`, `results`), or with `list_all` the list of all
            releases and their count.

        Raises:
            TypeError: If a filter is neither text nor a number, a bool or a list of these.
            PaginationError: If the pages lead in a circle, end too early, or are none.
            UntrustedOriginError: If a link leads away from the agent.
            ClientError: If the call fails in any other way. Where a later page does, `page` is its number, and
                `results` what was read before it.

        Example:
            >>> releases, total = client.list_plugin_releases({"plugin": "text_stats"}, list_all=True)
            >>> total, releases[0]["plugin"]
            (1, 'text_stats')
        """
        if list_all:
            return self._http.run(collect(self._cursor(params)))
        return self._http.call(endpoints.list_plugin_releases(params))

    def iter_plugin_releases(self, params: Mapping[str, Any] | None = None) -> Items[PluginReleasePage, PluginRelease]:
        """Walk over the releases that the agent has cached, page by page (`list_plugin_releases`).

        One page is held at a time, and the next one is asked for when it is needed. `.pages()` of what is returned
        gives the pages.

        Args:
            params: As `list_plugin_releases` takes them.

        Returns:
            An iterator of the releases, which gives each of them once.

        Raises:
            TypeError: If a filter is neither text nor a number, a bool or a list of these.
            ClientError: If a page fails for good; `page` is its number. It is raised while iterating, and whoever goes
                on after it asks for the same page again.

        Example:
            >>> [release["version"] for release in client.iter_plugin_releases({"plugin": "text_stats"})]
            ['1.0.0']
        """
        return Items(lambda: self._cursor(params), self._http.run)

    def get_plugin_release(self, lookup: Lookup) -> PluginRelease:
        """Get one cached release (`get_plugin_release`).

        Args:
            lookup: The release's id, `code@version`, or a release that the client returned.

        Returns:
            The release as the agent sent it.

        Raises:
            ValueError: If `lookup` names no release. Nothing has been sent then.
            NotFoundError: If the agent has not cached it.
            ClientError: If the call fails in any other way.

        Example:
            >>> client.get_plugin_release("text_stats@1.0.0")["version"]
            '1.0.0'
        """
        return self._http.call(endpoints.get_plugin_release(lookup))

    def create_plugin_release(self, plugin: str, version: str) -> PluginRelease:
        """Have the agent fetch a release and cache it (`create_plugin_release`); twice is harmless.

        Args:
            plugin: The plugin's code.
            version: The release's version, which may end in a `+variant`.

        Returns:
            The release as the agent sent it.

        Raises:
            ValueError: If either is blank. Nothing has been sent then.
            NotFoundError: If there is no such plugin or version.
            ClientError: If the call fails in any other way.

        Example:
            >>> client.create_plugin_release(plugin="text_stats", version="1.0.0")["plugin"]
            'text_stats'
        """
        return self._http.call(endpoints.create_plugin_release(plugin, version))

    def delete_plugin_release(self, lookup: Lookup) -> None:
        """Remove a release from the agent's cache (`delete_plugin_release`).

        Args:
            lookup: The release's id, `code@version`, or a release that the client returned.

        Raises:
            ValueError: If `lookup` names no release. Nothing has been sent then.
            NotFoundError: If the agent has not cached it.
            ClientError: If the call fails in any other way.

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
        """Run an action of a cached release, and wait for its result (`run_plugin_release`).

        Arguments that are None are left out; `{}` and `[]` are sent.

        Args:
            lookup: The release's id, `code@version`, or a release that the client returned.
            action: The action's name. Callers of v1 gave the whole body here, which still works.
            params: The action's parameters.
            data: The whole body, as in v1: it is sent as it is, and the other arguments are ignored.
            requirements: Further packages that the action needs, such as `["pillow>=9.0.0"]`.
            job_id: The caller's own id for this run.
            language: Language of the messages that the action logs for people, such as `"ko"`.
            idempotency_key: A UUID; agents that honour it run an action once per key. Made where left out.
            timeout: As the client takes it. Where neither was given one, there is no bound on the wait.

        Returns:
            The action's own result: any JSON value.

        Raises:
            TypeError: If there is neither `action` nor `data`, or a value is not JSON. Nothing has been sent then.
            ValueError: If `lookup` names no release, or a value is not JSON. Nothing has been sent then.
            ActionFailedError: If the action itself failed; `detail` has what is known of it.
            ClientResponseIncompleteError: If the connection broke while the action may have been running.
            ClientError: If the call fails in any other way.

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

        Arguments that are None are left out; `{}` and `[]` are sent.

        Args:
            action: The action's name. Callers of v1 gave the whole body here, which still works.
            params: The action's parameters.
            data: The whole body, as in v1: it is sent as it is, and the other arguments are ignored.
            plugin_path: Folder of the plugin's sources, on the agent's machine.
            config: Configuration, merged over that of the sources.
            modules: Source code by dotted module name, laid over the sources.
            requirements: Further packages that the action needs, such as `["numpy"]`.
            job_id: The caller's own id for this run.
            language: Language of the messages that the action logs for people, such as `"ko"`.
            idempotency_key: A UUID; agents that honour it run an action once per key. Made where left out.
            timeout: As the client takes it. Where neither was given one, there is no bound on the wait.

        Returns:
            The action's own result: any JSON value.

        Raises:
            TypeError: If there is neither `action` nor `data`, or a value is not JSON. Nothing has been sent then.
            ValueError: If a value is not JSON. Nothing has been sent then.
            ActionFailedError: If the action itself failed; `detail` has what is known of it.
            ClientResponseIncompleteError: If the connection broke while the action may have been running.
            ClientError: If the call fails in any other way.

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
        """The operations, each of which gives a `RawResponse`: status, headers, time and attempts beside the value."""
        return WithRawResponse(self._http)

    def plugin_release(self, plugin: str, version: str | None = None, *, delete: bool = False) -> ReleaseContext:
        """Have a release cached for a `with` block, and run its actions there.

        It is cached when the block is entered. What the block gives has `run`, which takes what `run_plugin_release`
        takes but for the release, and `info`, the release as the agent sent it.

        Args:
            plugin: The plugin's code, or `code@version` where no version is given.
            version: The release's version.
            delete: Whether to delete the release when the block ends, also by an error. Otherwise it stays, since
                another program may be using it by then. An error in deleting never takes the place of the block's:
                it is added to that as a note.

        Returns:
            What `with` enters. Entering and leaving raise what `create_plugin_release` and `delete_plugin_release`
            raise, but that a release which is gone already is no error.

        Raises:
            ValueError: If plugin or version is blank or missing. Nothing has been sent then.

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
        """Delete old releases from the agent's cache: the whole list is read first, then each is deleted by its id.

        A release is deleted where all that was given says so. What an agent sends without a `created` that has a
        date, a time and an offset (RFC 3339) stays, and does not count among those that `keep` keeps.

        Args:
            older_than: An age (`90min`, `12h`, `30d`, `2w` or a timedelta), or a date (ISO 8601 or a datetime). A
                date without a timezone is local time, and one without a time of day starts that day.
            keep: How many of the newest releases of each plugin stay, however old; 1 or more.
            plugin: Code of the one plugin whose releases may go. It is no reason to delete: it needs one of the others.
            dry_run: Whether to delete nothing, and only say what would be.

        Returns:
            The releases that were deleted, or with `dry_run` would be, oldest first. One that somebody else deleted
            meanwhile is not among them.

        Raises:
            TypeError: If `older_than` is of a wrong type. Nothing has been sent then.
            ValueError: If there is neither `older_than` nor `keep`, or one of them cannot be used: a date that does
                not lie in the past, say. Nothing has been sent then.
            ClientError: If reading the list or deleting a release fails for good; `results` is what was deleted by
                then, which is nothing where the list failed.

        Example:
            >>> [release["version"] for release in client.prune_plugin_releases(older_than="30d", keep=2)]
            []
        """
        from synapse_agent_sdk.pruning import prune  # few programs prune, and it brings dateutil

        return self._http.run(prune(self._http, older_than=older_than, keep=keep, plugin=plugin, dry_run=dry_run))

    def _cursor(self, params: Mapping[str, Any] | None) -> PageCursor[PluginReleasePage]:
        return self._http.cursor(*endpoints.release_pages(params))
