"""The registry: a folder of plugins, each a folder with its config.yaml and its sources."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONFIG = "config.yaml"
LEFT_OUT = {"__pycache__", ".git", ".venv", ".mypy_cache", ".pytest_cache", ".ruff_cache"}
ENTRYPOINT = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*[.:][^\W\d]\w*(\.[^\W\d]\w*)*")


class RegistryError(Exception):
    """A registry or a plugin in it is not as it should be; the message says what to do, in one line."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plugin as it stands in the registry."""

    folder: Path
    code: str
    version: str
    config: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Registry:
    """A folder of plugins. It is read at each use, so that edited plugins are seen."""

    folder: Path

    def check(self) -> None:
        """Read every plugin.

        Raises:
            RegistryError: If the folder does not exist, or a plugin in it is not as it should be.
        """
        if not self.folder.is_dir():
            msg = f"The registry {self.folder} is not a folder: name one that holds plugins, each with a {CONFIG}"
            raise RegistryError(msg)
        for folder in self._folders():
            read_plugin(folder)

    def find(self, code: str, version: str) -> Plugin | None:
        """The plugin of that code and version, or None.

        Raises:
            RegistryError: If it is not there, and a plugin that may be it does not parse.
        """
        broken: RegistryError | None = None
        for folder in self._folders():
            try:
                plugin = read_plugin(folder)
            except RegistryError as error:
                broken = error
                continue
            if (plugin.code, plugin.version) == (code, version):
                return plugin
        if broken is not None:
            raise broken
        return None

    def _folders(self) -> Iterator[Path]:
        for path in sorted(self.folder.iterdir()):
            if (path / CONFIG).is_file():
                yield path


def files(folder: Path) -> list[tuple[str, Path]]:
    """The files of a plugin, by their path within its folder, sorted.

    Raises:
        RegistryError: If a link leads anywhere but to a file of the plugin.
    """
    root = folder.resolve()
    found = []
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        if LEFT_OUT.isdisjoint(name.parts):
            is_file = path.is_file()
            if path.is_symlink() and not (is_file and path.resolve().is_relative_to(root)):
                msg = f"{path} is a link, and not to a file of the plugin: put there what it leads to"
                raise RegistryError(msg)
            if is_file:
                found.append((name.as_posix(), path))
    return sorted(found)


def digest(folder: Path) -> str:
    """SHA-256 of the names and contents of a plugin's files, in hexadecimal."""
    total = hashlib.sha256()
    for name, path in files(folder):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(b"%d:%b:%b;" % (len(name), os.fsencode(name), content.encode()))
    return total.hexdigest()


def read_plugin(folder: Path) -> Plugin:
    """Read the plugin in a folder.

    Raises:
        RegistryError: If its config.yaml does not parse, or lacks what a release needs.
    """
    config = read_config(folder)
    texts = {}
    for name in ("code", "version"):
        value = config.get(name)
        if not isinstance(value, str) or not value.strip():
            msg = f"{folder / CONFIG}: {name} must be a text, such as {name}: '1.0.0', not {value!r}"
            raise RegistryError(msg)
        texts[name] = value
    actions = config.get("actions")
    if not isinstance(actions, dict) or not actions:
        form = "train: {entrypoint: plugin.train:train}"
        msg = f"{folder / CONFIG}: actions must map names to entrypoints, such as {form}"
        raise RegistryError(msg)
    for name in actions:
        try:
            entrypoint(config, name)
        except RegistryError as error:
            msg = f"{folder / CONFIG}: {error}"
            raise RegistryError(msg) from None
    return Plugin(folder, texts["code"], texts["version"], config)


def read_config(folder: Path) -> dict[str, Any]:
    """The config.yaml in a folder.

    Raises:
        RegistryError: If it does not parse, or is no mapping.
    """
    path = folder / CONFIG
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path} cannot be read: {error}"
        raise RegistryError(msg) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        msg = f"{path} is not YAML; mend it: {' '.join(str(error).split())}"
        raise RegistryError(msg) from None
    if not isinstance(config, dict):
        msg = f"{path} must be a mapping with code, version and actions"
        raise RegistryError(msg)
    try:
        text = json.dumps(config, default=str, allow_nan=False, ensure_ascii=False)  # dates become texts
        text.encode()
        as_json: dict[str, Any] = json.loads(text)
    except (ValueError, RecursionError, TypeError) as error:
        msg = f"{path} holds what JSON cannot: {error}"
        raise RegistryError(msg) from None
    return as_json


def entrypoint(config: dict[str, Any], action: str) -> str:
    """The entrypoint of an action, as `module:attribute` or `module.attribute`.

    Raises:
        LookupError: If there is no such action; the message names those that there are.
        RegistryError: If the action has no entrypoint of that form.
    """
    actions = config.get("actions")
    actions = actions if isinstance(actions, dict) else {}
    if action not in actions:
        msg = f"There is no action {action!r}. Actions: {', '.join(map(str, actions)) or 'none'}."
        raise LookupError(msg)
    value = actions[action].get("entrypoint") if isinstance(actions[action], dict) else None
    if not isinstance(value, str) or not ENTRYPOINT.fullmatch(value):
        msg = f"action {action!r} needs an entrypoint such as plugin.train:train, not {value!r}"
        raise RegistryError(msg)
    return value
