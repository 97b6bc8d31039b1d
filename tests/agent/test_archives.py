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
from synapse_local_agent import RegistryError
from synapse_local_agent.releases import archives
from synapse_local_agent.releases import registry as plugins
from synapse_local_agent.releases.plugin_files import copy, digest

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


def cache(path: Path) -> None:
    """Read and copy the plugin in an archive or a folder."""
    plugins.read_plugin(path)
    copy(path, path.with_suffix(".copy"))


def refusal(path: Path) -> str:
    """Why that is refused."""
    with pytest.raises(RegistryError) as caught:
        cache(path)
    return str(caught.value)


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
    assert digest(registry / "ocr.zip") == digest(kept) == kept.name


def test_archive_that_could_do_harm_is_refused(own_http: httpx.Client, registry: Path) -> None:
    """A name that leads out of the archive is 422 with the archive and the name; nothing is cached or written."""
    write_archive(registry / "ocr.zip", (entry("../outside.txt"), "x"))
    response = own_http.post("/plugin_releases/", json={"plugin": "ocr", "version": "1.0.0"})
    assert response.status_code == 422
    assert f"{registry / 'ocr.zip'}: '../outside.txt' leads out" in detail(response)
    assert own_http.get("/plugin_releases/").json()["count"] == 0
    assert not list(registry.parent.rglob("outside.txt"))


FAULTS = {
    "a/../../outside.txt": "leads out",
    "a/..": "leads out",
    "/etc/outside.txt": "absolute",
    "C:/outside.txt": "absolute",
    "a\\..\\outside.txt": "character",
    "a//b": "plain",
    "./a": "plain",
    "x" * 256: "too long",
    "Plugin.py": "falls on 'plugin.py'",
    "plugin.py/inner.txt": "falls on 'plugin.py'",
    "plugin.py/": "falls on 'plugin.py'",
}
ALIKE = [("Lib/a.py", "lib/b.py"), ("\u00e9.txt", "e\u0301.txt"), ("a/b", "a"), ("straße", "STRASSE")]


def test_names_that_could_do_harm() -> None:
    """A name that leads elsewhere, or falls on another one where case or form is not told apart, is a fault."""
    for name, fault in FAULTS.items():
        found = archives.fault_of([entry("plugin.py"), entry(name)])
        assert found is not None, name
        assert found.startswith(f"{name!r} ")
        assert fault in found
    for first, second in ALIKE:
        assert repr(second) in str(archives.fault_of([entry(first), entry(second)]))
    assert archives.fault_of([entry("plugin.py"), entry("a/b"), entry("a/c")]) is None


def test_link_elsewhere_is_refused(tmp_path: Path) -> None:
    """A link that leads out of the archive, nowhere, in a circle or to a folder is named."""
    for target in ("/etc/hosts", "../outside.txt", "nosuch", "odd", ".", "data", "\udcff"):
        content = target.encode(errors="surrogateescape").decode("latin-1")
        path = write_archive(tmp_path / "ocr.zip", (entry("data/x.txt"), "x"), (entry("odd", LINK), content))
        assert "'odd' is a link" in refusal(path), target


def test_entries_that_are_not_unpacked(tmp_path: Path) -> None:
    """A special file, an encrypted entry, one in another packing, and one file more than the limit are named."""
    path = tmp_path / "ocr.zip"
    assert "'odd' is neither" in refusal(write_archive(path, (entry("odd", stat.S_IFIFO | 0o644), "")))
    packed = entry("packed.txt")
    packed.compress_type = zipfile.ZIP_BZIP2
    assert "'packed.txt' is packed in a way" in refusal(write_archive(path, (packed, "x")))
    content = bytearray(write_archive(path, (entry("secret.txt"), "x")).read_bytes())
    content[content.rindex(b"PK\x01\x02") + 8] |= 1  # the flag of the last entry in the archive's directory
    path.write_bytes(content)
    assert "'secret.txt' is encrypted" in refusal(path)
    more = [entry(f"{number}.txt") for number in range(archives.MAX_FILES + 1)]
    limit = f"{more[-1].filename!r} is one file more than the {archives.MAX_FILES}"
    assert limit in str(archives.fault_of(more))


def test_bomb_is_refused(tmp_path: Path) -> None:
    """An archive that would unpack to more than the limit is refused, and no entry unpacks to more than it says."""
    for says, fault in ((archives.MAX_BYTES, "'large.bin' brings the archive to more than"), (10, "large.bin")):
        with zipfile.ZipFile(write_archive(tmp_path / "ocr.zip"), "a", zipfile.ZIP_DEFLATED) as archive:
            with archive.open(zipfile.ZipInfo("large.bin"), "w", force_zip64=True) as file:
                file.write(b"\0" * 10_000_000)
            archive.filelist[-1].file_size = says  # as the archive's own directory will say
        assert fault in refusal(tmp_path / "ocr.zip")


def test_what_is_no_archive_is_named(tmp_path: Path) -> None:
    """A .zip that is none, or holds no config.yaml, is an error with its path in one line, and stops a start."""
    path = tmp_path / "ocr.zip"
    for content in (b"", b"no archive", b"PK\x05\x06" + b"\0" * 18):
        path.write_bytes(content)
        message = refusal(path)
        assert str(path) in message
        assert "\n" not in message
    with pytest.raises(RegistryError, match=r"ocr\.zip"):
        ThreadedAgent(tmp_path).start()


def test_huge_config_is_refused(tmp_path: Path) -> None:
    """A config.yaml that is far larger than one can be is not read whole, in a folder and in an archive."""
    huge = "#" * 2**21 + "\n" + CONFIG
    (tmp_path / "ocr").mkdir()
    (tmp_path / "ocr" / "config.yaml").write_text(huge)
    assert "ocr/config.yaml is larger than" in refusal(tmp_path / "ocr")
    with zipfile.ZipFile(tmp_path / "ocr.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.yaml", huge)
    assert "ocr.zip/config.yaml is larger than" in refusal(tmp_path / "ocr.zip")


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
        copy(path, target)
    except RegistryError:
        pass
    finally:
        shutil.rmtree(target, ignore_errors=True)
    assert [file.name for file in tmp_path.iterdir()] == ["ocr.zip"]
