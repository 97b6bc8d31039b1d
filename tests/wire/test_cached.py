"""A release for the length of a block: cached on entry, kept on exit unless it is to be deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest
from synapse_sdk import exceptions
from synapse_sdk.clients.agent import AsyncAgentClient

from tests.wire.conftest import sync_only
from tests.wire.faults import FAST, RELEASE, hang_up, reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.wire.conftest import OpenClient, OpenServer
    from tests.wire.faults import FaultServer

pytestmark = pytest.mark.contract

CREATED = reply(RELEASE, 201)
GONE = reply(None, 204)


def calls(server: FaultServer) -> list[tuple[str, str]]:
    """What arrived, in order."""
    return [(request.method, request.path) for request in server.requests]


CREATE = ("POST", "/plugin_releases/")
RUN = ("POST", "/plugin_releases/7/run/")
DELETE = ("DELETE", "/plugin_releases/7")


def test_a_block_caches_on_entry_and_keeps(open_client: OpenClient, open_server: OpenServer) -> None:
    """A release is cached when the block is entered and not before, run by its id, and kept."""
    server = open_server(CREATED, reply({"words": 3}))
    block = open_client(server.url).plugin_release("ocr_plugin@2.0.0")
    assert server.requests == []
    with block as release:
        assert calls(server) == [CREATE]
        assert release.info == RELEASE
        assert release.run("train", params={"epochs": 1}, job_id="job-1") == {"words": 3}
    assert calls(server) == [CREATE, RUN]
    assert server.requests[0].json == {"plugin": "ocr_plugin", "version": "2.0.0"}
    assert server.requests[1].json == {"action": "train", "params": {"epochs": 1}, "job_id": "job-1"}


@sync_only
def test_a_code_may_have_an_at_sign(open_client: OpenClient, open_server: OpenServer) -> None:
    """The version is what stands behind the last @, as it is in a lookup."""
    server = open_server(CREATED)
    with open_client(server.url).plugin_release("team@ocr@2.0.0"):
        pass
    assert server.requests[0].json == {"plugin": "team@ocr", "version": "2.0.0"}


def test_delete_deletes_on_exit(open_client: OpenClient, open_server: OpenServer) -> None:
    """With delete the release is deleted by its id when the block ends; one that is gone by then is no error."""
    server = open_server(CREATED, reply("done"), GONE, CREATED, reply("done"), reply({"detail": "gone"}, 404))
    block = open_client(server.url).plugin_release("ocr_plugin", "2.0.0", delete=True)
    for _ in range(2):
        with block as release:
            release.run("train")
    assert calls(server) == [CREATE, RUN, DELETE] * 2


def test_delete_deletes_after_an_error_too(open_client: OpenClient, open_server: OpenServer) -> None:
    """With delete the release is deleted also where the block ends in an error, which is raised as it was."""
    server = open_server(CREATED, reply({"detail": "boom", "error_type": "action_failed"}, 500), GONE, CREATED)
    client = open_client(server.url)
    with (
        pytest.raises(exceptions.ActionFailedError) as caught,
        client.plugin_release("ocr_plugin", "2.0.0", delete=True) as release,
    ):
        release.run("train")
    assert calls(server) == [CREATE, RUN, DELETE]
    assert not hasattr(caught.value, "__notes__")
    with pytest.raises(KeyError), client.plugin_release("ocr_plugin", "2.0.0"):
        raise KeyError
    assert calls(server) == [CREATE, RUN, DELETE, CREATE]


@pytest.mark.parametrize("answer", [reply({"detail": "in use"}, 409), hang_up], ids=["refused", "broken"])
def test_a_failed_deletion_does_not_hide_an_error(
    open_client: OpenClient, open_server: OpenServer, answer: Any
) -> None:
    """An error in deleting is a note of the error that ended the block, and raised where the block ended well."""
    client = open_client(open_server(CREATED, answer).url, retry=FAST)
    with pytest.raises(ZeroDivisionError) as caught, client.plugin_release("ocr_plugin", "2.0.0", delete=True):
        raise ZeroDivisionError
    (note,) = caught.value.__notes__
    assert "'ocr_plugin@2.0.0') could not be deleted either: DELETE " in note
    client = open_client(open_server(CREATED, answer).url, retry=FAST)
    with pytest.raises(exceptions.ClientError, match="DELETE "), client.plugin_release("ocr", "2.0.0", delete=True):
        pass


def fail_closed(close: Callable[[], object]) -> None:
    """Close the client, and fail."""
    close()
    raise KeyError


def test_a_client_closed_in_the_block_does_not_hide_an_error(open_client: OpenClient, open_server: OpenServer) -> None:
    """Where the client was closed in the block nothing can be deleted, which the block's error says in a note."""
    server = open_server(CREATED)
    client = open_client(server.url)
    with (
        pytest.raises(KeyError) as caught,
        client.plugin_release("ocr_plugin", "2.0.0", delete=True),
    ):
        fail_closed(client.close)
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


@sync_only
def test_what_names_no_version_is_refused(open_client: OpenClient, open_server: OpenServer) -> None:
    """A release needs a code, a version and a block: without one nothing is sent, and the error says what to do."""
    server = open_server()
    client = open_client(server.url)
    wrong: list[Any] = [("ocr",), ("",), (7,), ("7",), ("ocr@",), ("@1",), ("ocr", ""), (" ", "1"), ("..",)]
    for name in wrong:
        with pytest.raises(ValueError, match=r"names no release|not blank"):
            client.plugin_release(*name)
    block = client.plugin_release("ocr_plugin@2.0.0")
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
            with anyio.CancelScope() as scope:
                async with client.plugin_release("ocr_plugin@2.0.0", delete=True):
                    scope.cancel()
                    await anyio.sleep_forever()
            assert scope.cancelled_caught

    anyio.run(main, backend=backend)
    assert calls(server) == [CREATE, DELETE]
