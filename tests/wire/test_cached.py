"""A release for the length of a block: cached on entry, kept on exit unless it is to be deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest
from synapse_sdk import exceptions
from synapse_sdk.clients.agent import AsyncAgentClient, RetryPolicy

from tests.wire.faults import RELEASE, hang_up, reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.wire.conftest import OpenClient, OpenServer
    from tests.wire.faults import FaultServer

FAST = RetryPolicy(backoff=0.001, reconnect=0.05)
CREATED = reply(RELEASE, 201)
GONE = reply(None, 204)


def calls(server: FaultServer) -> list[tuple[str, str]]:
    """What arrived, in order."""
    return [(request.method, request.path) for request in server.requests]


CREATE = ("POST", "/plugin_releases/")
RUN = ("POST", "/plugin_releases/7/run/")
DELETE = ("DELETE", "/plugin_releases/7")


@pytest.mark.parametrize("name", [("ocr_plugin", "2.0.0"), ("ocr_plugin@2.0.0",)], ids=["two arguments", "one"])
def test_a_block_caches_on_entry_and_keeps(open_client: OpenClient, open_server: OpenServer, name: Any) -> None:
    """A release is cached when the block is entered and not before, run by its id, and kept."""
    server = open_server(CREATED, reply({"words": 3}))
    block = open_client(server.url).plugin_release(*name)
    assert server.requests == []
    with block as release:
        assert calls(server) == [CREATE]
        assert release.info == RELEASE
        assert release.run("train", params={"epochs": 1}, job_id="job-1") == {"words": 3}
    assert calls(server) == [CREATE, RUN]
    assert server.requests[0].json == {"plugin": "ocr_plugin", "version": "2.0.0"}
    assert server.requests[1].json == {"action": "train", "params": {"epochs": 1}, "job_id": "job-1"}


def test_a_code_may_have_an_at_sign(open_client: OpenClient, open_server: OpenServer) -> None:
    """The version is what stands behind the last @, as it is in a lookup."""
    server = open_server(CREATED)
    with open_client(server.url).plugin_release("team@ocr@2.0.0"):
        pass
    assert server.requests[0].json == {"plugin": "team@ocr", "version": "2.0.0"}


def test_a_block_can_be_entered_again(open_client: OpenClient, open_server: OpenServer) -> None:
    """Each time that a block is entered the release is cached, which is harmless, and deleted where that was asked."""
    server = open_server(CREATED, GONE, CREATED, GONE)
    block = open_client(server.url).plugin_release("ocr_plugin", "2.0.0", delete=True)
    for _ in range(2):
        with block:
            pass
    assert calls(server) == [CREATE, DELETE] * 2


def test_delete_deletes_on_exit(open_client: OpenClient, open_server: OpenServer) -> None:
    """With delete the release is deleted by its id when the block ends."""
    server = open_server(CREATED, reply("done"), GONE)
    with open_client(server.url).plugin_release("ocr_plugin", "2.0.0", delete=True) as release:
        release.run("train")
    assert calls(server) == [CREATE, RUN, DELETE]


def test_delete_deletes_after_an_error_too(open_client: OpenClient, open_server: OpenServer) -> None:
    """With delete the release is deleted also where the block ends in an error, which is raised as it was."""
    server = open_server(CREATED, reply({"detail": "boom", "error_type": "action_failed"}, 500), GONE)
    client = open_client(server.url)
    with (
        pytest.raises(exceptions.ActionFailedError) as caught,
        client.plugin_release("ocr_plugin", "2.0.0", delete=True) as release,
    ):
        release.run("train")
    assert calls(server) == [CREATE, RUN, DELETE]
    assert not hasattr(caught.value, "__notes__")


def test_an_error_keeps_the_release_by_default(open_client: OpenClient, open_server: OpenServer) -> None:
    """Without delete an error in the block deletes nothing."""
    server = open_server(CREATED)
    with pytest.raises(KeyError), open_client(server.url).plugin_release("ocr_plugin", "2.0.0"):
        raise KeyError
    assert calls(server) == [CREATE]


@pytest.mark.parametrize("fault", [reply({"detail": "in use"}, 409), hang_up], ids=["refused", "broken"])
def test_a_failed_deletion_does_not_hide_an_error(open_client: OpenClient, open_server: OpenServer, fault: Any) -> None:
    """An error in deleting is a note of the error that ended the block, and never takes its place."""
    server = open_server(CREATED, fault)
    client = open_client(server.url, retry=FAST)
    with (
        pytest.raises(ZeroDivisionError) as caught,
        client.plugin_release("ocr_plugin", "2.0.0", delete=True),
    ):
        raise ZeroDivisionError
    assert DELETE in calls(server)
    (note,) = caught.value.__notes__
    assert "'ocr_plugin@2.0.0') could not be deleted either: DELETE " in note


def test_a_failed_deletion_is_an_error(open_client: OpenClient, open_server: OpenServer) -> None:
    """An error in deleting is raised where the block itself ended well."""
    server = open_server(CREATED, reply({"detail": "in use"}, 409))
    with (
        pytest.raises(exceptions.ConflictError, match="in use"),
        open_client(server.url).plugin_release("ocr_plugin", "2.0.0", delete=True),
    ):
        pass


def test_what_is_gone_need_not_be_deleted(open_client: OpenClient, open_server: OpenServer) -> None:
    """A release that somebody else deleted meanwhile is no error."""
    server = open_server(CREATED, reply({"detail": "gone"}, 404))
    with open_client(server.url).plugin_release("ocr_plugin", "2.0.0", delete=True):
        pass
    assert calls(server) == [CREATE, DELETE]


def fail_closed(close: Callable[[], object]) -> None:
    """Close the client, and fail."""
    close()
    raise KeyError


def test_a_client_closed_in_the_block_does_not_hide_an_error(
    open_client: OpenClient, open_server: OpenServer, flavour: str
) -> None:
    """Where the client was closed in the block nothing can be deleted, which the block's error says in a note."""
    server = open_server(CREATED)
    client = open_client(server.url)
    with (
        pytest.raises(KeyError) as caught,
        client.plugin_release("ocr_plugin", "2.0.0", delete=True),
    ):
        fail_closed(client.close if flavour == "sync" else client.aclose)
    assert "closed" in caught.value.__notes__[0]


def test_what_was_not_cached_is_not_deleted(open_client: OpenClient, open_server: OpenServer) -> None:
    """Where caching fails the block does not run, and nothing is deleted."""
    server = open_server(reply({"detail": "no such version"}, 404))
    with (
        pytest.raises(exceptions.NotFoundError),
        open_client(server.url).plugin_release("ocr_plugin", "2.0.0", delete=True),
    ):
        pytest.fail("the block ran")
    assert calls(server) == [CREATE]


@pytest.mark.parametrize("name", [("ocr",), ("",), (7,), ("7",), ("ocr@",), ("@1",), ("ocr", ""), (" ", "1"), ("..",)])
def test_what_names_no_version_is_refused(open_client: OpenClient, open_server: OpenServer, name: Any) -> None:
    """What is not a code and a version is refused at once, before the block and before anything is sent."""
    server = open_server()
    client = open_client(server.url)
    with pytest.raises(ValueError, match=r"names no release|not blank"):
        client.plugin_release(*name)
    assert server.requests == []


def test_nothing_runs_outside_of_the_block(open_client: OpenClient, open_server: OpenServer) -> None:
    """Before its block is entered there is no release to run or to look at, and the error says what to do."""
    server = open_server()
    block = open_client(server.url).plugin_release("ocr_plugin@2.0.0")
    outside = r"CachedRelease\('ocr_plugin@2.0.0'\) is cached when its block is entered"
    with pytest.raises(RuntimeError, match=outside):
        block.run("train")
    with pytest.raises(RuntimeError, match=outside):
        _ = block.info
    assert server.requests == []


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_cancelled_block_deletes_too(open_server: OpenServer, backend: str) -> None:
    """A block that is cancelled deletes its release all the same (`AsyncAgentClient`, on asyncio and on trio)."""
    server = open_server(CREATED, GONE)

    async def main() -> None:
        async with AsyncAgentClient(server.url, "agent-token", trust_env=False) as client:
            with anyio.move_on_after(0.05) as scope:
                async with client.plugin_release("ocr_plugin@2.0.0", delete=True):
                    await anyio.sleep_forever()
            assert scope.cancelled_caught

    anyio.run(main, backend=backend)
    assert calls(server) == [CREATE, DELETE]
