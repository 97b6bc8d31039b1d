"""The checks of `synapse-agent doctor`. Each is a function that returns one finding."""

from __future__ import annotations

import ipaddress
import platform
import re
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synapse_agent_sdk._version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

    from synapse_agent_sdk.cli.profiles import Config, Connection

OK = "ok"
NOTE = "note"
WRONG = "wrong"
SKIPPED = "skipped"
VERSION = re.compile(r"(\d+)\.(\d+)")


HERE = Path(__file__).parent.parent
DROPINS = (HERE / "_dropin", HERE.parent / "dropin")
"""The locations of the drop-in packages: installed, and in a checkout."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a check, and how to fix a problem."""

    check: str
    state: str
    found: str
    fix: str = ""

    def as_json(self) -> dict[str, str]:
        """The finding as JSON."""
        return asdict(self)


def versions(contract: str | None) -> Finding:
    """The versions of the SDK, the contract and Python."""
    speaks = f", contract {contract}" if contract else ""
    return Finding("versions", OK, f"synapse-agent-sdk {__version__}{speaks}, Python {platform.python_version()}")


def packages() -> Finding:
    """Which distribution provides `synapse_sdk`."""
    spec = find_spec("synapse_sdk")
    folder = None if spec is None or spec.origin is None else Path(spec.origin).parent
    if folder is None:
        found = "only synapse_agent_sdk can be imported, not synapse_sdk: it needs a .pth file in site-packages"
        return Finding("packages", NOTE, found, "Import from synapse_agent_sdk, or install into an environment.")
    if folder.parent in DROPINS:
        return Finding("packages", OK, "synapse_sdk is provided by synapse-agent-sdk")
    return Finding("packages", OK, f"synapse_sdk is another package in {folder}; import synapse_agent_sdk")


def settings(config: Config, connection: Connection) -> Finding:
    """The config file and the profile in use."""
    file = str(config.path) if config.is_there else f"no {config.path}"
    profile = f", profile {connection.profile}" if connection.profile else ""
    if connection.withheld is not None:
        fix = f"Pass the token for that URL, or omit the URL to use profile {connection.withheld}."
        found = f"{file}; the URL differs from that of profile {connection.withheld}, so its tokens are not sent"
        return Finding("settings", NOTE, found, fix)
    return Finding("settings", OK, f"{file}{profile}")


def url(connection: Connection, config: Config) -> Finding:
    """Whether a URL is set, and whether it is valid."""
    from synapse_agent_sdk.cli.session import to_cli_terms
    from synapse_agent_sdk.runtime.options import check_base_url

    if connection.url is None:
        return Finding(
            "url", WRONG, "not set", f"Pass --url, set SYNAPSE_AGENT_URL, or add a profile to {config.path}."
        )
    source = connection.sources["url"]
    try:
        checked = check_base_url(connection.url)
    except ValueError as error:
        return Finding(
            "url", WRONG, f"{to_cli_terms(str(error))} (from {source})", "Use a URL such as http://127.0.0.1:8600."
        )
    return Finding("url", OK, f"{checked} (from {source})")


def proxy(base_url: str) -> Finding:
    """Which proxy the environment sets for the agent."""
    import httpx

    from synapse_agent_sdk.runtime.options import proxy_for

    try:
        named = proxy_for(base_url)
    except ValueError as error:
        return Finding("proxy", WRONG, str(error), "Fix or unset HTTP_PROXY, HTTPS_PROXY or ALL_PROXY.")
    if named is None:
        return Finding("proxy", OK, "none")
    parts = httpx.URL(named)
    shown = f"{parts.scheme}://{parts.host}{'' if parts.port is None else f':{parts.port}'}"
    host = httpx.URL(base_url).host
    if _is_loopback(host) and not _is_loopback(parts.host):
        return Finding("proxy", WRONG, f"{shown} cannot reach {host}", f"export NO_PROXY={host}")
    return Finding("proxy", OK, f"{shown} (from the environment)")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def agent(health: Mapping[str, Any], milliseconds: float) -> Finding:
    """The health that the agent reports."""
    state, version = health.get("status", "no status"), health.get("version")
    says = f"{state}{f', version {version}' if version else ''}, in {milliseconds:.0f} ms"
    if state in {"ok", "healthy", "up"} or "status" not in health:
        return Finding("agent", OK, says)
    return Finding("agent", NOTE, says, "The agent responds but reports a problem: check its log.")


def contract(document: Any, ours: str | None) -> Finding:
    """Whether the agent's contract version is compatible with the SDK's.

    Args:
        document: The agent's `/openapi.json`, or None if it does not serve one.
        ours: The contract version that the SDK is generated from.
    """
    info = document.get("info") if isinstance(document, dict) else None
    theirs = info.get("version") if isinstance(info, dict) else None
    here, there = (VERSION.match(version) if isinstance(version, str) else None for version in (ours, theirs))
    if here is None or there is None:
        found = "the agent does not publish its contract version (no /openapi.json)"
        return Finding("contract", NOTE, found, f"Ask its operator; this SDK uses {ours or 'an unknown version'}.")
    if here[1] != there[1]:
        newer = "agent" if int(there[1]) > int(here[1]) else "SDK"
        older = "the SDK" if newer == "agent" else "the agent"
        found = f"the agent uses {theirs} and this SDK {ours}: calls may fail"
        return Finding("contract", WRONG, found, f"The {newer} is newer: update {older}.")
    if int(there[2]) < int(here[2]):
        fix = "Features added since then do not work until the agent is updated."
        return Finding("contract", NOTE, f"the agent uses {theirs} and this SDK the newer {ours}", fix)
    return Finding("contract", OK, f"{theirs}, supported by this SDK")


def contract_version() -> str | None:
    """The contract version that the SDK is generated from; None if the document is not installed."""
    spec = find_spec("synapse_local_agent")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        for place in (Path(folder, "agent.yaml"), Path(folder).parents[1] / "openapi" / "agent.yaml"):
            if place.is_file():  # matched as text: this extra has no YAML parser
                found = re.search(r"^info:\n(?:  .*\n)*?  version: (\S+)$", place.read_text("utf-8"), re.MULTILINE)
                return found[1] if found else None
    return None
