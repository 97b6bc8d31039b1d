"""Where the token goes, and whom the client trusts."""

from __future__ import annotations

import ssl
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trustme
from synapse_sdk import exceptions
from synapse_sdk.clients.agent import RetryPolicy

from tests.wire.faults import BROKEN, RELEASE, page, reply, silence
from tests.wire.proxy import Proxy

if TYPE_CHECKING:
    from pathlib import Path

    from tests.wire.conftest import OpenClient, OpenServer

FAST = RetryPolicy(backoff=0.001, reconnect=0.05)


def redirect(status: int, location: str) -> Any:
    """An answer that leads elsewhere."""
    return reply({"detail": "moved"}, status, {"Location": location})


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """A certificate authority that nobody trusts."""
    return trustme.CA()


@pytest.fixture
def tls(authority: trustme.CA) -> ssl.SSLContext:
    """What a server on loopback needs to speak TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    """The authority's certificate as a file."""
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_within_the_origin_are_followed(
    open_client: OpenClient, open_server: OpenServer, status: int
) -> None:
    """A GET and a DELETE follow redirects within their origin, with the token and the same method."""
    for method in ("get_plugin_release", "delete_plugin_release"):
        server = open_server(redirect(status, "/plugin_releases/7/"), reply(RELEASE))
        getattr(open_client(server.url), method)(7)
        first, second = server.requests
        assert (second.method, second.path) == (first.method, "/plugin_releases/7/")
        assert second.headers["authorization"] == "agent-token"


@pytest.mark.parametrize("status", [307, 308])
def test_a_post_follows_redirects_that_keep_it(open_client: OpenClient, open_server: OpenServer, status: int) -> None:
    """A POST follows 307 and 308 within its origin, with its body and its key."""
    server = open_server(redirect(status, "/elsewhere/"), reply("done"))
    assert open_client(server.url).run_plugin_release(7, "train", {"epochs": 1}) == "done"
    first, second = server.requests
    assert (second.method, second.path, second.body) == ("POST", "/elsewhere/", first.body)
    assert second.headers["idempotency-key"] == first.headers["idempotency-key"]


@pytest.mark.parametrize("status", [301, 302, 303])
@pytest.mark.parametrize("method", ["create_plugin_release", "run_plugin_release"])
def test_a_post_does_not_become_a_get(
    open_client: OpenClient, open_server: OpenServer, method: str, status: int
) -> None:
    """A POST that is redirected to a login page ends in an error, and the page is not fetched."""
    server = open_server(redirect(status, "/login"), reply({"id": 1}))
    arguments = ("ocr", "1") if method == "create_plugin_release" else (7, "train")
    with pytest.raises(exceptions.HTTPError) as caught:
        getattr(open_client(server.url), method)(*arguments)
    assert (caught.value.status_code, len(server.requests)) == (status, 1)


def test_redirects_end(open_client: OpenClient, open_server: OpenServer) -> None:
    """Redirects in a circle end in an error after a handful."""
    server = open_server(redirect(307, "/plugin_releases/7"))
    with pytest.raises(exceptions.HTTPError) as caught:
        open_client(server.url).get_plugin_release(7)
    assert (caught.value.status_code, len(server.requests)) == (307, 6)


def test_a_redirect_to_nowhere_is_an_error(open_client: OpenClient, open_server: OpenServer) -> None:
    """A redirect without a location is the error that it is."""
    server = open_server(reply({"detail": "moved"}, 302))
    with pytest.raises(exceptions.HTTPError):
        open_client(server.url).get_plugin_release(7)


@pytest.mark.parametrize("location", ["http://[::1", "http://user:pass@{host}/", "ftp://{host}/"])
def test_a_bad_location_is_an_error(open_client: OpenClient, open_server: OpenServer, location: str) -> None:
    """A location that is no URL of the origin ends in an error, and nothing more is sent."""
    server = open_server(reply(RELEASE))
    server.answers[:] = [redirect(302, location.format(host=server.url.removeprefix("http://"))), reply(RELEASE)]
    with pytest.raises(exceptions.ClientError):
        open_client(server.url).get_plugin_release(7)
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("method", ["get_plugin_release", "delete_plugin_release", "run_plugin_release"])
def test_a_redirect_to_another_origin_is_refused(
    open_client: OpenClient, open_server: OpenServer, method: str, status: int
) -> None:
    """A redirect that leaves the origin is refused, and nothing is sent there."""
    elsewhere = open_server(reply(RELEASE))
    server = open_server(redirect(status, f"{elsewhere.url}/plugin_releases/7"))
    arguments = (7, "train") if method == "run_plugin_release" else (7,)
    with pytest.raises(exceptions.ClientError):
        getattr(open_client(server.url), method)(*arguments)
    assert (elsewhere.connections, len(server.requests)) == (0, 1)


@pytest.mark.parametrize(
    "form", ["http://127.0.0.1:{other}", "https://127.0.0.1:{same}", "http://localhost:{same}", "//127.0.0.1:{other}"]
)
def test_a_next_link_to_another_origin_is_refused(open_client: OpenClient, open_server: OpenServer, form: str) -> None:
    """A link to the next page that leaves the origin, by host, port or scheme, is refused: nothing is sent there."""
    elsewhere = open_server(reply(page([], 0)))
    server = open_server(reply(RELEASE))
    link = form.format(other=elsewhere.port, same=server.port) + "/plugin_releases/?page=2"
    server.answers[:] = [reply(page([RELEASE], 2, link))]
    with pytest.raises(exceptions.UntrustedOriginError, match="another origin"):
        open_client(server.url).list_plugin_releases(list_all=True)
    assert (elsewhere.connections, len(server.requests)) == (0, 1)


def test_the_generated_client_does_not_leave_the_origin(open_client: OpenClient, open_server: OpenServer) -> None:
    """The connection behind client.api carries the token to the agent's origin alone."""
    server, elsewhere = open_server(), open_server()
    api = open_client(server.url).api
    if (http := api._client) is not None:
        with pytest.raises(exceptions.UntrustedOriginError):
            http.get(f"{elsewhere.url}/plugin_releases/")
        assert elsewhere.connections == 0
    else:
        assert api._async_client is not None


def test_a_netrc_is_not_read(
    open_client: OpenClient, open_server: OpenServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Credentials in a .netrc are nobody's business."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login user password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SYNAPSE_AGENT_TOKEN", raising=False)
    server = open_server()
    open_client(server.url, agent_token=None, trust_env=True).get_plugin_release(7)
    assert "authorization" not in server.requests[0].headers


def test_cookies_are_not_kept(open_client: OpenClient, open_server: OpenServer) -> None:
    """What one answer sets as a cookie is not sent with the next request."""
    server = open_server(reply(RELEASE, headers={"Set-Cookie": "session=1"}))
    client = open_client(server.url)
    client.get_plugin_release(7)
    client.get_plugin_release(7)
    assert "cookie" not in server.requests[1].headers


def test_an_unknown_certificate_is_refused_at_once(
    open_client: OpenClient, open_server: OpenServer, tls: ssl.SSLContext
) -> None:
    """A certificate of an unknown authority is refused, without trying again."""
    server = open_server(tls=tls)
    started = time.monotonic()
    with pytest.raises(exceptions.ClientConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
        open_client(server.url).get_plugin_release(7)
    assert time.monotonic() - started < 2
    assert server.connections == 1


def test_a_certificate_for_another_host_is_refused(
    open_client: OpenClient, open_server: OpenServer, authority: trustme.CA, ca_file: Path
) -> None:
    """A certificate of a known authority for another host is refused."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("agent.example.com").configure_cert(context)
    with pytest.raises(exceptions.ClientConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
        open_client(open_server(tls=context).url, verify=ca_file).get_plugin_release(7)


@pytest.mark.parametrize("form", ["path", "text", "context", "environment", "nobody"])
def test_authorities_can_be_chosen(
    open_client: OpenClient,
    open_server: OpenServer,
    tls: ssl.SSLContext,
    ca_file: Path,
    form: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The authorities to trust are a file, an SSLContext or SSL_CERT_FILE; verify=False trusts anybody."""
    forms: dict[str, dict[str, Any]] = {
        "path": {"verify": ca_file},
        "text": {"verify": str(ca_file)},
        "context": {"verify": ssl.create_default_context(cafile=ca_file)},
        "environment": {"trust_env": True},
        "nobody": {"verify": False},
    }
    options = forms[form]
    if form == "environment":
        monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    assert open_client(open_server(tls=tls).url, **options).get_plugin_release(7) == RELEASE


def test_a_handshake_that_stalls_ends_with_the_connect_timeout(
    open_client: OpenClient, open_server: OpenServer
) -> None:
    """A server that accepts and never answers the handshake ends in a timeout that says that nothing was sent."""
    server = open_server(on_accept=[silence] * 50)
    url = server.url.replace("http:", "https:")
    client = open_client(url, timeout={"connect": 0.1, "read": 5}, retry=RetryPolicy(reconnect=0))
    started = time.monotonic()
    with pytest.raises(exceptions.ClientTimeoutError, match="nothing was sent"):
        client.run_plugin_release(7, "train")
    assert time.monotonic() - started < 1


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_of_the_environment_is_used(
    open_client: OpenClient, open_server: OpenServer, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plain requests go through the proxy that the environment names."""
    server = open_server()
    with Proxy() as proxy:
        monkeypatch.setenv(variable, proxy.url)
        assert open_client(server.url, trust_env=True).get_plugin_release(7) == RELEASE
        assert proxy.asked == [f"GET {server.url}/plugin_releases/7 HTTP/1.1"]


@pytest.mark.parametrize("value", ["127.0.0.1", "*"])
def test_no_proxy_is_honoured(
    open_client: OpenClient, open_server: OpenServer, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hosts that NO_PROXY names are reached directly."""
    server = open_server()
    with Proxy() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", value)
        assert open_client(server.url, trust_env=True).get_plugin_release(7) == RELEASE
        assert proxy.asked == []


def test_a_tunnel_is_opened_for_tls(
    open_client: OpenClient,
    open_server: OpenServer,
    tls: ssl.SSLContext,
    ca_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """TLS goes through a tunnel, in which the proxy sees neither path nor token."""
    server = open_server(tls=tls)
    with Proxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        client = open_client(server.url, trust_env=True, verify=ca_file)
        assert [client.get_plugin_release(7) for _ in range(2)] == [RELEASE, RELEASE]
        assert proxy.asked == [f"CONNECT 127.0.0.1:{server.port} HTTP/1.1"]


@pytest.mark.parametrize("refusal", [b"HTTP/1.1 502 Bad Gateway\r\n\r\n", b"HTTP/1.1 407 No\r\n\r\n", b""])
def test_a_tunnel_that_is_refused_sends_nothing(
    open_client: OpenClient,
    open_server: OpenServer,
    tls: ssl.SSLContext,
    refusal: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A proxy that opens no tunnel ends in an error that says that nothing was sent, for runs too."""
    server = open_server(tls=tls)
    with Proxy(refusal) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with pytest.raises(exceptions.ClientConnectionError, match="nothing was sent"):
            open_client(server.url, trust_env=True, retry=FAST).run_plugin_release(7, "train")
        assert len(proxy.asked) > 1
    assert server.connections == 0


def test_a_proxy_that_says_nothing_ends_with_the_connect_timeout(
    open_client: OpenClient, open_server: OpenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that does not answer counts as connecting, so a run, which has no read timeout, ends as well."""
    proxy = open_server(silence)
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    client = open_client(
        "https://127.0.0.1:9", trust_env=True, timeout={"connect": 0.1, "read": None}, retry=RetryPolicy(reconnect=0)
    )
    with pytest.raises(exceptions.ClientTimeoutError, match="nothing was sent"):
        client.run_plugin_release(7, "train")


@pytest.mark.parametrize("fault", BROKEN)
def test_runs_are_sent_once_through_a_proxy(
    open_client: OpenClient,
    open_server: OpenServer,
    tls: ssl.SSLContext,
    ca_file: Path,
    fault: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A run whose connection breaks behind a proxy is sent once, with and without a tunnel."""
    with Proxy() as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        for server in (open_server(BROKEN[fault], tls=tls), open_server(BROKEN[fault])):
            client = open_client(server.url, trust_env=True, verify=ca_file, retry=FAST)
            with pytest.raises(exceptions.ClientResponseIncompleteError, match="may be running"):
                client.run_plugin_release(7, "train")
            assert len(server.requests) == 1


def test_a_transport_of_the_callers_own(open_client: OpenClient, flavour: str) -> None:
    """Requests can be sent through a transport of the caller's own, with retries and errors as ever."""
    answers = iter([httpx.Response(503), httpx.Response(200, json=RELEASE)])
    client = open_client("http://agent", transport=httpx.MockTransport(lambda _: next(answers)), retry=FAST)
    assert client.get_plugin_release(7) == RELEASE


def test_a_client_of_the_callers_own(open_client: OpenClient, open_server: OpenServer, flavour: str) -> None:
    """Requests can be sent through an httpx client of the caller's own, which stays open."""
    server = open_server()
    own: Any = httpx.Client(trust_env=False) if flavour == "sync" else httpx.AsyncClient(trust_env=False)
    client = open_client(server.url, http_client=own)
    assert client.get_plugin_release(7) == RELEASE
    assert server.requests[0].headers["authorization"] == "agent-token"
    if flavour == "sync":
        client.close()
        assert not own.is_closed
        own.close()
    else:
        client.aclose()
        assert not own.is_closed
        client._runner.run(own.aclose())


@pytest.mark.parametrize("option", ["http_client", "transport"])
def test_a_client_of_the_other_flavour_is_refused(open_client: OpenClient, flavour: str, option: str) -> None:
    """A client or transport that the flavour cannot use is refused when it is given."""
    own = {
        "http_client": httpx.AsyncClient if flavour == "sync" else httpx.Client,
        "transport": httpx.AsyncHTTPTransport if flavour == "sync" else httpx.HTTPTransport,
    }
    with pytest.raises(TypeError, match=f"{option} must be an instance of httpx"):
        open_client("http://agent", **{option: own[option]()})


def test_a_client_and_a_transport_exclude_each_other(open_client: OpenClient) -> None:
    """A client and a transport of the caller's own cannot be given together."""
    with pytest.raises(ValueError, match="http_client and transport"):
        open_client("http://agent", http_client=object(), transport=object())
