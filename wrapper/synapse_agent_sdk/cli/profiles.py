"""Settings of the command line: flags, then the environment, then a profile in `config.toml`.

`resolve` is pure and decides which of them counts; `load` and `read_secret` read files, and refuse those that hold a
token and that others may read. A profile that is named by a flag comes before the environment, as any other flag does.
The tokens of a profile are sent to the URL of that profile alone.
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
"""As the client has it, whose module would bring httpx along."""
OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True)
class Options:
    """The options that every command has; None where they were not given."""

    url: str | None = None
    profile: str | None = None
    token_file: Path | None = None
    token_stdin: bool = False
    timeout: float | None = None
    json: bool = False
    debug: bool = False

    def over(self, below: Options) -> Options:
        """These laid over others: those of the command over those before it."""
        pairs = ((getattr(self, name), getattr(below, name)) for name in self.__slots__)
        # What is empty or zero was given all the same, and is refused later.
        return Options(*(low if mine is None or mine is False else mine for mine, low in pairs))


@dataclass(frozen=True, slots=True)
class Config:
    """What `config.toml` holds."""

    path: Path
    profiles: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    default: str | None = None
    is_there: bool = False


@dataclass(frozen=True, slots=True)
class Connection:
    """What a client is made with, and where each of it comes from; secrets do not show in its repr."""

    values: Mapping[str, Any] = field(repr=False)
    sources: Mapping[str, str]
    profile: str | None = None
    withheld: str | None = None
    """The profile whose tokens are not sent, since its URL is not the one that is called."""

    @property
    def url(self) -> str | None:
        """The agent's URL, as it was given."""
        return self.values.get("url")

    def secrets(self) -> list[str]:
        """What must never be shown."""
        return [self.values[name] for name in SECRETS if self.values.get(name)]


def resolve(options: Options, environment: Mapping[str, str], config: Config, token: str | None) -> Connection:
    """Settle where to connect to, and with what.

    Args:
        options: The flags.
        environment: Usually `os.environ`.
        config: The profiles.
        token: The token that flags gave, by a file or by standard input.

    Raises:
        CliError: If there is no such profile, a flag is empty, or the timeout is none.
    """
    for flag, given in (("--url", options.url), ("--profile", options.profile)):
        if given is not None and not given.strip():
            raise CliError(f"{flag} is empty.", "Leave it out where none is meant: an empty variable may stand there.")
    if options.timeout is not None and not 0 < options.timeout <= LONGEST_SECONDS:
        raise CliError(f"--timeout takes seconds, more than 0 and at most {LONGEST_SECONDS}, not {options.timeout:g}.")
    named = options.profile or environment.get("SYNAPSE_PROFILE")
    name = named or config.default
    if name is not None and name not in config.profiles:
        known = ", ".join(sorted(config.profiles)) or "none"
        raise CliError(f"There is no profile {name!r} in {config.path}.", f"Profiles: {known}.")
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
            # A token and a file of one are one setting, so that neither is taken from a layer below the other.
            names = {"token", "token_file"} if key in {"token", "token_file"} else {key}
            if value not in (None, "") and names.isdisjoint(values):
                values[key], sources[key] = value, where[key]
    return Connection(values, sources, name, withheld)


def _same(url: str | None, other: str | None) -> bool | None:
    """Whether two URLs name one agent, or None where there is only one."""
    if url is None or other is None:
        return None
    return url.strip().rstrip("/") == other.strip().rstrip("/")


def config_path() -> Path:
    """Where the profiles are: `~/.config/synapse-agent/config.toml`, or the system's own place for such files."""
    from platformdirs import user_config_path

    return user_config_path("synapse-agent") / FILE


def load(path: Path) -> Config:
    """Read the profiles; there are none where there is no file.

    Raises:
        CliError: If it cannot be read, is not as it should be, or holds a token that others may read.
    """
    import tomllib

    try:
        text, is_open = _read(path)
        data = tomllib.loads(text)
    except FileNotFoundError:
        return Config(path)
    except (OSError, ValueError) as error:
        raise CliError(f"{path} cannot be read: {error}") from None
    profiles = data.pop("profiles", {})
    default = data.pop("default_profile", None)
    if data:
        raise CliError(f"{path} has {next(iter(data))!r}, which is no setting.", "It has default_profile and profiles.")
    if not isinstance(profiles, dict) or not all(isinstance(profile, dict) for profile in profiles.values()):
        raise CliError(f"{path}: profiles must be tables.", "Write [profiles.NAME], with url and token_file below.")
    if default is not None and not isinstance(default, str):
        raise CliError(f"{path}: default_profile must be the name of a profile.")
    for name, profile in profiles.items():
        _check(path, name, profile)
    holds_secrets = any(key in profile for profile in profiles.values() for key in SECRETS)
    if holds_secrets and is_open:
        raise _open_to_others(path, "holds a token")
    return Config(path, profiles, default, is_there=True)


def _check(path: Path, name: str, profile: Mapping[str, Any]) -> None:
    """Make sure that a profile has what profiles have; what it has is not shown, since it may be a token."""
    for key, value in profile.items():
        where = f"{path}: {key!r} of profile {name}"
        if key not in KEYS:
            raise CliError(f"{where} is no setting.", f"Settings: {', '.join(KEYS)}.")
        if key == "timeout":
            if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= LONGEST_SECONDS:
                raise CliError(f"{where} must be a number of seconds, more than 0.")
        elif not isinstance(value, str):
            raise CliError(f"{where} must be a text.")
    if "token" in profile and "token_file" in profile:
        raise CliError(f"{path}: profile {name} has token and token_file.", "Keep one of them.")


def read_secret(path: Path) -> str:
    """The token in a file, which must be its owner's alone; a pipe or a terminal is nobody else's anyway.

    Raises:
        CliError: If it cannot be read, is empty, or others may read it.
    """
    try:
        text, is_open = _read(path)
    except (OSError, ValueError) as error:
        raise CliError(f"The token file {path} cannot be read: {error}") from None
    if is_open:
        raise _open_to_others(path, "holds a token")
    if not text.strip():
        raise CliError(f"The token file {path} is empty.")
    return text.strip()


def _read(path: Path) -> tuple[str, bool]:
    """What a file holds, and whether others may read it; of the file that was opened, whatever happens to its name."""
    with path.open(encoding="utf-8") as file:
        status = os.fstat(file.fileno())
        return file.read(), os.name == "posix" and stat.S_ISREG(status.st_mode) and bool(status.st_mode & OTHERS)


def _open_to_others(path: Path, what: str) -> CliError:
    return CliError(f"{path} {what}, and is not for you alone: others may read it.", f"chmod 600 {path}")
