"""Settings are read from arguments and environment and validated; errors contain no secrets."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from synapse_agent_sdk import AgentClient
from synapse_agent_sdk.runtime.options import (
    DEFAULT_TIMEOUT,
    LONGEST_SECONDS,
    Options,
    check_base_url,
    load_options,
    parse_timeout,
    proxy_for,
    ssl_context,
)

from tests.unit.helpers import refusal

URL = "http://127.0.0.1:8600"
SECRET = "s3cr3t-t0ken"
ENVIRONMENT = {
    "SYNAPSE_AGENT_URL": "http://from-environment:8600",
    "SYNAPSE_AGENT_TOKEN": "environment-token",
    "SYNAPSE_USER_TOKEN": "environment-user",
    "SYNAPSE_TENANT": "environment-tenant",
}


def resolve(environment: Any = None, **given_settings: Any) -> Options:
    """The settings from some arguments, with the others omitted."""
    names = ("base_url", "agent_token", "access_token", "user_token", "tenant", "timeout", "headers")
    return load_options(environment or {}, **{**dict.fromkeys(names), **given_settings})


def identity(found: Options) -> tuple[str, str | None, str | None, str | None]:
    """A client's URL and credentials."""
    return found.base_url, found.agent_token, found.user_token, found.tenant


def test_arguments_override_the_environment() -> None:
    """An argument overrides its variable, an empty one disables it, and conflicting aliases are rejected."""
    assert identity(resolve(ENVIRONMENT)) == tuple(ENVIRONMENT.values())
    found = resolve(ENVIRONMENT, base_url=URL, access_token="a", user_token="u", tenant="t")
    assert identity(found) == (URL, "a", "u", "t")
    assert identity(resolve(ENVIRONMENT, base_url=URL, agent_token="", user_token="", tenant="")) == (URL, *[None] * 3)
    assert identity(resolve({"SYNAPSE_AGENT_TOKEN": ""}, base_url=URL)) == (URL, *[None] * 3)
    assert resolve(base_url=URL, agent_token="a", access_token="a").agent_token == "a"
    message = refusal(ValueError, resolve, base_url=URL, agent_token=SECRET, access_token=f"{SECRET}2")
    assert "agent_token and access_token" in message
    assert SECRET not in message


def test_a_trailing_slash_is_removed_from_base_url() -> None:
    """A base_url may have a port and a path prefix; a trailing slash is removed."""
    urls = {
        " http://127.0.0.1:8600/\n": "http://127.0.0.1:8600",
        "https://agents.example.com/team-a//": "https://agents.example.com/team-a",
        "http://[::1]:8600/": "http://[::1]:8600",
        "HTTPS://Agents.Example.com": "https://agents.example.com",
        "http://예시.example": "http://xn--vv4b11d.example",
        "http://agent:65535/a%20b/@c": "http://agent:65535/a%20b/@c",
    }
    assert {url: resolve(base_url=url).base_url for url in urls} == urls


def test_an_invalid_base_url_is_rejected() -> None:
    """An invalid base_url, or one with a user, query or fragment, is rejected in one line without secrets."""
    wrong_urls: tuple[Any, ...] = (
        *("127.0.0.1:8600", "localhost:8600", "agent", "//agent/path", "http:///path", "http:agent", "ftp://agent"),
        *("http://agent:port", "http://agent:0", "http://agent:65536", "http://[::1", "http://ag\x00ent"),
        *("http://agent\nX-Injected: 1", "http://agent/?", "http://agent#", "x" * 100_000, 8600, b"http://agent"),
        *(f"http://user:{SECRET}@agent", f"http://{SECRET}@agent", f"http://agent?token={SECRET}"),
        *(f"http://agent/#{SECRET}", f"user:{SECRET}@agent", f"http://user:{SECRET}/x@agent"),
        *(f"http:/user:{SECRET}@agent", f"ftp://user:{SECRET}@agent", f"http://user:{SECRET}@agent:port"),
    )
    for wrong in wrong_urls:
        message = refusal(ValueError, resolve, base_url=wrong)
        assert message.startswith("base_url ")
        assert len(message) < 400
        assert message.isprintable()
        assert SECRET not in message
    for missing in (None, "", "  "):
        example = "pass the agent's URL, such as http://127.0.0.1:8600, or set SYNAPSE_AGENT_URL"
        assert refusal(ValueError, resolve, base_url=missing) == f"base_url is missing: {example}"


@examples(max_examples=60)
@given(st.text() | st.builds("http://{}".format, st.text()) | st.builds("http://a:{}/".format, st.text()))
def test_any_base_url_is_accepted_or_rejected(base_url: str) -> None:
    """Any string is either a base_url to which paths can be appended, or a ValueError."""
    try:
        found = check_base_url(base_url)
    except ValueError:
        return
    url = httpx.URL(found + "/plugin_releases/")
    assert url.scheme in {"http", "https"}
    assert url.host
    assert url.path.endswith("/plugin_releases/")
    assert not url.query


@pytest.mark.parametrize("name", ["agent_token", "access_token", "user_token", "tenant"])
def test_an_invalid_token_is_rejected_and_not_shown(name: str) -> None:
    """A token with spaces, line breaks or non-ASCII is rejected by name; a trailing line break is removed."""
    for end in ("", "\n", "\r\n"):
        assert SECRET in identity(resolve(base_url=URL, **{name: SECRET + end}))
    for wrong in ("{}\n\n", "{}\rX", "{}\r\nX-Injected: 1", "Bearer {}", " {}", "{}\x00", "{}é", "\n", " "):
        message = refusal(ValueError, resolve, base_url=URL, **{name: wrong.format(SECRET)})
        assert name.replace("access", "agent") in message
        assert SECRET not in message
    for other in (SECRET.encode(), [SECRET], {SECRET: 1}):
        assert SECRET not in refusal(ValueError, resolve, base_url=URL, **{name: other})
    variable = {"tenant": "SYNAPSE_TENANT", "user_token": "SYNAPSE_USER_TOKEN"}.get(name, "SYNAPSE_AGENT_TOKEN")
    message = refusal(ValueError, resolve, {variable: f"two words {SECRET}"}, base_url=URL)
    assert "visible ASCII" in message
    assert SECRET not in message


def test_invalid_headers_are_rejected_and_not_shown() -> None:
    """Headers are kept unchanged; invalid ones are rejected by name, without the value."""
    headers = {"X-Trace": "a b;c=1", "x-empty": "", "User-Agent": "mine/1.0"}
    found = resolve(base_url=URL, headers=headers).headers
    assert found == headers
    assert found is not headers
    names: tuple[Any, ...] = ("", "X Y", "X\r\nY", "É", 5, "Content-Length", "transfer-encoding")
    values: tuple[Any, ...] = (f"{SECRET}\r\nX-Injected: 1", f"{SECRET}é", f" {SECRET}", SECRET.encode(), None)
    wrong_headers: list[Any] = [{name: "x"} for name in names] + [{"X-Key": value} for value in values]
    for wrong in (*wrong_headers, [("X-Key", SECRET)], SECRET):
        message = refusal(ValueError, resolve, base_url=URL, headers=wrong)
        assert message.startswith("headers")
        assert SECRET not in message


NAN, LONGEST = float("nan"), LONGEST_SECONDS


def test_every_form_of_timeout_is_accepted() -> None:
    """A timeout is seconds, a dict, a pair or an httpx.Timeout; in a dict, write defaults to read, pool to the sum."""
    timeouts: list[tuple[Any, tuple[float | None, ...]]] = [
        (None, (3, 10, 10, 10)),
        (0.5, (0.5, 0.5, 0.5, 0.5)),
        ({}, (3, 10, 10, 13)),
        ({"connect": 1, "read": 2}, (1, 2, 2, 3)),
        ({"read": None}, (3, None, None, None)),
        ({"connect": None}, (None, 10, 10, None)),
        ({"write": 7, "pool": 8}, (3, 10, 7, 8)),
        ((1, 2), (1, 2, 2, 3)),
        (httpx.Timeout(4, read=9), (4, 9, 4, 4)),
        (httpx.Timeout(None), (None, None, None, None)),
        (LONGEST, (LONGEST,) * 4),
    ]
    for timeout, expected in timeouts:
        found = parse_timeout(timeout, DEFAULT_TIMEOUT)
        assert (found.connect, found.read, found.write, found.pool) == expected, timeout
    # A run has no read timeout unless the client sets one.
    for timeout, call, run in ((None, 10, None), ({"connect": 3}, 10, None), (60, 60, 60), ((3, 60), 60, 60)):
        given_settings = resolve(base_url=URL, timeout=timeout)
        assert (given_settings.timeout.read, given_settings.run_timeout.read) == (call, run)
        assert given_settings.timeout.connect == given_settings.run_timeout.connect


def test_an_invalid_timeout_is_rejected() -> None:
    """An invalid, non-positive or too long timeout raises a ValueError with the valid forms."""
    wrong_timeouts: tuple[Any, ...] = (
        *(0, -1, True, NAN, float("inf"), LONGEST + 1, "5", [3, 10], (), (1, 2, 3), (0, 1), (1, NAN)),
        *({"total": 5}, {"connect": 0}, {"read": "10"}, {"read": float("inf")}, {1: 2}, httpx.Timeout(-1), ...),
    )
    forms = "timeout must be seconds (more than 0, at most 2147483), {'connect': 3, 'read': 10}, (connect, read)"
    for wrong in wrong_timeouts:
        assert forms in refusal(ValueError, parse_timeout, wrong, DEFAULT_TIMEOUT)


def test_proxies_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual variables set and bypass the proxy of an agent; an invalid proxy is not shown."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    http, https, both = ({f"{kind}_PROXY": f"http://{kind.lower()}:1"} for kind in ("HTTP", "HTTPS", "ALL"))
    proxies: list[tuple[dict[str, str], str, str | None]] = [
        ({}, URL, None),
        ({"http_proxy": "proxy:3128"}, "http://agent", "http://proxy:3128"),
        (http, "https://agent", None),
        (https, "https://agent", "http://https:1"),
        ({**both, **http}, "http://agent", "http://http:1"),
        ({**both, **http}, "https://agent", "http://all:1"),
        ({**http, "NO_PROXY": "agent"}, "http://agent:8600", None),
        ({**http, "NO_PROXY": "agent:8600"}, "http://agent:8600", None),
        ({**http, "NO_PROXY": "other"}, "http://agent", "http://http:1"),
    ]
    for variables, base_url, expected in proxies:
        with monkeypatch.context() as environment:
            for name, value in variables.items():
                environment.setenv(name, value)
            assert proxy_for(base_url) == expected, variables
    for proxy in (f"http://user:{SECRET}/x@proxy", f"gopher://user:{SECRET}@proxy", f"http://p:{SECRET}"):
        monkeypatch.setenv("HTTP_PROXY", proxy)
        message = refusal(ValueError, AgentClient, "http://agent")
        assert message == "the http proxy set in the environment is not a valid URL (value hidden)"


def test_only_false_disables_verification() -> None:
    """Certificates are verified unless verify is False; an invalid path or an empty value is not False."""
    trusting = ssl_context(verify=True, base_url="https://agent", trust_env=False)
    assert (trusting.verify_mode, trusting.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert trusting.cert_store_stats()["x509_ca"] > 0
    assert ssl_context(verify=False, base_url="https://agent", trust_env=False).verify_mode is ssl.CERT_NONE
    assert ssl_context(trusting, "https://agent", trust_env=True) is trusting
    unused = ssl_context(verify=True, base_url=URL, trust_env=True)  # without TLS no certificates are loaded
    assert (unused.verify_mode, unused.cert_store_stats()["x509_ca"]) == (ssl.CERT_REQUIRED, 0)
    for path in ("no/such/file.pem", Path(__file__), Path(__file__).parent):
        message = refusal(ValueError, ssl_context, path, "https://agent", trust_env=False)
        assert message.startswith(f"verify: cannot load certificates from {str(path)!r}")
    verify: Any
    for verify in (None, 0, 1, "", []):
        for url in ("https://agent", URL):
            message = refusal(ValueError, ssl_context, verify, url, trust_env=False)
            assert message.startswith("verify must be True, False, a certificate file or an ssl.SSLContext, not ")
