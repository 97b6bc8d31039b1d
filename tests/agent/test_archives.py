"""Plugins as archives: cached as folders are, and refused where unpacking them could do harm."""

from __future__ import annotations

import shutil
import stat
import zipfile
from typing import TYPE_CHECKING

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from synapse_local_agent import RegistryError, archives, sources

from tests.agent.helpers import create, detail, result_of
from tests.threaded_agent import ThreadedAgent

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

CONFIG = yaml.safe_dump({"code": "ocr", "version": "1.0.0", "actions": {"run": {"entrypoint": "plugin:run"}}})
PLUGIN = {"config.yaml": CONFIG, "plugin.py": "def run(params): return 'from an archive'"}
LINK = stat.S_IFLNK | 0o777


def entry(name: str, mode: int = stat.S_IFREG | 0o644) -> zipfile.ZipInfo:
    """An entry as archivers on Unix write it."""
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = mode << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    return info


def write_archive(path: Path, *entries: tuple[zipfile.ZipInfo, str], folder: str = "") -> Path:
    """Write the plugin `ocr` as an archive, with further entries."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in PLUGIN.items():
            archive.writestr(entry(folder + name), content)
        for info, content in entries:
            archive.writestr(info, content)
    return path


def refusal(http: httpx.Client) -> str:
    """Why the plugin `ocr` is not cached."""
    response = http.post("/plugin_releases/", json={"plugin": "ocr", "version": "1.0.0"})
    assert response.status_code == 422, response.text
    assert http.get("/plugin_releases/").json()["count"] == 0
    message = detail(response)
    assert isinstance(message, str)
    return message


@pytest.mark.parametrize("folder", ["", "ocr-1.0.0/"])
def test_archive_is_cached_and_runs(own_http: httpx.Client, registry: Path, tmp_path: Path, folder: str) -> None:
    """A .zip is a plugin as a folder is, also where all of it is in one folder; caches in it are left out."""
    further = [
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


def test_archive_and_folder_of_one_content_are_one(registry: Path, tmp_path: Path) -> None:
    """An archive has the digest of the folder that it was made of."""
    folder = tmp_path / "folder"
    folder.mkdir()
    for name, content in PLUGIN.items():
        (folder / name).write_text(content)
    assert sources.digest(write_archive(registry / "ocr.zip")) == sources.digest(folder)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("../outside.txt", "leads out"),
        ("a/../../outside.txt", "leads out"),
        ("a/..", "leads out"),
        ("/etc/outside.txt", "absolute"),
        ("C:/outside.txt", "absolute"),
        ("a\\..\\outside.txt", "character"),
        ("a//b", "plain"),
        ("./a", "plain"),
        ("x" * 256, "too long"),
        ("Plugin.py", "falls on 'plugin.py'"),
        ("plugin.py/inner.txt", "falls on 'plugin.py'"),
        ("plugin.py/", "falls on 'plugin.py'"),
    ],
)
def test_name_that_could_do_harm_is_refused(own_http: httpx.Client, registry: Path, name: str, fault: str) -> None:
    """A name that leads elsewhere, or falls on another one, is 422 and named; nothing is cached."""
    write_archive(registry / "ocr.zip", (entry(name), "x"))
    message = refusal(own_http)
    assert str(registry / "ocr.zip") in message
    assert repr(name) in message
    assert fault in message
    assert not list(registry.parent.rglob("outside.txt"))


@pytest.mark.parametrize(
    ("first", "second"), [("Lib/a.py", "lib/b.py"), ("\u00e9.txt", "e\u0301.txt"), ("a/b", "a"), ("straße", "STRASSE")]
)
def test_names_that_differ_in_case_alone_are_refused(
    own_http: httpx.Client, registry: Path, first: str, second: str
) -> None:
    """Names that are one on some systems, folders' names too, are 422 and the later one is named."""
    write_archive(registry / "ocr.zip", (entry(first), "x"), (entry(second), "x"))
    assert repr(second) in refusal(own_http)


@pytest.mark.parametrize("target", ["/etc/hosts", "../outside.txt", "nosuch", "odd", ".", "data", "\udcff"])
def test_link_elsewhere_is_refused(own_http: httpx.Client, registry: Path, target: str) -> None:
    """A link that leads out of the archive, nowhere, in a circle or to a folder is 422 and named."""
    content = target.encode(errors="surrogateescape").decode("latin-1")
    write_archive(registry / "ocr.zip", (entry("data/x.txt"), "x"), (entry("odd", LINK), content))
    assert "'odd' is a link" in refusal(own_http)


def test_special_file_is_refused(own_http: httpx.Client, registry: Path) -> None:
    """An entry that is a pipe or a device is 422 and named."""
    write_archive(registry / "ocr.zip", (entry("odd", stat.S_IFIFO | 0o644), ""))
    assert "'odd' is neither" in refusal(own_http)


def test_too_many_files_are_refused(own_http: httpx.Client, registry: Path) -> None:
    """One file more than the limit is 422, and the file is named."""
    more = [(entry(f"{number}.txt"), "") for number in range(archives.MAX_FILES - len(PLUGIN) + 1)]
    write_archive(registry / "ocr.zip", *more)
    assert f"{more[-1][0].filename!r} is one file more than the {archives.MAX_FILES}" in refusal(own_http)


def test_bomb_is_refused(own_http: httpx.Client, registry: Path) -> None:
    """An archive that would unpack to more than the limit is 422, and the entry that does it is named."""
    with zipfile.ZipFile(write_archive(registry / "ocr.zip"), "a", zipfile.ZIP_DEFLATED) as archive:
        with archive.open(zipfile.ZipInfo("bomb.bin"), "w", force_zip64=True) as file:
            file.write(b"\0" * 1000)
        archive.filelist[-1].file_size = archives.MAX_BYTES  # as the archive's own directory will say
    assert "'bomb.bin' brings the archive to more than" in refusal(own_http)


def test_entry_that_is_larger_than_it_says_is_refused(own_http: httpx.Client, registry: Path) -> None:
    """An entry whose content is larger than the archive says is never unpacked beyond what it says."""
    with zipfile.ZipFile(write_archive(registry / "ocr.zip"), "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("liar.bin", b"\0" * 10_000_000)
        archive.filelist[-1].file_size = 10
    assert "liar.bin" in refusal(own_http)


def test_encrypted_entry_is_refused(own_http: httpx.Client, registry: Path) -> None:
    """An encrypted entry is 422 and named."""
    path = write_archive(registry / "ocr.zip", (entry("secret.txt"), "x"))
    content = bytearray(path.read_bytes())
    at = content.rindex(b"secret.txt") - 46  # the entry's place in the archive's directory
    content[at + 8] |= 1
    path.write_bytes(content)
    assert "'secret.txt' is encrypted" in refusal(own_http)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x05\x06" + b"\0" * 18], ids=["empty", "text", "no files"])
def test_what_is_no_archive_is_named(own_http: httpx.Client, registry: Path, content: bytes) -> None:
    """A .zip that is none, or holds no config.yaml, is 422 with its path in one line, and stops a start."""
    (registry / "ocr.zip").write_bytes(content)
    message = refusal(own_http)
    assert str(registry / "ocr.zip") in message
    assert "\n" not in message
    with pytest.raises(RegistryError, match=r"ocr\.zip"):
        ThreadedAgent(registry).start()


def test_huge_config_is_refused(own_http: httpx.Client, registry: Path) -> None:
    """A config.yaml that is far larger than one can be is not read whole, in a folder and in an archive."""
    (registry / "ocr").mkdir()
    (registry / "ocr" / "config.yaml").write_text("#" * 2**21 + "\n" + CONFIG)
    assert "ocr/config.yaml is larger than" in refusal(own_http)
    (registry / "ocr" / "config.yaml").unlink()
    with zipfile.ZipFile(registry / "ocr.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.yaml", "#" * 2**21 + "\n" + CONFIG)
    assert "ocr.zip/config.yaml is larger than" in refusal(own_http)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=8))
def test_damaged_archive_is_refused_or_whole(tmp_path: Path, changes: list[tuple[int, int]]) -> None:
    """Whatever bytes of an archive are changed, it is refused as such, or unpacked within the folder it is given."""
    path = write_archive(tmp_path / "ocr.zip", (entry("a/b.txt"), "x" * 100), (entry("link", LINK), "a/b.txt"))
    content = bytearray(path.read_bytes())
    for place, value in changes:
        content[place % len(content)] = value
    path.write_bytes(content)
    target = tmp_path / "target"
    try:
        sources.copy(path, target)
    except RegistryError:
        pass
    finally:
        shutil.rmtree(target, ignore_errors=True)
    assert [file.name for file in tmp_path.iterdir()] == ["ocr.zip"]
