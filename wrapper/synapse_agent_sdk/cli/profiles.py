"""Settings of the command line: flags, then the environment, then a profile in `config.toml`.

`resolve` is pure and applies the precedence; `load` and `read_secret` read files, and reject files that hold a token
and are readable by others. A profile named by a flag takes precedence over the environment, like other flags. The
tokens of a profile are only sent to the URL of that profile.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from synapse_agent_sdk.cli.failures import CliError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FILE = "config.toml"
SECRETS = ("token", "user_token", "tenant")
KEYS = ("url", "token", "token_file", "user_token", "tenant", "timeout")
VARIABLES = {
    "url": "SYNAPSE_AGENT_URL",
    "token": "SYNAPSE_AGENT_TOKEN",
    "user_token": "SYNAPSE_USER_TOKEN",
    "tenant": "SYNAPSE_TENANT",
}
LONGEST_SECONDS = 2_147_483
"""The same limit as the client's, whose module would import httpx."""
OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True)
class Options:
    """The options of every command; None if omitted."""

    url: str | None = None
    profile: str | None = None
    token_file: Path | None = None
    token_stdin: bool = False
    timeout: float | None = None
    json: bool = False
    debug: bool = False

    def over(self, below: Options) -> Options:
        """These options, falling back to `below`: options after the command override those before it."""
        pairs = ((getattr(self, name), getattr(below, name)) for name in self.__slots__)
        # Empty strings and zeros count as set; they are rejected later.
        return Options(*(low if mine is None or mine is False else mine for mine, low in pairs))


@dataclass(frozen=True, slots=True)
class Config:
    """The contents of `config.toml`."""

    path: Path
    profiles: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    default: str | None = None
    is_there: bool = False


@dataclass(frozen=True, slots=True)
class Connection:
    """The settings of a client and the source of each. The repr shows no secrets."""

    values: Mapping[str, Any] = field(repr=False)
    sources: Mapping[str, str]
    profile: str | None = None
    withheld: str | None = None
    """The profile whose tokens are not sent because the URL is not the profile's."""

    @property
    def url(self) -> str | None:
        """The agent's URL, as configured."""
        return self.values.get("url")

    def secrets(self) -> list[str]:
        """The values that must never be shown."""
        return [self.values[name] for name in SECRETS if self.values.get(name)]


def resolve(options: Options, environment: Mapping[str, str], config: Config, token: str | None) -> Connection:
    """Merge flags, environment and profile.

    Args:
        options: The flags.
        environment: Usually `os.environ`.
        config: The profiles.
        token: The token from `--token-file` or `--token-stdin`.

    Raises:
        CliError: If the profile does not exist, a flag is empty, or the timeout is out of range.
    """
    for flag, given in (("--url", options.url), ("--profile", options.profile)):
        if given is not None and not given.strip():
            raise CliError(f"{flag} is empty.", "Omit it, or check whether it is set from an empty variable.")
    if options.timeout is not None and not 0 < options.timeout <= LONGEST_SECONDS:
        raise CliError(f"--timeout must be more than 0 and at most {LONGEST_SECONDS} seconds, not {options.timeout:g}.")
    named = options.profile or environment.get("SYNAPSE_PROFILE")
    name = named or config.default
    if name is not None and name not in config.profiles:
        known = ", ".join(sorted(config.profiles)) or "none"
        raise CliError(f"No profile {name!r} in {config.path}.", f"Available profiles: {known}.")
    profile = dict(config.profiles.get(name, {})) if name is not None else {}
    flags = {"url": options.url, "token": token, "timeout": options.timeout}
    layers: list[tuple[Mapping[str, str], Mapping[str, Any]]] = [
        (dict.fromkeys(flags, "the command line"), flags),
        (VARIABLES, {key: environment.get(variable) for key, variable in VARIABLES.items()}),
    ]
    layers.insert(1 if options.profile else 2, (dict.fromkeys(KEYS, f"profile {name}"), profile))
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    withheld = None
    for where, layer in layers:
        if layer is profile and _same(values.get("url"), profile.get("url")) is False:
            withheld = name if any(key in profile for key in (*SECRETS, "token_file")) else None
            layer = {key: value for key, value in profile.items() if key not in (*SECRETS, "token_file")}  # noqa: PLW2901 - the same layer, without its secrets
        for key, value in layer.items():
            # token and token_file are one setting: the higher layer wins.
            names = {"token", "token_file"} if key in {"token", "token_file"} else {key}
            if value not in (None, "") and names.isdisjoint(values):
                values[key], sources[key] = value, where[key]
    return Connection(values, sources, name, withheld)


def _same(url: str | None, other: str | None) -> bool | None:
    """Whether two URLs are the same, or None if one is missing."""
    if url is None or other is None:
        return None
    return url.strip().rstrip("/") == other.strip().rstrip("/")


def config_path() -> Path:
    """The path of the config file: `~/.config/synapse-agent/config.toml`, or the platform's equivalent."""
    from platformdirs import user_config_path

    return user_config_path("synapse-agent") / FILE


def load(path: Path) -> Config:
    """Read the profiles; a missing file has none.

    Raises:
        CliError: If the file cannot be read, is invalid, or holds a token and is readable by others.
    """
    import tomllib

    try:
        text, is_open = _read(path)
        data = tomllib.loads(text)
    except FileNotFoundError:
        return Config(path)
    except (OSError, ValueError) as error:
        raise CliError(f"Cannot read {path}: {error}") from None
    profiles = data.pop("profiles", {})
    default = data.pop("default_profile", None)
    if data:
        raise CliError(
            f"{path}: unknown setting {next(iter(data))!r}.", "Valid settings: default_profile and profiles."
        )
    if not isinstance(profiles, dict) or not all(isinstance(profile, dict) for profile in profiles.values()):
        raise CliError(f"{path}: profiles must be tables.", "Use [profiles.NAME], followed by url and token_file.")
    if default is not None and not isinstance(default, str):
        raise CliError(f"{path}: default_profile must be the name of a profile.")
    for name, profile in profiles.items():
        _check(path, name, profile)
    holds_secrets = any(key in profile for profile in profiles.values() for key in SECRETS)
    if holds_secrets and is_open:
        raise _open_to_others(path)
    return Config(path, profiles, default, is_there=True)


def _check(path: Path, name: str, profile: Mapping[str, Any]) -> None:
    """Validate a profile, without showing values, which may be tokens."""
    for key, value in profile.items():
        where = f"{path}: {key!r} of profile {name}"
        if key not in KEYS:
            raise CliError(f"{where} is not a setting.", f"Valid settings: {', '.join(KEYS)}.")
        if key == "timeout":
            if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= LONGEST_SECONDS:
                raise CliError(f"{where} must be a number of seconds greater than 0.")
        elif not isinstance(value, str):
            raise CliError(f"{where} must be a string.")
    if "token" in profile and "token_file" in profile:
        raise CliError(f"{path}: profile {name} has both token and token_file.", "Keep one of them.")


def read_secret(path: Path) -> str:
    """Read a token from a file that only its owner can read, or from a pipe or a terminal.

    Raises:
        CliError: If it cannot be read, is empty, or is readable by others.
    """
    try:
        text, is_open = _read(path)
    except (OSError, ValueError) as error:
        raise CliError(f"Cannot read the token file {path}: {error}") from None
    if is_open:
        raise _open_to_others(path)
    if not text.strip():
        raise CliError(f"The token file {path} is empty.")
    return text.strip()


def _read(path: Path) -> tuple[str, bool]:
    """The contents of a file, and whether others can read it; both of the same open file, to avoid a race."""
    with path.open(encoding="utf-8") as file:
        status = os.fstat(file.fileno())
        return file.read(), os.name == "posix" and stat.S_ISREG(status.st_mode) and bool(status.st_mode & OTHERS)


def _open_to_others(path: Path) -> CliError:
    return CliError(f"{path} holds a token, but other users can access it.", f"chmod 600 {path}")
