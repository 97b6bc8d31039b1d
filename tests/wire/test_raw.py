"""Behind the value: what `with_raw_response` tells of an answer."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from synapse_sdk import exceptions
from synapse_sdk.clients.agent import RawResponse

from tests.wire.conftest import sync_only
from tests.wire.faults import FAST, RELEASE, body, hang_up, page, reply, then

if TYPE_CHECKING:
    import socket

    from tests.wire.conftest import Serve

pytestmark = pytest.mark.contract

TOKEN = "agent-token-that-is-secret"


def late(_: socket.socket) -> bool:
    """Wait a little."""
    time.sleep(0.03)
    return True


def test_a_raw_response_is_the_answer(serve: Serve) -> None:
    """A raw response has status, headers, body and request id of the answer, and its value is the method's."""
    _, client = serve(reply({**RELEASE, "extra": [1]}, 201, {"X-Request-ID": "r-1", "X-Other": "1"}))
    response = client.with_raw_response.create_plugin_release("ocr_plugin", "2.0.0")
    assert isinstance(response, RawResponse)
    assert (response.status_code, response.attempts, response.request_id) == (201, 1, "r-1")
    assert (response.headers["x-other"], response.headers["X-OTHER"]) == ("1", "1")
    assert response.parse() == {**RELEASE, "extra": [1]} == client.create_plugin_release("ocr_plugin", "2.0.0")


@sync_only
def test_content_is_the_body(serve: Serve) -> None:
    """The content of a raw response is the answer's body byte for byte, and each parse a value of its own."""
    sent = b' {"id": 7.0, "id":\t7}' + b" " * 5000 + b"\r\n"
    response = serve(body(sent))[1].with_raw_response.get_plugin_release(7)
    response.parse()["version"] = "changed"
    assert (response.content, response.parse()) == (sent, {"id": 7})


def test_attempts_are_counted(serve: Serve) -> None:
    """All attempts count, and no redirects; the time is that of the whole call, from its first attempt to its end."""
    redirect = reply(None, 307, {"Location": "/plugin_releases/7/"})
    server, client = serve(then(late, reply({}, 503)), hang_up, redirect, then(late, reply(RELEASE)), retry=FAST)
    begun = time.monotonic()
    response = client.with_raw_response.get_plugin_release(7)
    assert timedelta(seconds=0.06) <= response.elapsed <= timedelta(seconds=time.monotonic() - begun)
    assert (response.attempts, response.status_code, len(server.requests)) == (3, 200, 4)
    _, client = serve(hang_up, reply({"detail": "gone"}, 404), retry=FAST)
    response = client.with_raw_response.delete_plugin_release(7)
    assert (response.status_code, response.attempts, response.parse()) == (204, 2, None)


@sync_only
def test_a_body_that_is_not_promised_can_be_looked_at(serve: Serve) -> None:
    """A success with a body that the contract does not promise is there to be seen, and raises when it is parsed."""
    _, client = serve(reply({}, 503), reply(["no", "release"], 200, {"X-Request-ID": "r-1"}), retry=FAST)
    response = client.with_raw_response.get_plugin_release(7)
    assert (response.status_code, response.content) == (200, b'["no", "release"]')
    with pytest.raises(exceptions.InvalidResponseError, match="list where dict belongs") as caught:
        response.parse()
    assert (caught.value.status_code, caught.value.request_id, caught.value.attempts) == (200, "r-1", 2)


def test_what_fails_is_raised_as_ever(serve: Serve) -> None:
    """What fails raises the error of the method, and a whole list and wrong arguments are refused unsent."""
    server, client = serve(reply({"detail": "down"}, 503, {"X-Request-ID": "r-1"}), retry=FAST)
    raw = client.with_raw_response
    with pytest.raises(exceptions.ServerError) as caught:
        raw.get_plugin_release(7)
    assert (caught.value.status_code, caught.value.request_id, caught.value.attempts) == (503, "r-1", 3)
    with pytest.raises(ValueError, match="names no release"):
        raw.get_plugin_release("..")
    with pytest.raises(TypeError, match="a raw response is that of one page"):
        raw.list_plugin_releases(list_all=True)
    assert len(server.requests) == 3
    server.answers[:] = [reply(page([RELEASE], 3, "?page=2"))]
    assert raw.list_plugin_releases({"page": 1}).parse() == page([RELEASE], 3, "?page=2")


@sync_only
def test_a_raw_response_shows_no_secret(serve: Serve) -> None:
    """Neither the repr of a raw response nor its headers show a token, also where the agent sends it back."""
    echo = reply(RELEASE, 200, {"X-Echo": f"you sent {TOKEN}"})
    server, client = serve(echo, agent_token=TOKEN, user_token="user-secret", tenant="tenant-secret")
    response = client.with_raw_response.get_plugin_release(7)
    shown = f"{response!r} {response} {dict(response.headers)} {response.headers!r}"
    assert "secret" not in shown.replace("(secret)", "")
    assert response.headers["x-echo"] == "you sent (secret)"
    assert repr(response) == f"<RawResponse GET {server.url}/plugin_releases/7 -> 200, attempts=1>"
    assert "hidden" not in repr(client.with_raw_response.list_plugin_releases({"password": "hidden"}))
