"""Release context: a release is cached on entry, and kept or deleted on exit."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from synapse_agent_sdk import AsyncAgentClient, exceptions

from tests.wire.conftest import OpenServer, Serve, sync_only
from tests.wire.faults import FAST, RELEASE, FaultServer, hang_up, reply

pytestmark = pytest.mark.contract

CREATED = reply(RELEASE, 201)
GONE = reply(None, 204)
CREATE = ("POST", "/plugin_releases/")
RUN = ("POST", "/plugin_releases/7/run/")
DELETE = ("DELETE", "/plugin_releases/7")


def calls(server: FaultServer) -> list[tuple[str, str]]:
    """Return the received requests, in order."""
    return [(request.method, request.path) for request in server.requests]


def test_a_block_caches_on_entry_and_keeps(serve: Serve) -> None:
    """The release is cached when the block is entered, run by its id, and kept on exit."""
    server, client = serve(CREATED, reply({"words": 3}))
    block = client.plugin_release("team@ocr_plugin@2.0.0")
    assert server.requests == []
    with block as release:
        assert calls(server) == [CREATE]
        assert release.info == RELEASE
        assert release.run("train", params={"epochs": 1}, job_id="job-1") == {"words": 3}
    assert calls(server) == [CREATE, RUN]
    assert server.requests[0].json == {"plugin": "team@ocr_plugin", "version": "2.0.0"}
    assert server.requests[1].json == {"action": "train", "params": {"epochs": 1}, "job_id": "job-1"}


def test_delete_deletes_on_exit(serve: Serve) -> None:
    """With `delete=True` the release is deleted on exit; one that is already gone is ignored."""
    server, client = serve(CREATED, reply("done"), GONE, CREATED, reply("done"), reply({"detail": "gone"}, 404))
    block = client.plugin_release("ocr_plugin", "2.0.0", delete=True)
    for _ in range(2):
        with block as release:
            release.run("train")
    assert calls(server) == [CREATE, RUN, DELETE] * 2


def test_an_error_ends_a_block_as_it_is(serve: Serve) -> None:
    """An error in the block propagates unchanged, and `delete=True` still deletes the release."""
    server, client = serve(CREATED, GONE, CREATED, reply({"detail": "no such version"}, 404))
    for delete in (True, False):
        with pytest.raises(KeyError) as caught, client.plugin_release("ocr", "2.0.0", delete=delete):
            raise KeyError
        assert not hasattr(caught.value, "__notes__")
    assert calls(server) == [CREATE, DELETE, CREATE]
    with pytest.raises(exceptions.NotFoundError), client.plugin_release("ocr", "2.0.0", delete=True):
        pytest.fail("the block ran")
    assert calls(server) == [CREATE, DELETE, CREATE, CREATE]


@pytest.mark.parametrize("answer", [reply({"detail": "in use"}, 409), hang_up], ids=["refused", "broken"])
def test_a_failed_deletion_does_not_hide_an_error(serve: Serve, answer: Any) -> None:
    """A failed deletion raises, or becomes a note on the error that ended the block."""
    server, client = serve(CREATED, answer, retry=FAST)
    with pytest.raises(ZeroDivisionError) as caught, client.plugin_release("ocr", "2.0.0", delete=True):
        raise ZeroDivisionError
    (note,) = caught.value.__notes__
    assert "'ocr@2.0.0') could not be deleted either: DELETE " in note
    server.answers[:] = [CREATED, answer]
    with pytest.raises(exceptions.ClientError, match="DELETE "), client.plugin_release("ocr", "2.0.0", delete=True):
        pass
    server.answers[:] = [CREATED]
    with pytest.raises(TypeError) as closed, client.plugin_release("ocr", "2.0.0", delete=True):
        raise TypeError(client.close())
    assert "closed" in closed.value.__notes__[0]


@sync_only
def test_what_names_no_version_is_refused(serve: Serve) -> None:
    """A release without a version, or used outside its block, is rejected before anything is sent."""
    server, client = serve()
    wrong: list[Any] = [("ocr",), ("",), (7,), ("7",), ("ocr@",), ("@1",), ("ocr", ""), (" ", "1"), ("..",)]
    for name in wrong:
        with pytest.raises(ValueError, match=r"invalid release|needs a version|non-blank"):
            client.plugin_release(*name)
    block = client.plugin_release("ocr_plugin@2.0.0")
    outside = r"ReleaseContext\('ocr_plugin@2.0.0'\) is not cached yet"
    with pytest.raises(RuntimeError, match=outside):
        block.run("train")
    with pytest.raises(RuntimeError, match=outside):
        _ = block.info
    assert server.requests == []


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_cancelled_block_deletes_too(open_server: OpenServer, backend: str) -> None:
    """A cancelled async block still deletes its release, on asyncio and trio."""
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
