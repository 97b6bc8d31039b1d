"""The registry: a folder of plugins, each a folder or .zip with config.yaml and sources."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from synapse_local_agent.errors import RegistryError
from synapse_local_agent.releases import archives

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONFIG = archives.CONFIG
MAX_CONFIG_BYTES = 2**20
ENTRYPOINT = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*[.:][^\W\d]\w*(\.[^\W\d]\w*)*")


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plugin in the registry."""

    path: Path
    """Its folder or its archive."""
    code: str
    version: str
    config: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Registry:
    """A folder of plugins. It is read on each use, so edits take effect at once."""

    folder: Path

    def check(self) -> None:
        """Read every plugin.

        Raises:
            RegistryError: If the folder does not exist or a plugin in it is invalid.
        """
        if not self.folder.is_dir():
            msg = f"The registry {self.folder} is not a folder: give a folder of plugins, each with a {CONFIG}"
            raise RegistryError(msg)
        for path in self._plugins():
            read_plugin(path)

    def find(self, code: str, version: str) -> Plugin | None:
        """The plugin with that code and version, or None.

        Raises:
            RegistryError: If it was not found and another plugin, which may be the one, is invalid.
        """
        broken: RegistryError | None = None
        for path in self._plugins():
            try:
                plugin = read_plugin(path)
            except RegistryError as error:
                broken = error
                continue
            if (plugin.code, plugin.version) == (code, version):
                return plugin
        if broken is not None:
            raise broken
        return None

    def _plugins(self) -> Iterator[Path]:
        for path in sorted(self.folder.iterdir()):
            if (path / CONFIG).is_file() or (path.suffix == ".zip" and path.is_file()):
                yield path


def read_plugin(path: Path) -> Plugin:
    """Read the plugin in a folder or an archive.

    Raises:
        RegistryError: If its config.yaml is invalid or lacks a required field.
    """
    config = read_config(path)
    fields = {}
    for name in ("code", "version"):
        value = config.get(name)
        if not isinstance(value, str) or not value.strip():
            msg = f"{path / CONFIG}: {name} must be a string, such as {name}: '1.0.0', not {value!r}"
            raise RegistryError(msg)
        fields[name] = value
    actions = config.get("actions")
    if not isinstance(actions, dict) or not actions:
        form = "train: {entrypoint: plugin.train:train}"
        msg = f"{path / CONFIG}: actions must map names to entrypoints, such as {form}"
        raise RegistryError(msg)
    for name in actions:
        try:
            entrypoint(config, name)
        except RegistryError as error:
            msg = f"{path / CONFIG}: {error}"
            raise RegistryError(msg) from None
    return Plugin(path, fields["code"], fields["version"], config)


def read_config(folder: Path) -> dict[str, Any]:
    """Read the config.yaml in a folder or an archive.

    Raises:
        RegistryError: If it is not valid YAML or not a mapping.
    """
    path = folder / CONFIG
    try:
        config = yaml.safe_load(_config(folder).decode())
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path} cannot be read: {error}"
        raise RegistryError(msg) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        msg = f"{path} is not valid YAML: {' '.join(str(error).split())}"
        raise RegistryError(msg) from None
    if not isinstance(config, dict):
        msg = f"{path} must be a mapping with code, version and actions"
        raise RegistryError(msg)
    try:
        text = json.dumps(config, default=str, allow_nan=False, ensure_ascii=False)  # dates become strings
        text.encode()
        as_json: dict[str, Any] = json.loads(text)
    except (ValueError, RecursionError, TypeError) as error:
        msg = f"{path} has a value that JSON cannot represent: {error}"
        raise RegistryError(msg) from None
    return as_json


def _config(path: Path) -> bytes:
    """Read a plugin's config.yaml as bytes.

    Raises:
        RegistryError: If it is missing or too large.
    """
    if path.is_dir():
        with (path / CONFIG).open("rb") as file:
            content: bytes | None = file.read(MAX_CONFIG_BYTES + 1)
    else:
        content = archives.config(path, MAX_CONFIG_BYTES + 1)
    if content is None:
        msg = f"{path} has no {CONFIG}, at the top level or in a single top-level folder"
        raise RegistryError(msg)
    if len(content) > MAX_CONFIG_BYTES:
        msg = f"{path / CONFIG} is larger than {MAX_CONFIG_BYTES} bytes"
        raise RegistryError(msg)
    return content


def entrypoint(config: dict[str, Any], action: str) -> str:
    """The entrypoint of an action, as `module:attribute` or `module.attribute`.

    Raises:
        LookupError: If there is no such action; the message lists the available ones.
        RegistryError: If the action has no valid entrypoint.
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
