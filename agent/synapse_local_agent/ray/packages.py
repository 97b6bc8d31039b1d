"""Putting folders of sources where all nodes of a cluster find them."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import ray
from ray._private.runtime_env import packaging

if TYPE_CHECKING:
    from pathlib import Path


def upload(folder: Path, digest: str, scratch: Path) -> str:
    """Put a folder into the cluster under the hash of its content, unless it is there; give its URI.

    Args:
        folder: The folder.
        digest: The hash.
        scratch: Where its archive may be for the moment.
    """
    uri = f"gcs://_ray_pkg_{digest}.zip"
    if not ray.util.client.ray.is_connected():
        packaging.upload_package_if_needed(uri, str(scratch), str(folder), include_gitignore=False, excludes=[])
        return uri
    # The server of ray:// cannot pin a package, and to ask it hangs; but whatever runs in the cluster can.
    pin: Any = ray.remote(packaging.pin_runtime_env_uri)
    ray.get(pin.options(num_cpus=0).remote(uri))
    if not packaging.package_exists(uri):
        archive = scratch / f"{uuid.uuid4()}.zip"
        packaging.create_package(str(folder), archive, include_gitignore=False, excludes=[])
        packaging.upload_package_to_gcs(uri, archive.read_bytes())
        archive.unlink()
    return uri
