"""Pruning: only matching releases are deleted, and only after the whole list was read."""

from __future__ import annotations

from typing import Any

import pytest
from synapse_agent_sdk import exceptions

from tests.wire.conftest import Serve, sync_only
from tests.wire.faults import FAST, Answer, FaultServer, hang_up, page, reply

pytestmark = pytest.mark.contract

GONE = reply(None, 204)
CRITERIA: list[dict[str, Any]] = [{"older_than": "2020-02-01"}, {"keep": 1}]
"""Criteria, for tests that apply to each of them."""


def release(number: int, plugin: str = "ocr", created: str | None = "2020-01-{:02}T00:00:00Z") -> dict[str, Any]:
    """Build a release that was cached on a day of January 2020, or at an unknown time."""
    known = {} if created is None else {"created": created.format(number)}
    return {"id": number, "plugin": plugin, "version": f"1.0.{number}", **known}


def deletions(server: FaultServer) -> list[int]:
    """Return the ids of the deleted releases, in order."""
    return [int(request.lookup) for request in server.requests if request.method == "DELETE"]


def listed(*releases: dict[str, Any]) -> Answer:
    """Build a list of one page."""
    return reply(page(list(releases), len(releases)))


def test_what_both_criteria_say_is_deleted(serve: Serve) -> None:
    """Releases that match both `older_than` and `keep` are deleted by id, oldest first, and returned."""
    server, client = serve(listed(*map(release, (3, 2, 1, 20)), release(4, "seg")), GONE)
    assert client.prune_plugin_releases(older_than="2020-01-10T00:00Z", keep=2) == [release(1), release(2)]
    assert deletions(server) == [1, 2]
    server.answers[:] = [listed(release(3), release(2), release(20)), GONE]
    assert client.prune_plugin_releases(older_than="2020-01-10T00:00Z") == [release(2), release(3)]
    assert deletions(server)[2:] == [2, 3]


def test_the_whole_list_is_read_first(serve: Serve) -> None:
    """All pages are read before anything is deleted."""
    first = reply(page([release(1)], 3, "?cursor=b"))
    second = reply(page([release(2)], 3, "?cursor=c"))
    server, client = serve(first, second, reply(page([release(3)], 3)), GONE)
    assert client.prune_plugin_releases(keep=1) == [release(1), release(2)]
    assert [request.method for request in server.requests] == ["GET"] * 3 + ["DELETE"] * 2


@sync_only
def test_a_dry_run_deletes_nothing(serve: Serve) -> None:
    """`dry_run` returns the releases that would be deleted; a call without criteria is rejected."""
    server, client = serve(listed(release(1), release(2)))
    with pytest.raises(ValueError, match="pruning needs older_than, keep or both"):
        client.prune_plugin_releases(plugin="ocr")
    assert server.requests == []
    for criteria in CRITERIA:
        assert client.prune_plugin_releases(**criteria, dry_run=True)[0] == release(1)
    assert [request.method for request in server.requests] == ["GET"] * 2


@sync_only
def test_a_filter_that_is_ignored_deletes_no_more(serve: Serve) -> None:
    """Releases of other plugins or of unknown age are kept, even if the agent ignores the plugin filter."""
    for criteria in CRITERIA:
        unknown = [release(5, created=None), release(6, created="2020-01-02")]
        others = [release(1, "seg"), release(3, "ocr2")]
        server, client = serve(listed(*unknown, *others, release(2), release(4)), GONE)
        client.prune_plugin_releases(**criteria, plugin="ocr")
        assert dict(server.requests[0].query)["plugin"] == "ocr"
        assert deletions(server) == ([2, 4] if "older_than" in criteria else [2])


FAULTS: dict[str, Answer] = {
    "page failing": reply({"detail": "no"}, 500),
    "page cut off": hang_up,
    "page without results": reply({"count": 3}),
    "list too short": reply(page([release(2)], 9)),
    "list in a circle": reply(page([release(2)], 9, "?cursor=b")),
    "link elsewhere": reply(page([release(2)], 9, "http://elsewhere.example.com/")),
}


@sync_only
@pytest.mark.parametrize("fault", FAULTS)
def test_a_list_that_fails_deletes_nothing(serve: Serve, fault: str) -> None:
    """If the list fails or is incomplete, nothing is deleted and the error says so."""
    for criteria in CRITERIA:
        server, client = serve(reply(page([release(1)], 3, "?cursor=b")), FAULTS[fault], retry=FAST)
        with pytest.raises(exceptions.ClientError, match=r"^nothing was deleted: page 2 of the list: ") as caught:
            client.prune_plugin_releases(**criteria)
        assert (caught.value.results, caught.value.page, deletions(server)) == ([], 2, [])


def test_a_failure_in_the_middle_tells_what_is_gone(serve: Serve) -> None:
    """If a deletion fails, pruning stops and the error has the releases deleted so far."""
    refused = reply({"detail": "in use"}, 409)
    server, client = serve(listed(*map(release, (1, 2, 3, 4))), GONE, refused, GONE, retry=FAST)
    with pytest.raises(exceptions.ConflictError, match=r"^1 of 3 releases were deleted, then: .* in use") as caught:
        client.prune_plugin_releases(keep=1)
    assert (caught.value.results, caught.value.status_code, deletions(server)) == ([release(1)], 409, [1, 2])


@sync_only
def test_a_deletion_that_breaks_is_made_again(serve: Serve) -> None:
    """A deletion whose response is lost is retried and counts; already deleted releases are skipped."""
    gone = reply({"detail": "gone"}, 404)
    server, client = serve(listed(*map(release, (1, 2, 3, 4))), hang_up, gone, gone, GONE, retry=FAST)
    assert client.prune_plugin_releases(keep=1) == [release(1), release(3)]
    assert deletions(server) == [1, 1, 2, 3]
