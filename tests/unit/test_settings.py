"""Arguments and environment in, checked settings out, and secrets shown nowhere."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synapse_sdk.clients.agent import AgentClient, AsyncAgentClient, settings

URL = "http://127.0.0.1:8600"
SECRET = "s3cr3t-t0ken"
ENVIRONMENT = {
    "SYNAPSE_AGENT_URL": "http://from-environment:8600",
    "SYNAPSE_AGENT_TOKEN": "environment-token",
    "SYNAPSE_USER_TOKEN": "environment-user",
    "SYNAPSE_TENANT": "environment-tenant",
}
VISIBLE = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1)


def resolve(environment: Any = None, **given_settings: Any) -> settings.Settings:
    """The settings that some arguments give, the others left out."""
    names = ("base_url", "agent_token", "access_token", "user_token", "tenant", "timeout", "headers")
    return settings.resolve(environment or {}, **{**dict.fromkeys(names), **given_settings})


def test_settings_come_from_the_environment() -> None:
    """What is left out comes from the four environment variables."""
    found = resolve(ENVIRONMENT)
    assert found.base_url == "http://from-environment:8600"
    assert (found.agent_token, found.user_token, found.tenant) == (
        "environment-token",
        "environment-user",
        "environment-tenant",
    )


def test_an_argument_wins_over_the_environment() -> None:
    """An argument takes the place of its environment variable."""
    found = resolve(ENVIRONMENT, base_url=URL, access_token="a", user_token="u", tenant="t")
    assert (found.base_url, found.agent_token, found.user_token, found.tenant) == (URL, "a", "u", "t")


def test_without_a_token_there_is_none() -> None:
    """Tokens are optional, and one that is given as empty switches that of the environment off."""
    found = resolve(base_url=URL)
    assert (found.agent_token, found.user_token, found.tenant) == (None, None, None)
    off = resolve(ENVIRONMENT, agent_token="", user_token="", tenant="")
    assert (off.agent_token, off.user_token, off.tenant) == (None, None, None)
    assert resolve({"SYNAPSE_AGENT_TOKEN": ""}, base_url=URL).agent_token is None


@pytest.mark.parametrize("name", ["agent_token", "access_token"])
def test_the_agent_token_has_two_names(name: str) -> None:
    """agent_token and access_token are one setting."""
    assert resolve(base_url=URL, **{name: "a"}).agent_token == "a"


def test_both_names_may_be_given_if_they_agree() -> None:
    """The same token under both names is no contradiction."""
    assert resolve(base_url=URL, agent_token="a", access_token="a").agent_token == "a"


def test_names_that_contradict_each_other_are_refused() -> None:
    """Two different tokens under the two names raise a ValueError that shows neither."""
    with pytest.raises(ValueError, match="agent_token and access_token") as caught:
        resolve(base_url=URL, agent_token=SECRET, access_token="other")
    assert SECRET not in str(caught.value)
    assert "'other'" not in str(caught.value)


@pytest.mark.parametrize(
    ("base_url", "expected"),
    [
        ("http://127.0.0.1:8600", "http://127.0.0.1:8600"),
        ("http://127.0.0.1:8600/", "http://127.0.0.1:8600"),
        (" http://127.0.0.1:8600/\n", "http://127.0.0.1:8600"),
        ("https://agents.example.com/team-a", "https://agents.example.com/team-a"),
        ("https://agents.example.com/team-a/", "https://agents.example.com/team-a"),
        ("https://agents.example.com/team-a//", "https://agents.example.com/team-a"),
        ("http://[::1]:8600/", "http://[::1]:8600"),
        ("HTTPS://Agents.Example.com", "https://agents.example.com"),
        ("http://예시.example", "http://xn--vv4b11d.example"),
        ("http://agent:65535/a%20b/@c", "http://agent:65535/a%20b/@c"),
    ],
)
def test_a_base_url_has_no_slash_at_its_end(base_url: str, expected: str) -> None:
    """A base_url may carry a port and a path prefix, with or without a slash at its end."""
    assert resolve(base_url=base_url).base_url == expected


@pytest.mark.parametrize("base_url", [None, "", "  ", "\n"])
def test_a_missing_base_url_says_what_to_do(base_url: str | None) -> None:
    """Without a base_url the error shows one, and names the environment variable."""
    with pytest.raises(ValueError, match=r"base_url is missing.*http://127\.0\.0\.1:8600.*SYNAPSE_AGENT_URL"):
        resolve(base_url=base_url)


@pytest.mark.parametrize(
    "base_url",
    [
        "127.0.0.1:8600",
        "localhost:8600",
        "agent",
        "//agent/path",
        "/path",
        "http:///path",
        "http:agent",
        "ftp://agent",
        "unix:///run/agent.sock",
        "http://agent:port",
        "http://agent:0",
        "http://agent:-1",
        "http://agent:65536",
        "http://[::1",
        "http://ag\x00ent",
        "http://agent\nX-Injected: 1",
        "x" * 100_000,
        8600,
        b"http://agent",
    ],
    ids=lambda url: ascii(url)[:30],
)
def test_a_wrong_base_url_is_refused_at_once(base_url: Any) -> None:
    """A base_url without scheme or host, or with a port that is none, raises a ValueError of one line."""
    with pytest.raises(ValueError, match=r"^base_url ") as caught:
        resolve(base_url=base_url)
    assert len(str(caught.value)) < 400
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "base_url",
    [
        f"http://user:{SECRET}@agent",
        f"http://{SECRET}@agent",
        f"http://agent?token={SECRET}",
        f"http://agent/#{SECRET}",
        f"user:{SECRET}@agent",
        f"http://user:{SECRET}/x@agent",
        f"http:/user:{SECRET}@agent",
        f"ftp://user:{SECRET}@agent",
        f"http://user:{SECRET}@agent:port",
    ],
)
def test_secrets_in_a_base_url_are_refused_and_not_shown(base_url: str) -> None:
    """A base_url with a user, a password, a query or a fragment is refused without being shown."""
    with pytest.raises(ValueError, match=r"^base_url ") as caught:
        resolve(base_url=base_url)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("base_url", ["http://agent/?", "http://agent#"])
def test_an_empty_query_is_one_too(base_url: str) -> None:
    """A question mark or hash without anything behind it is refused as well, since paths would end up there."""
    with pytest.raises(ValueError, match="must not hold"):
        resolve(base_url=base_url)


@given(st.one_of(st.text(), st.builds("http://{}".format, st.text()), st.builds("http://a:{}/".format, st.text())))
def test_any_base_url_is_taken_or_refused(base_url: str) -> None:
    """Any text is a base_url that paths can be put behind, or a ValueError."""
    try:
        found = settings.check_base_url(base_url)
    except ValueError:
        return
    url = httpx.URL(found + "/plugin_releases/")
    assert url.scheme in {"http", "https"}
    assert url.host
    assert url.path.endswith("/plugin_releases/")
    assert not url.query


NAMES = ["agent_token", "access_token", "user_token", "tenant"]


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
@pytest.mark.parametrize("name", NAMES)
def test_a_line_break_at_the_end_of_a_token_is_no_part_of_it(name: str, end: str) -> None:
    """One line break at the end of a token, as files have it, is left away."""
    found = resolve(base_url=URL, **{name: SECRET + end})
    assert SECRET in {found.agent_token, found.user_token, found.tenant}


@pytest.mark.parametrize(
    "wrong",
    [
        f"{SECRET}\n\n",
        f"{SECRET}\rX",
        f"{SECRET}\r\nX-Injected: 1",
        f"Bearer {SECRET}",
        f" {SECRET}",
        f"{SECRET}\x00",
        f"{SECRET}é",
        "\n",
        " ",
        SECRET.encode(),
        12345,
        [SECRET],
    ],
    ids=ascii,
)
@pytest.mark.parametrize("name", NAMES)
def test_a_token_that_is_no_header_value_is_refused_and_not_shown(name: str, wrong: Any) -> None:
    """A token with spaces, line breaks or beyond ASCII raises a ValueError that names it and does not show it."""
    with pytest.raises(ValueError, match=name.replace("access", "agent")) as caught:
        resolve(base_url=URL, **{name: wrong})
    assert SECRET not in str(caught.value)
    assert "12345" not in str(caught.value)


@pytest.mark.parametrize("variable", ["SYNAPSE_AGENT_TOKEN", "SYNAPSE_USER_TOKEN", "SYNAPSE_TENANT"])
def test_a_token_of_the_environment_is_checked_too(variable: str) -> None:
    """A token is checked wherever it comes from."""
    with pytest.raises(ValueError, match="visible ASCII") as caught:
        resolve({variable: f"two words {SECRET}"}, base_url=URL)
    assert SECRET not in str(caught.value)


@given(VISIBLE, VISIBLE, VISIBLE, st.dictionaries(st.from_regex(r"X-[a-z]{1,9}", fullmatch=True), VISIBLE))
def test_settings_show_no_secrets(token: str, user: str, tenant: str, headers: dict[str, str]) -> None:
    """The repr of settings is the same whatever the tokens, the tenant and the headers are."""
    shown = repr(resolve(base_url=URL, agent_token=token, user_token=user, tenant=tenant, headers=headers))
    assert shown == repr(resolve(base_url=URL))


@pytest.mark.parametrize("flavour", [AgentClient, AsyncAgentClient])
def test_clients_show_no_secrets(flavour: type[AgentClient | AsyncAgentClient]) -> None:
    """The repr of a client, of what it holds and of the client of the generated functions has no token."""
    client = flavour(
        URL, SECRET, user_token=f"{SECRET}-user", tenant=f"{SECRET}-tenant", headers={"X-Key": f"{SECRET}-header"}
    )
    assert repr(client) == f"{flavour.__name__}(base_url='{URL}')"
    for held in (client.api, client._http, client._settings, client._policy):
        assert SECRET not in repr(held)


def test_headers_are_kept() -> None:
    """Further headers are kept as they are, empty values too."""
    headers = {"X-Trace": "a b;c=1", "x-empty": "", "User-Agent": "mine/1.0"}
    found = resolve(base_url=URL, headers=headers)
    assert found.headers == headers
    assert found.headers is not headers


@pytest.mark.parametrize(
    "headers",
    [
        {"": "x"},
        {"X Y": "x"},
        {"X:Y": "x"},
        {"X\r\nY": "x"},
        {"É": "x"},
        {5: "x"},
        {"Content-Length": "5"},
        {"transfer-encoding": "chunked"},
        {"X-Key": f"{SECRET}\r\nX-Injected: 1"},
        {"X-Key": f"{SECRET}\x00"},
        {"X-Key": f"{SECRET}é"},
        {"X-Key": f" {SECRET}"},
        {"X-Key": SECRET.encode()},
        {"X-Key": 5},
        {"X-Key": None},
        [("X-Key", SECRET)],
        SECRET,
    ],
    ids=ascii,
)
def test_wrong_headers_are_refused_and_not_shown(headers: Any) -> None:
    """Headers that cannot be sent raise a ValueError that names them, and shows no value."""
    with pytest.raises(ValueError, match=r"^headers") as caught:
        resolve(base_url=URL, headers=headers)
    assert SECRET not in str(caught.value)


@given(st.dictionaries(st.text(), st.text()))
def test_headers_that_are_taken_can_be_sent(headers: dict[str, str]) -> None:
    """Headers are refused, or a request can carry them."""
    try:
        found = resolve(base_url=URL, headers=headers)
    except ValueError:
        return
    for name, value in httpx.Headers(found.headers).raw:
        assert name.decode("ascii").isprintable()
        assert value.decode("ascii").isprintable()


def parse(timeout: Any, default: httpx.Timeout = settings.DEFAULT_TIMEOUT) -> dict[str, float | None]:
    """The parts of a timeout."""
    return settings.parse_timeout(timeout, default).as_dict()


@pytest.mark.parametrize(
    ("timeout", "connect", "read", "write", "pool"),
    [
        (None, 3, 10, 10, 10),
        (5, 5, 5, 5, 5),
        (0.5, 0.5, 0.5, 0.5, 0.5),
        ({}, 3, 10, 10, 13),
        ({"connect": 1}, 1, 10, 10, 11),
        ({"read": 60}, 3, 60, 60, 63),
        ({"connect": 1, "read": 2}, 1, 2, 2, 3),
        ({"read": None}, 3, None, None, None),
        ({"connect": None}, None, 10, 10, None),
        ({"write": 7, "pool": 8}, 3, 10, 7, 8),
        ({"connect": 1, "read": 2, "write": None, "pool": None}, 1, 2, None, None),
        ((1, 2), 1, 2, 2, 3),
        ((1, None), 1, None, None, None),
        (httpx.Timeout(4, read=9), 4, 9, 4, 4),
        (httpx.Timeout(None), None, None, None, None),
        (settings.LONGEST_SECONDS, *[settings.LONGEST_SECONDS] * 4),
    ],
)
def test_a_timeout_is_taken_in_every_form(
    timeout: Any, connect: float | None, read: float | None, write: float | None, pool: float | None
) -> None:
    """Seconds, a dict, a pair and an httpx.Timeout are taken; in a dict, write is as read, and pool as the total."""
    assert parse(timeout) == {"connect": connect, "read": read, "write": write, "pool": pool}


def test_runs_wait_as_long_as_it_takes() -> None:
    """By default a call has 3 s to connect and 10 s to read, and a run has no bound on its read."""
    found = resolve(base_url=URL)
    assert (found.timeout.connect, found.timeout.read) == (3, 10)
    assert (found.run_timeout.connect, found.run_timeout.read) == (3, None)


@pytest.mark.parametrize("timeout", [60, {"connect": 3, "read": 60}, (3, 60), httpx.Timeout(60)])
def test_a_timeout_that_is_given_bounds_runs_too(timeout: Any) -> None:
    """A read timeout that the client is given holds for runs as well."""
    assert resolve(base_url=URL, timeout=timeout).run_timeout.read == 60


def test_a_connect_timeout_alone_leaves_runs_unbounded() -> None:
    """A timeout for connecting does not bound how long an action takes."""
    found = resolve(base_url=URL, timeout={"connect": 1})
    assert (found.run_timeout.connect, found.run_timeout.read) == (1, None)


@pytest.mark.parametrize(
    "timeout",
    [
        0,
        -1,
        True,
        float("nan"),
        float("inf"),
        settings.LONGEST_SECONDS + 1,
        "5",
        [3, 10],
        (),
        (1,),
        (1, 2, 3),
        (0, 1),
        ("1", 2),
        {"total": 5},
        {"connect": 0},
        {"read": "10"},
        {"read": float("inf")},
        {1: 2},
        httpx.Timeout(-1),
        httpx.Timeout(float("inf")),
        ...,
    ],
    ids=ascii,
)
def test_a_wrong_timeout_is_refused(timeout: Any) -> None:
    """A timeout that is none, not above 0 or longer than a socket can wait raises a ValueError with the right forms."""
    with pytest.raises(ValueError, match=r"timeout takes seconds .*\{'connect': 3, 'read': 10\}, \(connect, read\)"):
        parse(timeout)


@given(
    st.one_of(
        st.floats(),
        st.integers(),
        st.tuples(st.floats() | st.none(), st.floats() | st.none()),
        st.dictionaries(st.sampled_from(["connect", "read", "write", "pool", "x"]), st.floats() | st.none()),
    )
)
def test_a_timeout_that_is_taken_can_be_waited_for(timeout: Any) -> None:
    """Every part of a timeout that is taken is a number that a socket can wait for, or None."""
    try:
        parts = parse(timeout)
    except ValueError:
        return
    assert all(
        parts[name] is None or 0 < (parts[name] or 0) <= settings.LONGEST_SECONDS for name in ("connect", "read")
    )


PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUEST_METHOD")


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment that names no proxy."""
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("variables", "base_url", "expected"),
    [
        ({}, URL, None),
        ({"HTTP_PROXY": "http://proxy:3128"}, "http://agent", "http://proxy:3128"),
        ({"http_proxy": "http://proxy:3128"}, "http://agent", "http://proxy:3128"),
        ({"HTTP_PROXY": "http://proxy:3128"}, "https://agent", None),
        ({"HTTPS_PROXY": "http://proxy:3128"}, "https://agent", "http://proxy:3128"),
        ({"ALL_PROXY": "http://proxy:3128"}, "https://agent", "http://proxy:3128"),
        ({"ALL_PROXY": "http://all:1", "HTTP_PROXY": "http://http:2"}, "http://agent", "http://http:2"),
        ({"HTTP_PROXY": "proxy:3128"}, "http://agent", "http://proxy:3128"),
        ({"HTTP_PROXY": ""}, "http://agent", None),
        ({"HTTP_PROXY": "http://proxy:3128", "NO_PROXY": "agent"}, "http://agent:8600", None),
        ({"HTTP_PROXY": "http://proxy:3128", "NO_PROXY": "*"}, "http://agent", None),
        ({"HTTP_PROXY": "http://proxy:3128", "NO_PROXY": ".example.com"}, "http://agent.example.com", None),
        ({"HTTP_PROXY": "http://proxy:3128", "NO_PROXY": "agent:8600"}, "http://agent:8600", None),
        ({"HTTP_PROXY": "http://proxy:3128", "NO_PROXY": "other"}, "http://agent", "http://proxy:3128"),
    ],
)
def test_proxies_come_from_the_environment(
    no_proxies: pytest.MonkeyPatch, variables: dict[str, str], base_url: str, expected: str | None
) -> None:
    """The usual variables name the proxy for an agent, and the agents that have none."""
    for name, value in variables.items():
        no_proxies.setenv(name, value)
    assert settings.proxy_for(base_url) == expected


@pytest.mark.parametrize(
    "proxy", [f"http://user:{SECRET}/x@proxy", f"gopher://user:{SECRET}@proxy", f"http://p:{SECRET}"]
)
def test_a_wrong_proxy_is_refused_and_not_shown(no_proxies: pytest.MonkeyPatch, proxy: str) -> None:
    """A proxy that is no URL raises a ValueError when the client is made, and is not shown."""
    no_proxies.setenv("HTTP_PROXY", proxy)
    with pytest.raises(ValueError, match="The proxy that the environment names for http is no URL") as caught:
        AgentClient("http://agent")
    assert SECRET not in str(caught.value)


def test_certificates_are_checked_unless_told_otherwise() -> None:
    """With verify=True the usual authorities are trusted, and only with False anybody is."""
    trusting = settings.ssl_context(verify=True, base_url="https://agent", trust_env=False)
    assert trusting.verify_mode is ssl.CERT_REQUIRED
    assert trusting.check_hostname
    assert trusting.cert_store_stats()["x509_ca"] > 0
    assert settings.ssl_context(verify=False, base_url="https://agent", trust_env=False).verify_mode is ssl.CERT_NONE


def test_without_tls_no_certificates_are_read() -> None:
    """For an agent without TLS no certificates are loaded, and nobody would be trusted by them."""
    context = settings.ssl_context(verify=True, base_url=URL, trust_env=True)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.cert_store_stats()["x509_ca"] == 0


def test_a_context_of_the_callers_own_is_used() -> None:
    """An ssl.SSLContext is used as it is."""
    context = ssl.create_default_context()
    assert settings.ssl_context(context, "https://agent", trust_env=True) is context


@pytest.mark.parametrize(
    "verify", [Path("no/such/file.pem"), "no/such/file.pem", Path(__file__), Path(__file__).parent]
)
def test_a_path_without_certificates_is_refused(verify: Path | str) -> None:
    """A path at which there are no certificates raises a ValueError that names it."""
    with pytest.raises(ValueError, match=r"verify names no file of certificates.*(pem|py|unit)"):
        settings.ssl_context(verify, "https://agent", trust_env=False)


@pytest.mark.parametrize("verify", [None, 0, 1, "", [], ...], ids=ascii)
def test_nothing_but_false_trusts_anybody(verify: Any) -> None:
    """A verify that is empty or None is refused, and never passes for False."""
    for url in ("https://agent", URL):
        with pytest.raises(ValueError, match="verify takes True, False"):
            settings.ssl_context(verify, url, trust_env=False)
