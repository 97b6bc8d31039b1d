"""What a client is configured with: arguments and environment in, checked settings out."""

from __future__ import annotations

import ipaddress
import os
import re
import ssl
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

import httpx

T = TypeVar("T")

Timeout: TypeAlias = float | Mapping[str, float | None] | tuple[float | None, float | None] | httpx.Timeout
"""Seconds for everything, `{"connect": 3, "read": 10}`, `(connect, read)`, or an `httpx.Timeout`."""

Verify: TypeAlias = bool | str | os.PathLike[str] | ssl.SSLContext
"""Whom to trust: True for the usual certificate authorities, a file of others, or an `SSLContext`."""

CONNECT_SECONDS = 3.0
READ_SECONDS = 10.0
LONGEST_SECONDS = 2_147_483
"""The longest wait that a socket takes: poll counts milliseconds in 31 bits."""
DEFAULT_TIMEOUT = httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
# An action may take hours, so nothing but the caller bounds the wait for its result.
DEFAULT_RUN_TIMEOUT = httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS, read=None)


MAX_PORT = 65535
SECRET_CHARACTERS = 6
NAME = re.compile(r"(?=.{1,254}$)([\w-]{1,63}\.)*[\w-]{1,63}\.?", re.ASCII)
"""A name of labels (RFC 1123; those of containers have underscores)."""


@dataclass(frozen=True, slots=True)
class Options:
    """The checked settings of a client; secrets do not show in its repr."""

    base_url: str
    agent_token: str | None = field(repr=False)
    user_token: str | None = field(repr=False)
    tenant: str | None = field(repr=False)
    timeout: httpx.Timeout
    run_timeout: httpx.Timeout
    headers: Mapping[str, str] = field(repr=False)

    def secrets(self) -> tuple[str, ...]:
        """What no error shows, even where an agent repeats it; shorter ones could be part of any word."""
        given = (self.agent_token, self.user_token, self.tenant)
        return tuple(secret for secret in given if secret and len(secret) >= SECRET_CHARACTERS)


def load_options(
    environment: Mapping[str, str],
    *,
    base_url: str | None,
    agent_token: str | None,
    access_token: str | None,
    user_token: str | None,
    tenant: str | None,
    timeout: Timeout | None,
    headers: Mapping[str, str] | None,
) -> Options:
    """Settle every setting: an argument wins over its environment variable, and everything is checked.

    Args:
        environment: Usually `os.environ`.
        base_url: As `AgentClient` takes it, as are the others.
        agent_token: The agent token, raw.
        access_token: Another name of `agent_token`.
        user_token: The user's token.
        tenant: The tenant's code.
        timeout: In any of the forms of `Timeout`.
        headers: Further headers of every request.

    Raises:
        ValueError: If a setting is missing or wrong. Tokens are never shown.
    """
    if agent_token is not None and access_token is not None and agent_token != access_token:
        msg = "agent_token and access_token are one setting under two names, and differ here: give one of them"
        raise ValueError(msg)
    token = agent_token if agent_token is not None else access_token
    return Options(
        base_url=check_base_url(base_url if base_url is not None else environment.get("SYNAPSE_AGENT_URL")),
        agent_token=_secret("agent_token", token, environment.get("SYNAPSE_AGENT_TOKEN")),
        user_token=_secret("user_token", user_token, environment.get("SYNAPSE_USER_TOKEN")),
        tenant=_secret("tenant", tenant, environment.get("SYNAPSE_TENANT")),
        timeout=parse_timeout(timeout, DEFAULT_TIMEOUT),
        run_timeout=parse_timeout(timeout, DEFAULT_RUN_TIMEOUT),
        headers=_check_headers(headers or {}),
    )


HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""A token (RFC 9110, section 5.6.2)."""
FRAMING = frozenset({"content-length", "transfer-encoding"})


def _check_headers(headers: Mapping[str, str]) -> dict[str, str]:
    if not isinstance(headers, Mapping):
        msg = f"headers must be a dict of names and values, not a {type(headers).__name__}"
        raise ValueError(msg)  # noqa: TRY004 - every wrong setting is a ValueError
    for name, value in headers.items():
        if not isinstance(name, str) or not HEADER_NAME.fullmatch(name) or name.lower() in FRAMING:
            msg = f"headers: {name!r:.100} is no name of a header that can be set"
            raise ValueError(msg)
        if not isinstance(value, str) or not value.isascii() or not value.isprintable() or value != value.strip():
            msg = f"headers: the value of {name!r} must be printable ASCII without spaces around it (it is not shown)"
            raise ValueError(msg)
    return dict(headers)


def check_base_url(base_url: str | None) -> str:
    """Check an agent's URL, and give it without a slash at its end.

    Raises:
        ValueError: If it is missing, or no http(s) URL, or has a user, a password, a query or a fragment.

    Example:
        >>> check_base_url("https://agents.example.com/team-a/")
        'https://agents.example.com/team-a'
    """
    if base_url is None or base_url == "" or (isinstance(base_url, str) and base_url.isspace()):
        msg = "base_url is missing: give the agent's URL, such as http://127.0.0.1:8600, or set SYNAPSE_AGENT_URL"
        raise ValueError(msg)
    if not isinstance(base_url, str):
        msg = f"base_url must be a text, not a {type(base_url).__name__}"
        raise ValueError(msg)  # noqa: TRY004 - every wrong setting is a ValueError
    text = base_url.strip()
    shown = "it is not shown, since it may hold a password" if "@" in text else f"{text!r:.200}"
    try:
        url = httpx.URL(text)
        if url.host and not NAME.fullmatch(url.raw_host.decode("ascii")):
            ipaddress.ip_address(url.host.partition("%")[0])  # a ValueError where it is no address either
    except (httpx.InvalidURL, ValueError):
        msg = f"base_url is not a URL: {shown}"
        raise ValueError(msg) from None
    if url.userinfo or "?" in text or "#" in text:
        # The URL is not shown: what stands in these parts may be secret.
        msg = "base_url must not hold a user, a password, a query or a fragment: give tokens as agent_token"
        raise ValueError(msg)
    if url.scheme not in {"http", "https"} or not url.host:
        msg = f"base_url needs a scheme and a host, such as http://127.0.0.1:8600; this has not: {shown}"
        raise ValueError(msg)
    if url.port is not None and not 0 < url.port <= MAX_PORT:
        msg = f"base_url has a port that is none, they go from 1 to {MAX_PORT}: {shown}"
        raise ValueError(msg)
    return str(url).rstrip("/")


def proxy_for(base_url: str) -> str | None:
    """The proxy that the environment names for an agent (`HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`).

    Raises:
        ValueError: If what it names is no proxy's URL, which is not shown.
    """
    url = httpx.URL(base_url)
    proxies = urllib.request.getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    if not proxy or any(map(urllib.request.proxy_bypass, (url.host, url.netloc.decode("ascii")))):
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    try:
        httpx.Proxy(proxy)
    except (httpx.InvalidURL, ValueError):
        msg = f"The proxy that the environment names for {url.scheme} is no URL (it is not shown here)"
        raise ValueError(msg) from None
    return proxy


def ssl_context(verify: Verify, base_url: str, *, trust_env: bool) -> ssl.SSLContext:
    """The TLS settings for an agent.

    Args:
        verify: True for the usual certificate authorities (`SSL_CERT_FILE` and `SSL_CERT_DIR` in their place, where
            they are set and `trust_env` is), a file of others, or settings of the caller's own. False trusts
            anybody.
        base_url: The agent's URL. Without TLS the certificates are not read, which takes 20 ms.
        trust_env: Whether the environment has a say.

    Raises:
        ValueError: If `verify` is a path at which there are no certificates, or none of these.
    """
    if isinstance(verify, ssl.SSLContext):
        return verify
    if isinstance(verify, str | os.PathLike) and os.fspath(verify):
        path = os.fspath(verify)
        try:
            return ssl.create_default_context(cafile=path)
        except OSError as error:  # ssl.SSLError is one too
            msg = f"verify names no file of certificates: {path!r} ({error})"
            raise ValueError(msg) from None
    if not isinstance(verify, bool):  # None, say, must not pass for "trust anybody"
        msg = f"verify takes True, False, a file of certificates or an ssl.SSLContext, not {verify!r:.100}"
        raise ValueError(msg)  # noqa: TRY004 - every wrong setting is a ValueError
    if verify and not base_url.startswith("https:"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # it trusts nobody, and is never used
    return httpx.create_ssl_context(verify=verify, trust_env=trust_env)


def _secret(name: str, argument: str | None, variable: str | None) -> str | None:
    """The secret to use, checked to be a header value; where it is wrong, it is not shown."""
    secret = argument if argument is not None else variable
    if secret is None or secret == "":
        return None
    if not isinstance(secret, str):
        msg = f"{name} must be a text, not a {type(secret).__name__} (it is not shown here)"
        raise ValueError(msg)  # noqa: TRY004 - every wrong setting is a ValueError
    secret = secret.removesuffix("\n").removesuffix("\r")  # files of tokens end with a line break
    if not secret.isascii() or not secret.isprintable() or " " in secret or not secret:
        msg = f"{name} must be visible ASCII characters without spaces (it is not shown here)"
        raise ValueError(msg)
    return secret


def parse_timeout(timeout: Timeout | None, default: httpx.Timeout) -> httpx.Timeout:
    """Read a timeout in any of its forms.

    Args:
        timeout: Seconds for connecting, reading and writing each; a dict with any of `connect`, `read`, `write` and
            `pool`; a pair `(connect, read)`; an `httpx.Timeout`; or None for `default`. In a dict or a pair, None is
            no limit.
        default: What fills the parts that a dict leaves out.

    Raises:
        ValueError: If it is none of these, or a number is not positive or too large for a socket.

    Example:
        >>> parse_timeout({"read": 60}, DEFAULT_TIMEOUT)
        Timeout(connect=3.0, read=60, write=60, pool=63.0)
    """
    if timeout is None:
        return default
    if isinstance(timeout, httpx.Timeout) and all(map(_is_seconds, timeout.as_dict().values())):
        return timeout
    if isinstance(timeout, tuple) and len(timeout) == 2:  # noqa: PLR2004 - a pair
        timeout = dict(zip(("connect", "read"), timeout, strict=True))
    if isinstance(timeout, Mapping):
        parts = {"connect": default.connect, "read": default.read, **timeout}
        if parts.keys() <= {"connect", "read", "write", "pool"} and all(map(_is_seconds, parts.values())):
            connect, read = parts["connect"], parts["read"]
            total = None if connect is None or read is None else connect + read
            return httpx.Timeout(
                connect=connect, read=read, write=parts.get("write", read), pool=parts.get("pool", total)
            )
    elif isinstance(timeout, int | float) and _is_seconds(timeout):
        return httpx.Timeout(timeout)
    msg = (
        f"timeout takes seconds (more than 0, at most {LONGEST_SECONDS}), {{'connect': 3, 'read': 10}}, "
        f"(connect, read) or an httpx.Timeout, not {timeout!r:.200}"
    )
    raise ValueError(msg)


def total_of(given: Timeout | None, timeout: httpx.Timeout) -> float | None:
    """Seconds that a call may take in all by the timeout given for it, or None where it gives no bound.

    Seconds are a bound on all of the call; of the other forms it is the time to connect and the time to read.
    """
    if given is None or timeout.connect is None or timeout.read is None:
        return None
    return float(given) if isinstance(given, int | float) else timeout.connect + timeout.read


def _is_seconds(value: object) -> bool:
    if value is None:
        return True
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= LONGEST_SECONDS


def check_type(name: str, value: T, kind: type) -> T:
    """`value`, if it is an instance of `kind`.

    Raises:
        TypeError: If it is not; the message has the argument's name.
    """
    if not isinstance(value, kind):
        msg = f"{name} must be an instance of {kind.__module__.partition('.')[0]}.{kind.__name__}, not {value!r:.100}"
        raise TypeError(msg)
    return value
