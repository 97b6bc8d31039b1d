"""Plugins as archives: cached like folders, and rejected if unsafe."""

from __future__ import annotations

import shutil
import stat
import zipfile
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from synapse_local_agent import RegistryError
from synapse_local_agent.releases import archives
from synapse_local_agent.releases.plugin_files import copy, digest
from synapse_local_agent.releases.registry import read_plugin

from tests.agent.helpers import create, detail, result_of, write_plugin
from tests.threaded_agent import ThreadedAgent

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

CONFIG = yaml.safe_dump({"code": "ocr", "version": "1.0.0", "actions": {"run": {"entrypoint": "plugin:run"}}})
PLUGIN = {"config.yaml": CONFIG, "plugin.py": "def run(params): return 'from an archive'"}
LINK = stat.S_IFLNK | 0o777


def entry(name: str, mode: int = stat.S_IFREG | 0o644, **fields: int) -> zipfile.ZipInfo:
    """An entry as Unix archivers write it, with more fields."""
    info = zipfile.ZipInfo(name)
    for field, value in {"create_system": 3, "external_attr": mode << 16, **fields}.items():
        setattr(info, field, value)
    return info


def write_archive(path: Path, *entries: tuple[zipfile.ZipInfo, str | bytes], folder: str = "") -> Path:
    """Write the plugin `ocr` as an archive, with more entries."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for info, content in [*((entry(folder + name), content) for name, content in PLUGIN.items()), *entries]:
            archive.writestr(info, content, zipfile.ZIP_DEFLATED)
    return path


def refusal(path: Path) -> str:
    """The error when the plugin is read or copied."""
    with pytest.raises(RegistryError) as caught:
        copy(read_plugin(path).path, path.with_suffix(".copy"))
    return str(caught.value)


@pytest.mark.parametrize("folder", ["", "ocr-1.0.0/"])
def test_archive_is_cached_and_runs(own_http: httpx.Client, registry: Path, tmp_path: Path, folder: str) -> None:
    """A .zip is cached like a folder, even with a single top-level folder; its caches are excluded."""
    further: list[tuple[zipfile.ZipInfo, str]] = [
        (entry(f"{folder}tool.sh", stat.S_IFREG | 0o755), "#!/bin/sh\n"),
        (entry(f"{folder}link.py", LINK), "plugin.py"),
        (entry(f"{folder}data/"), ""),
        (entry(f"{folder}data/문서.txt"), "x"),
        (entry(f"{folder}__pycache__/plugin.pyc"), "x"),
    ]
    write_archive(registry / "ocr.zip", *further, folder=folder)
    release = create(own_http, "ocr")
    assert result_of(own_http.post("/plugin_releases/1/run/", json={"action": "run"})) == "from an archive"
    (kept,) = (tmp_path / "data" / "releases").iterdir()
    files = {path.relative_to(kept).as_posix(): path for path in kept.rglob("*") if path.is_file()}
    assert files.keys() == {"config.yaml", "plugin.py", "tool.sh", "link.py", "data/문서.txt"}
    assert release["size"] == sum(path.stat().st_size for path in files.values())
    assert files["link.py"].read_text() == PLUGIN["plugin.py"]
    assert stat.S_IMODE(files["tool.sh"].stat().st_mode) == 0o555
    assert stat.S_IMODE(files["plugin.py"].stat().st_mode) == 0o444
    assert digest(registry / "ocr.zip") == digest(kept) == kept.name


def test_archive_that_could_do_harm_is_refused(own_http: httpx.Client, registry: Path) -> None:
    """A name that points outside the archive is 422 with the archive and the name; nothing is cached or written."""
    write_archive(registry / "ocr.zip", (entry("../outside.txt"), "x"))
    response = own_http.post("/plugin_releases/", json={"plugin": "ocr", "version": "1.0.0"})
    assert response.status_code == 422
    assert f"{registry / 'ocr.zip'}: '../outside.txt' points outside" in detail(response)
    assert own_http.get("/plugin_releases/").json()["count"] == 0
    assert not list(registry.parent.rglob("outside.txt"))


FAULTS = {
    "points outside": [entry("a/../../outside.txt"), entry("a/..")],
    "absolute": [entry("/etc/outside.txt"), entry("C:/outside.txt")],
    "character": [entry("a\\..\\outside.txt")],
    "plain": [entry("a//b"), entry("./a")],
    "too long": [entry("x" * 256)],
    "clashes with 'plugin.py'": [entry("Plugin.py"), entry("plugin.py/inner.txt"), entry("plugin.py/")],
    "is not a file": [entry("odd", stat.S_IFIFO)],
    "has an unsupported compression": [entry("odd", compress_type=zipfile.ZIP_BZIP2)],
    "is encrypted": [entry("odd", flag_bits=1)],
    "exceeds the limit of": [entry("odd", file_size=archives.MAX_BYTES + 1)],
}
ALIKE = [("Lib/a.py", "lib/b.py"), ("\u00e9.txt", "e\u0301.txt"), ("a/b", "a"), ("straße", "STRASSE")]


def test_entries_that_could_do_harm() -> None:
    """Entries that point outside, clash, are special files, are too large or too many are rejected."""
    for fault, infos in FAULTS.items():
        for info in infos:
            found = str(archives.fault_of([entry("plugin.py"), info]))
            assert (found.startswith(f"{info.filename!r} "), fault in found) == (True, True), found
    for first, second in ALIKE:
        assert repr(second) in str(archives.fault_of([entry(first), entry(second)]))
    assert archives.fault_of([entry("plugin.py"), entry("a/b"), entry("a/c")]) is None
    more = [entry(f"{number}.txt") for number in range(archives.MAX_FILES + 1)]
    assert archives.fault_of(more[:-1]) is None
    assert f"'{archives.MAX_FILES}.txt' exceeds the limit" in str(archives.fault_of(more))


def test_link_elsewhere_is_refused(tmp_path: Path) -> None:
    """A link that points outside the archive, nowhere, in a circle or to a folder is named."""
    for target in (b"/etc/hosts", b"../outside.txt", b"nosuch", b"odd", b".", b"data", b"\xff"):
        path = write_archive(tmp_path / "ocr.zip", (entry("data/x.txt"), "x"), (entry("odd", LINK), target))
        assert "'odd' is a link" in refusal(path), target


def test_bomb_is_refused(tmp_path: Path) -> None:
    """No entry unpacks to more than the size in the archive's directory."""
    with zipfile.ZipFile(write_archive(tmp_path / "ocr.zip"), "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("large.bin", b"\0" * 10_000_000)
        archive.filelist[-1].file_size = 10
    assert "large.bin" in refusal(tmp_path / "ocr.zip")


def test_what_is_no_plugin_is_named(tmp_path: Path) -> None:
    """An invalid .zip, or one without or with a huge config.yaml, is rejected in one line with its path."""
    path = tmp_path / "ocr.zip"
    for content in (b"", b"no archive", b"PK\x05\x06" + b"\0" * 18):
        path.write_bytes(content)
        message = refusal(path)
        assert str(path) in message
        assert "\n" not in message
    with pytest.raises(RegistryError, match=r"ocr\.zip"):
        ThreadedAgent(tmp_path).start()
    huge = "#" * 2**21 + "\n" + CONFIG
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.yaml", huge)
    assert "ocr.zip/config.yaml is larger than" in refusal(path)
    write_plugin(tmp_path, "ocr", {"config.yaml": huge})
    assert "ocr/config.yaml is larger than" in refusal(tmp_path / "ocr")


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=8))
def test_damaged_archive_is_refused_or_whole(tmp_path: Path, changes: list[tuple[int, int]]) -> None:
    """An archive with corrupt bytes is rejected, or unpacked within its folder."""
    path = write_archive(tmp_path / "ocr.zip", (entry("a/b.txt"), "x" * 100), (entry("link", LINK), "a/b.txt"))
    content = bytearray(path.read_bytes())
    for place, value in changes:
        content[place % len(content)] = value
    path.write_bytes(content)
    with suppress(RegistryError):
        copy(path, tmp_path / "target")
    shutil.rmtree(tmp_path / "target", ignore_errors=True)
    assert [file.name for file in tmp_path.iterdir()] == ["ocr.zip"]
