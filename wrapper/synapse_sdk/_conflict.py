"""The check for the published `synapse-sdk`, which owns the import name `synapse_sdk` too.

Installed together, pip mixes the files of both without a word. The check reads folder names alone, since
`importlib.metadata` would cost a tenth of the import of the SDK.
"""

from __future__ import annotations

import os
import sys
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

REPAIR = "pip uninstall -y synapse-sdk synapse-agent-sdk && pip install synapse-agent-sdk"


def find_published_package(folders: Iterable[str]) -> str | None:
    """The folder in which the published package is installed, of those on the import path, or None."""
    for folder in folders:
        try:
            names = os.listdir(folder)  # noqa: PTH208 - pathlib costs more at every import
        except OSError:
            continue  # zip files and folders that do not exist are on import paths too
        if any(name.startswith("synapse_sdk-") and name.endswith(".dist-info") for name in names):
            return folder
    return None


def warn_of_published_package() -> None:
    """Warn where the published package is installed over the same import name."""
    folder = find_published_package(path for path in sys.path if path)
    if folder is not None:
        warnings.warn(
            f"The package synapse-sdk is installed in {folder} beside synapse-agent-sdk. Both own the import name "
            f"synapse_sdk, so their files are mixed. Keep one: {REPAIR}",
            RuntimeWarning,
            stacklevel=3,
        )
