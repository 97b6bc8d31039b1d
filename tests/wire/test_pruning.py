"""Pruning: only what was asked for, and only after the whole list was read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from synapse_sdk import exceptions

from tests.wire.conftest import sync_only
from tests.wire.faults import FAST, hang_up, page, reply

if TYPE_CHECKING:
    from synapse_sdk.testing.server import Answer

    from tests.wire.conftest import OpenClient, OpenServer
    from tests.wire.faults import FaultServer

pytestmark = pytest.mark.contract

GONE = reply(None, 204)


def release(number: int, plugin: str = "ocr", created: str | None = "2020-01-{:02}T00:00:00Z") -> dict[str, Any]:
    """A release that was cached on that day of January 2020, or at a time that nobody knows."""
    known = {} if created is None else {"created": created.format(number)}
    return {"id": number, "plugin": plugin, "version": f"1.0.{number}", **known}


def deletions(server: FaultServer) -> list[str]:
    """The paths of the requests that delete, in order."""
    return [request.path for request in server.requests if request.method == "DELETE"]


def listed(*releases: dict[str, Any]) -> Answer:
    """A list of one page."""
    return reply(page(list(releases), len(releases)))


CRITERIA: list[dict[str, Any]] = [{"older_than": "2020-02-01"}, {"keep": 1}]
"""Reasons to delete, for tests of what is the same for each."""


def test_old_releases_are_deleted_by_id(open_client: OpenClient, open_server: OpenServer) -> None:
    """What is older is deleted by its id, oldest first, and returned as the agent listed it."""
    server = open_server(listed(release(3), release(2), release(20)), GONE)
    deleted = open_client(server.url).prune_plugin_releases(older_than="2020-01-10T00:00Z")
    assert deleted == [release(2), release(3)]
    assert deletions(server) == ["/plugin_releases/2", "/plugin_releases/3"]


@sync_only
def test_both_criteria_must_say_so(open_client: OpenClient, open_server: OpenServer) -> None:
    """With an age and a number, what is deleted is old and not among the newest of its plugin."""
    server = open_server(listed(*map(release, (1, 2, 3, 20)), release(4, "seg")), GONE)
    deleted = open_client(server.url).prune_plugin_releases(older_than="2020-01-10T00:00Z", keep=2)
    assert deleted == [release(1), release(2)]
    assert deletions(server) == ["/plugin_releases/1", "/plugin_releases/2"]


def test_the_whole_list_is_read_first(open_client: OpenClient, open_server: OpenServer) -> None:
    """All pages are read before anything is deleted."""
    pages = [
        reply(page([release(1)], 3, "?cursor=b")),
        reply(page([release(2)], 3, "?cursor=c")),
        reply(page([release(3)], 3)),
    ]
    server = open_server(*pages, GONE)
    assert open_client(server.url).prune_plugin_releases(keep=1) == [release(1), release(2)]
    assert [request.method for request in server.requests] == ["GET"] * 3 + ["DELETE"] * 2


@sync_only
def test_a_dry_run_deletes_nothing(open_client: OpenClient, open_server: OpenServer) -> None:
    """With dry_run the list is read, what would go is returned, and nothing is sent that deletes."""
    for criteria in CRITERIA:
        server = open_server(listed(release(1), release(2)))
        found = open_client(server.url).prune_plugin_releases(**criteria, dry_run=True)
        assert found[0] == release(1)
        assert [request.method for request in server.requests] == ["GET"]


@sync_only
def test_a_filter_that_is_ignored_deletes_no_more(open_client: OpenClient, open_server: OpenServer) -> None:
    """The agent is asked for the plugin's releases; where it lists others too, or some of unknown age, they stay."""
    for criteria in CRITERIA:
        unknown = [release(5, created=None), release(6, created="2020-01-02")]
        others = [release(1, "seg"), release(3, "ocr2")]
        server = open_server(listed(*unknown, *others, release(2), release(4)), GONE)
        open_client(server.url).prune_plugin_releases(**criteria, plugin="ocr")
        assert dict(server.requests[0].query)["plugin"] == "ocr"
        assert deletions(server)[0] == "/plugin_releases/2"
        assert set(deletions(server)) <= {"/plugin_releases/2", "/plugin_releases/4"}


FAULTS: dict[str, list[Answer]] = {
    "page failing": [reply({"detail": "no"}, 500)],
    "page cut off": [hang_up],
    "page without results": [reply({"count": 3})],
    "list too short": [reply(page([release(2)], 9))],
    "list in a circle": [reply(page([release(2)], 9, "?cursor=b"))],
    "link elsewhere": [reply(page([release(2)], 9, "http://elsewhere.example.com/"))],
}


@sync_only
@pytest.mark.parametrize("fault", FAULTS)
def test_a_list_that_fails_deletes_nothing(open_client: OpenClient, open_server: OpenServer, fault: str) -> None:
    """A list that fails on a later page, or is not whole, deletes nothing, and the error says so."""
    for criteria in CRITERIA:
        server = open_server(reply(page([release(1)], 3, "?cursor=b")), *FAULTS[fault])
        with pytest.raises(exceptions.ClientError, match=r"^nothing was deleted, then: page 2 of the list: ") as caught:
            open_client(server.url, retry=FAST).prune_plugin_releases(**criteria)
        assert (caught.value.results, caught.value.page) == ([], 2)
        assert deletions(server) == []


def test_a_failure_in_the_middle_tells_what_is_gone(open_client: OpenClient, open_server: OpenServer) -> None:
    """A deletion that fails for good ends it, with an error that carries what was deleted by then."""
    server = open_server(listed(*map(release, (1, 2, 3, 4))), GONE, reply({"detail": "in use"}, 409), GONE)
    with pytest.raises(exceptions.ConflictError, match=r"^1 of 3 releases were deleted, then: .* in use") as caught:
        open_client(server.url, retry=FAST).prune_plugin_releases(keep=1)
    assert caught.value.results == [release(1)]
    assert caught.value.status_code == 409
    assert deletions(server) == ["/plugin_releases/1", "/plugin_releases/2"]


@sync_only
def test_a_deletion_that_breaks_is_made_again(open_client: OpenClient, open_server: OpenServer) -> None:
    """A deletion whose answer was lost is sent again and counts; a release that others deleted is passed over."""
    gone = reply({"detail": "gone"}, 404)
    server = open_server(listed(*map(release, (1, 2, 3, 4))), hang_up, gone, gone, GONE)
    assert open_client(server.url, retry=FAST).prune_plugin_releases(keep=1) == [release(1), release(3)]
    assert deletions(server) == [f"/plugin_releases/{number}" for number in (1, 1, 2, 3)]


@sync_only
def test_without_a_criterion_nothing_is_sent(open_client: OpenClient, open_server: OpenServer) -> None:
    """Without an age or a number, or with one that cannot be used, a ValueError comes before anything is sent."""
    server = open_server()
    wrong: list[dict[str, Any]] = [{}, {"plugin": "ocr"}, {"keep": 0}, {"older_than": "0d"}, {"keep": 1, "plugin": ""}]
    for arguments in wrong:
        with pytest.raises(ValueError, match=r"^(pruning needs|keep must|plugin must|older_than)"):
            open_client(server.url).prune_plugin_releases(**arguments)
    assert server.requests == []
