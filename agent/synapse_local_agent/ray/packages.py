"""Uploading source folders to a cluster."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import ray
from ray._private.runtime_env import packaging

if TYPE_CHECKING:
    from pathlib import Path


def upload(folder: Path, digest: str, scratch: Path) -> str:
    """Upload a folder under the hash of its content, unless it is already there; return its URI.

    Args:
        folder: The folder.
        digest: The hash.
        scratch: A folder for the temporary archive.
    """
    uri = f"gcs://_ray_pkg_{digest}.zip"
    if not ray.util.client.ray.is_connected():
        packaging.upload_package_if_needed(uri, str(scratch), str(folder), include_gitignore=False, excludes=[])
        return uri
    # The ray:// server cannot pin a package: asking it hangs. A task in the cluster can.
    pin: Any = ray.remote(packaging.pin_runtime_env_uri)
    ray.get(pin.options(num_cpus=0).remote(uri))
    if not packaging.package_exists(uri):
        archive = scratch / f"{uuid.uuid4()}.zip"
        packaging.create_package(str(folder), archive, include_gitignore=False, excludes=[])
        packaging.upload_package_to_gcs(uri, archive.read_bytes())
        archive.unlink()
    return uri
