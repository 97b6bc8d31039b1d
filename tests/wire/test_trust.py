"""Redirects, trust and proxies: where the token is sent, and which servers the client trusts."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
import pytest
import trustme
from synapse_agent_sdk import RetryPolicy, exceptions
from synapse_agent_sdk.runtime.options import proxy_for

from tests.wire.conftest import OpenClient, OpenServer, Serve, sync_only
from tests.wire.faults import BROKEN, CALLS, FAST, RELEASE, RUNS, page, reply, silence
from tests.wire.proxy import Proxy

if TYPE_CHECKING:
    from pathlib import Path


def redirect(status: int, location: str) -> Any:
    """Build a redirect response."""
    return reply({"detail": "moved"}, status, {"Location": location})


class Secure(NamedTuple):
    """TLS contexts for loopback servers, and the CA file that clients need to trust them."""

    context: ssl.SSLContext
    of_another_host: ssl.SSLContext
    ca_file: str


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Secure:
    """Certificates of a private authority."""
    authority = trustme.CA()
    ours, others = (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) for _ in range(2))
    for context, host in ((ours, "127.0.0.1"), (others, "agent.example.com")):
        authority.issue_cert(host).configure_cert(context)
    path = str(tmp_path_factory.mktemp("tls") / "ca.pem")
    authority.cert_pem.write_to_path(path)
    return Secure(ours, others, path)


@pytest.mark.contract
def test_redirects_within_the_origin_are_followed(serve: Serve) -> None:
    """Same-origin redirects keep method, token, body and key; POST follows only 307 and 308."""
    for name in ("get_plugin_release", "delete_plugin_release", "run_plugin_release"):
        for status in (307, 308) if name in RUNS else (301, 302, 307, 308):
            server, client = serve(redirect(status, "/elsewhere/"), reply(RELEASE))
            getattr(client, name)(*CALLS[name])
            first, second = server.requests
            assert (second.method, second.path, second.body) == (first.method, "/elsewhere/", first.body)
            assert second.headers.items() == first.headers.items()
            assert second.headers["authorization"] == "agent-token"


@pytest.mark.contract
@sync_only
def test_other_redirects_are_errors(serve: Serve) -> None:
    """A POST never becomes a GET; redirect loops and redirects without a location raise an error."""
    answers = [(redirect(307, "/plugin_releases/7"), "get_plugin_release", 6)]
    answers += [(reply({"detail": "moved"}, 307), "get_plugin_release", 1)]
    for name in ("create_plugin_release", "run_plugin_release"):
        answers += [(redirect(status, "/login"), name, 1) for status in (301, 302, 303)]
    for answer, name, most in answers:
        server, client = serve(answer)
        with pytest.raises(exceptions.HTTPError, match=r" -> 30\d: moved"):
            getattr(client, name)(*CALLS[name])
        assert len(server.requests) == most


ELSEWHERE = {
    "http://127.0.0.1:{other}": exceptions.UntrustedOriginError,
    "https://127.0.0.1:{same}": exceptions.UntrustedOriginError,
    "http://localhost:{same}": exceptions.UntrustedOriginError,
    "//127.0.0.1:{other}": exceptions.UntrustedOriginError,
    "http://user:pass@127.0.0.1:{same}": exceptions.ClientError,
    "http://[::1": exceptions.ClientError,
    "http://xn--": exceptions.ClientError,
}


@pytest.mark.parametrize("form", ELSEWHERE)
def test_nothing_leaves_the_origin(open_server: OpenServer, serve: Serve, form: str) -> None:
    """A redirect or page link to another origin (scheme, host or port), or to an invalid URL, is rejected."""
    elsewhere = open_server()
    server, client = serve()
    url = form.format(other=elsewhere.port, same=server.port) + "/plugin_releases/?page=2"
    for name in ("get_plugin_release", "delete_plugin_release", "run_plugin_release"):
        server.answers[:] = [redirect(307, url), reply(RELEASE)]
        with pytest.raises(ELSEWHERE[form]):
            getattr(client, name)(*CALLS[name])
    server.answers[:] = [reply(page([RELEASE], 2, url))]
    with pytest.raises(ELSEWHERE[form]):
        client.list_plugin_releases(list_all=True)
    assert (elsewhere.connections, len(server.requests)) == (0, 4)


@sync_only
def test_the_generated_client_does_not_leave_the_origin(open_server: OpenServer, serve: Serve) -> None:
    """`client.api` only sends requests to the agent's origin."""
    elsewhere = open_server()
    http = serve()[1].api.get_httpx_client()
    with pytest.raises(exceptions.UntrustedOriginError):
        http.get(f"{elsewhere.url}/plugin_releases/")
    assert elsewhere.connections == 0


@sync_only
def test_no_other_credentials_are_sent(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client ignores `.netrc` and cookies."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login user password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SYNAPSE_AGENT_TOKEN", raising=False)
    server, client = serve(reply(RELEASE, headers={"Set-Cookie": "session=1"}), agent_token=None, trust_env=True)
    client.get_plugin_release(7)
    client.get_plugin_release(7)
    assert [{"authorization", "cookie"} & request.headers.keys() for request in server.requests] == [set()] * 2


def test_certificates_are_checked(open_client: OpenClient, open_server: OpenServer, tls: Secure) -> None:
    """A certificate from an unknown authority or for another host is rejected without a retry."""
    options: list[dict[str, Any]] = [{}, {"verify": tls.ca_file}]
    for context, given in zip((tls.context, tls.of_another_host), options, strict=True):
        server = open_server(tls=context)
        with pytest.raises(exceptions.ClientConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
            open_client(server.url, **given).get_plugin_release(7)
        assert server.connections == 1


def test_authorities_can_be_chosen(
    open_client: OpenClient, open_server: OpenServer, tls: Secure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trusted authorities come from a file, an `SSLContext` or `SSL_CERT_FILE`; `verify=False` disables the check."""
    server = open_server(tls=tls.context)
    monkeypatch.setenv("SSL_CERT_FILE", tls.ca_file)
    context = ssl.create_default_context(cafile=tls.ca_file)
    for options in ({"verify": tls.ca_file}, {"verify": context}, {"trust_env": True}, {"verify": False}):
        assert open_client(server.url, **options).get_plugin_release(7) == RELEASE


def test_what_says_nothing_while_connecting_ends_with_the_connect_timeout(
    open_client: OpenClient, open_server: OpenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connect timeout covers TLS handshakes and proxies, for runs too; nothing has been sent by then."""
    options = {"timeout": {"connect": 0.1, "read": None}, "retry": RetryPolicy(reconnect=0)}
    server = open_server(on_accept=[silence])
    with pytest.raises(exceptions.ClientTimeoutError, match="nothing was sent"):
        open_client(server.url.replace("http:", "https:"), **options).run_plugin_release(7, "train")
    monkeypatch.setenv("HTTPS_PROXY", open_server(silence).url)
    with pytest.raises(exceptions.ClientTimeoutError, match="nothing was sent"):
        open_client("https://127.0.0.1:9", trust_env=True, **options).run_plugin_release(7, "train")


def test_a_proxy_of_the_environment_is_used(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests use the proxy set in the environment, except to hosts in `NO_PROXY`."""
    with Proxy() as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        server, client = serve(trust_env=True)
        assert client.get_plugin_release(7) == RELEASE
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert serve(trust_env=True)[1].get_plugin_release(7) == RELEASE
        assert proxy.asked == [f"GET {server.url}/plugin_releases/7 HTTP/1.1"]


def test_no_proxy_may_name_an_ipv6_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """`NO_PROXY` accepts IPv6 addresses."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert proxy_for("http://[::1]:8600") == "http://127.0.0.1:9"
    monkeypatch.setenv("NO_PROXY", "::1")
    assert proxy_for("http://[::1]:8600") is None


def test_tls_goes_through_a_tunnel(
    open_client: OpenClient,
    open_server: OpenServer,
    tls: Secure,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """TLS is tunneled, so a proxy sees neither path nor token; if it refuses, nothing was sent."""
    server = open_server(tls=tls.context)
    options = {"trust_env": True, "verify": tls.ca_file, "retry": RetryPolicy(backoff=0.001, reconnect=0.05)}
    with Proxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        client = open_client(server.url, **options)
        assert [client.get_plugin_release(7) for _ in range(2)] == [RELEASE, RELEASE]
        assert proxy.asked == [f"CONNECT 127.0.0.1:{server.port} HTTP/1.1"]
    for refusal in (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", b""):
        with Proxy(refusal) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", proxy.url)
            with pytest.raises(exceptions.ClientConnectionError, match="nothing was sent"):
                open_client(server.url, **options).run_plugin_release(7, "train")
            assert proxy.asked
    assert server.connections == 1


def test_runs_are_sent_once_through_a_proxy(
    open_client: OpenClient,
    open_server: OpenServer,
    tls: Secure,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A run whose connection breaks behind a proxy is sent once."""
    with Proxy() as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        for fault in ("closed", "reset", "cut in the body"):
            for server in (open_server(BROKEN[fault], tls=tls.context), open_server(BROKEN[fault])):
                client = open_client(server.url, trust_env=True, verify=tls.ca_file, retry=FAST)
                with pytest.raises(exceptions.ClientResponseIncompleteError, match="may be running"):
                    client.run_plugin_release(7, "train")
                assert len(server.requests) == 1


def test_a_client_of_the_callers_own(serve: Serve, open_client: OpenClient, flavour: str) -> None:
    """A custom httpx transport or client can be used; a custom client stays open on `close()`."""
    answers = iter([httpx.Response(503), httpx.Response(200, json=RELEASE)])
    client = open_client("http://agent", transport=httpx.MockTransport(lambda _: next(answers)), retry=FAST)
    assert client.get_plugin_release(7) == RELEASE
    own: Any = httpx.Client(trust_env=False) if flavour == "sync" else httpx.AsyncClient(trust_env=False)
    server, client = serve(http_client=own)
    assert client.get_plugin_release(7) == RELEASE
    assert server.requests[0].headers["authorization"] == "agent-token"
    client.close()
    assert not own.is_closed
    own.close() if flavour == "sync" else client._runner.run(own.aclose())
    others: dict[str, type] = {
        "http_client": httpx.AsyncClient if flavour == "sync" else httpx.Client,
        "transport": httpx.AsyncHTTPTransport if flavour == "sync" else httpx.HTTPTransport,
    }
    for option, other in others.items():
        with pytest.raises(TypeError, match=f"{option} must be an instance of httpx"):
            open_client("http://agent", **{option: other()})
