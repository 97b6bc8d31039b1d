"""Client settings: read from arguments and environment, and validated."""

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

from synapse_agent_sdk.redaction import redactable

T = TypeVar("T")

Timeout: TypeAlias = float | Mapping[str, float | None] | tuple[float | None, float | None] | httpx.Timeout
"""Seconds for each phase, `{"connect": 3, "read": 10}`, `(connect, read)`, or an `httpx.Timeout`."""

Verify: TypeAlias = bool | str | os.PathLike[str] | ssl.SSLContext
"""Certificates to trust: True for the default authorities, a CA file, or an `SSLContext`."""

CONNECT_SECONDS = 3.0
READ_SECONDS = 10.0
LONGEST_SECONDS = 2_147_483
"""Longest timeout of a socket: poll counts milliseconds in 31 bits."""
DEFAULT_TIMEOUT = httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
# An action may take hours, so runs have no read timeout unless the caller sets one.
DEFAULT_RUN_TIMEOUT = httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS, read=None)


MAX_PORT = 65535
NAME = re.compile(r"(?=.{1,254}$)([\w-]{1,63}\.)*[\w-]{1,63}\.?", re.ASCII)
"""A host name (RFC 1123, plus the underscores of container names)."""


@dataclass(frozen=True, slots=True)
class Options:
    """The validated settings of a client; its repr hides secrets."""

    base_url: str
    agent_token: str | None = field(repr=False)
    user_token: str | None = field(repr=False)
    tenant: str | None = field(repr=False)
    timeout: httpx.Timeout
    run_timeout: httpx.Timeout
    headers: Mapping[str, str] = field(repr=False)

    def secrets(self) -> tuple[str, ...]:
        """Secrets to redact from errors."""
        return redactable((self.agent_token, self.user_token, self.tenant))


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
    """Load and validate every setting; an argument overrides its environment variable.

    Args:
        environment: Usually `os.environ`.
        base_url: The agent's URL.
        agent_token: The agent token.
        access_token: Alias of `agent_token`.
        user_token: The user's token.
        tenant: The tenant's code.
        timeout: Any form of `Timeout`.
        headers: Additional headers for every request.

    Raises:
        ValueError: If a setting is missing or invalid. Messages never contain tokens.
    """
    if agent_token is not None and access_token is not None and agent_token != access_token:
        msg = "agent_token and access_token are aliases but have different values: pass one of them"
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
        msg = f"headers must be a dict, not {type(headers).__name__}"
        raise ValueError(msg)  # noqa: TRY004 - every invalid setting is a ValueError
    for name, value in headers.items():
        if not isinstance(name, str) or not HEADER_NAME.fullmatch(name) or name.lower() in FRAMING:
            msg = f"headers: {name!r:.100} is not a valid header name, or is set by the client"
            raise ValueError(msg)
        if not isinstance(value, str) or not value.isascii() or not value.isprintable() or value != value.strip():
            msg = f"headers: the value of {name!r} must be printable ASCII without spaces around it (value hidden)"
            raise ValueError(msg)
    return dict(headers)


def check_base_url(base_url: str | None) -> str:
    """Validate an agent's URL, and return it without a trailing slash.

    Raises:
        ValueError: If it is missing, is not an HTTP(S) URL, or has a user, password, query or fragment.

    Example:
        >>> check_base_url("https://agents.example.com/team-a/")
        'https://agents.example.com/team-a'
    """
    if base_url is None or base_url == "" or (isinstance(base_url, str) and base_url.isspace()):
        msg = "base_url is missing: pass the agent's URL, such as http://127.0.0.1:8600, or set SYNAPSE_AGENT_URL"
        raise ValueError(msg)
    if not isinstance(base_url, str):
        msg = f"base_url must be a string, not {type(base_url).__name__}"
        raise ValueError(msg)  # noqa: TRY004 - every invalid setting is a ValueError
    text = base_url.strip()
    shown = "(hidden, it may contain a password)" if "@" in text else f"{text!r:.200}"
    try:
        url = httpx.URL(text)
        if url.host and not NAME.fullmatch(url.raw_host.decode("ascii")):
            ipaddress.ip_address(url.host.partition("%")[0])  # ValueError if it is not an address either
    except (httpx.InvalidURL, ValueError):
        msg = f"base_url is not a valid URL: {shown}"
        raise ValueError(msg) from None
    if url.userinfo or "?" in text or "#" in text:
        # The URL is not shown: these parts may be secret.
        msg = "base_url must not contain a user, password, query or fragment: give tokens as agent_token"
        raise ValueError(msg)
    if url.scheme not in {"http", "https"} or not url.host:
        msg = f"base_url must start with http:// or https:// and a host, such as http://127.0.0.1:8600: {shown}"
        raise ValueError(msg)
    if url.port is not None and not 0 < url.port <= MAX_PORT:
        msg = f"base_url port out of range (1-{MAX_PORT}): {shown}"
        raise ValueError(msg)
    return str(url).rstrip("/")


def proxy_for(base_url: str) -> str | None:
    """The proxy for an agent, from `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`.

    Raises:
        ValueError: If the proxy's URL is invalid. The message does not contain it.
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
        msg = f"the {url.scheme} proxy set in the environment is not a valid URL (value hidden)"
        raise ValueError(msg) from None
    return proxy


def ssl_context(verify: Verify, base_url: str, *, trust_env: bool) -> ssl.SSLContext:
    """The TLS settings for an agent.

    Args:
        verify: True for the default authorities (or `SSL_CERT_FILE` and `SSL_CERT_DIR`, with `trust_env`), a CA
            file, or an `SSLContext`. False disables verification.
        base_url: The agent's URL. Without TLS the certificates are not loaded, which saves 20 ms.
        trust_env: Whether to use the environment.

    Raises:
        ValueError: If `verify` is a file without certificates, or of another type.
    """
    if isinstance(verify, ssl.SSLContext):
        return verify
    if isinstance(verify, str | os.PathLike) and os.fspath(verify):
        path = os.fspath(verify)
        try:
            return ssl.create_default_context(cafile=path)
        except OSError as error:  # ssl.SSLError is one too
            msg = f"verify: cannot load certificates from {path!r} ({error})"
            raise ValueError(msg) from None
    if not isinstance(verify, bool):  # None must not disable verification
        msg = f"verify must be True, False, a certificate file or an ssl.SSLContext, not {verify!r:.100}"
        raise ValueError(msg)  # noqa: TRY004 - every invalid setting is a ValueError
    if verify and not base_url.startswith("https:"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts no certificate, and is never used
    return httpx.create_ssl_context(verify=verify, trust_env=trust_env)


def _secret(name: str, argument: str | None, variable: str | None) -> str | None:
    """The secret to use, validated as a header value. Errors do not contain it."""
    secret = argument if argument is not None else variable
    if secret is None or secret == "":
        return None
    if not isinstance(secret, str):
        msg = f"{name} must be a string, not {type(secret).__name__} (value hidden)"
        raise ValueError(msg)  # noqa: TRY004 - every invalid setting is a ValueError
    secret = secret.removesuffix("\n").removesuffix("\r")  # token files end with a line break
    if not secret.isascii() or not secret.isprintable() or " " in secret or not secret:
        msg = f"{name} must be visible ASCII characters without spaces (value hidden)"
        raise ValueError(msg)
    return secret


def parse_timeout(timeout: Timeout | None, default: httpx.Timeout) -> httpx.Timeout:
    """Convert a timeout of any form to an `httpx.Timeout`.

    Args:
        timeout: Seconds for each phase; a dict with any of `connect`, `read`, `write` and `pool`; a pair
            `(connect, read)`; an `httpx.Timeout`; or None for `default`. In a dict or a pair, None means no limit.
        default: Defaults for the parts that a dict omits.

    Raises:
        ValueError: If it has another form, or a number is not positive or too large for a socket.

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
        f"timeout must be seconds (more than 0, at most {LONGEST_SECONDS}), {{'connect': 3, 'read': 10}}, "
        f"(connect, read) or an httpx.Timeout, not {timeout!r:.200}"
    )
    raise ValueError(msg)


def total_of(given: Timeout, timeout: httpx.Timeout) -> float | None:
    """Total seconds that a call's own timeout allows, or None for no limit.

    A number limits the whole call; the other forms allow the connect timeout plus the read timeout.
    """
    if timeout.connect is None or timeout.read is None:
        return None
    return float(given) if isinstance(given, int | float) else timeout.connect + timeout.read


def _is_seconds(value: object) -> bool:
    if value is None:
        return True
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= LONGEST_SECONDS


def check_type(name: str, value: T, kind: type) -> T:
    """Return `value` if it is an instance of `kind`.

    Raises:
        TypeError: If it is not; the message names the argument.
    """
    if not isinstance(value, kind):
        msg = f"{name} must be an instance of {kind.__module__.partition('.')[0]}.{kind.__name__}, not {value!r:.100}"
        raise TypeError(msg)
    return value
