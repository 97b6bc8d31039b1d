"""What is made of the operations, in both flavours; `plugin` and `async_plugin` have the operations themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synapse_sdk.clients.agent.async_plugin import AsyncPluginClientMixin
from synapse_sdk.clients.agent.cached import AsyncCachedRelease, CachedRelease
from synapse_sdk.clients.agent.plugin import PluginClientMixin
from synapse_sdk.clients.agent.raw import AsyncWithRawResponse, WithRawResponse

if TYPE_CHECKING:
    from synapse_agent_api.typed_dicts import PluginRelease

    from synapse_sdk.clients.agent.ages import Age


class ComposedClientMixin(PluginClientMixin):
    """What `AgentClient` makes of its operations."""

    @property
    def with_raw_response(self) -> WithRawResponse:
        """The operations, each of which gives a `RawResponse`: status, headers, time and attempts beside the value."""
        return WithRawResponse(self._run, self._exchange)

    def plugin_release(self, plugin: str, version: str | None = None, *, delete: bool = False) -> CachedRelease:
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
        return CachedRelease(self, plugin, version, delete=delete)

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
            older_than: Which are old: cached longer ago than `90min`, `12h`, `30d`, `2w` or a timedelta, or before a
                datetime or a date in any form. A date without a timezone is local time, as Python has it, and one
                without a time of day starts that day. What can be read in two ways is refused.
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
        from synapse_sdk.clients.agent import pruning  # few programs prune

        return self._run(
            pruning.prune(self._flow, self._walk, older_than=older_than, keep=keep, plugin=plugin, dry_run=dry_run)
        )


class AsyncComposedClientMixin(AsyncPluginClientMixin):
    """What `AsyncAgentClient` makes of its operations."""

    @property
    def with_raw_response(self) -> AsyncWithRawResponse:
        """The operations, each of which gives a `RawResponse`: status, headers, time and attempts beside the value."""
        return AsyncWithRawResponse(self._run, self._exchange)

    def plugin_release(self, plugin: str, version: str | None = None, *, delete: bool = False) -> AsyncCachedRelease:
        """Have a release cached for an `async with` block, and run its actions there.

        Arguments, result and errors are those of `AgentClient.plugin_release`; it is not awaited, but entered.

        Example:
            >>> async with client.plugin_release("text_stats@1.0.0") as release:
            ...     result = await release.run("analyze", {"path": os.path.abspath("README.md")})
            >>> release.info["version"], result["words"] > 100
            ('1.0.0', True)
        """
        return AsyncCachedRelease(self, plugin, version, delete=delete)

    async def prune_plugin_releases(
        self,
        *,
        older_than: Age | None = None,
        keep: int | None = None,
        plugin: str | None = None,
        dry_run: bool = False,
    ) -> list[PluginRelease]:
        """Delete old releases from the agent's cache: the whole list is read first, then each is deleted by its id.

        Arguments, result and errors are those of `AgentClient.prune_plugin_releases`.

        Example:
            >>> [release["version"] for release in await client.prune_plugin_releases(older_than="30d", keep=2)]
            []
        """
        from synapse_sdk.clients.agent import pruning  # as above

        return await self._run(
            pruning.prune(self._flow, self._walk, older_than=older_than, keep=keep, plugin=plugin, dry_run=dry_run)
        )
