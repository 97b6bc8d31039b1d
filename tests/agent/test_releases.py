"""Caching, listing, getting and deleting releases."""

from __future__ import annotations

import os
import re
import stat
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest
from synapse_local_agent.releases import database
from synapse_local_agent.releases import plugin_files as sources
from synapse_local_agent.releases.store import Store

from tests.agent.helpers import create, detail, is_alive, result_of, run, until, waiting_run, write_plugin

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

pytestmark = pytest.mark.contract
SOURCE = {"plugin.py": "def run(params): return 'first'"}


def post(http: httpx.Client, plugin: str, version: str = "1.0.0") -> httpx.Response:
    """Create a release."""
    return http.post("/plugin_releases/", json={"plugin": plugin, "version": version})


def cached(data: Path) -> list[str]:
    """The folders of cached releases."""
    return sorted(path.name for path in (data / "releases").iterdir())


def test_create_answers_201_and_then_200(own_http: httpx.Client, registry: Path) -> None:
    """The first create caches a release; then create finds it, and so do its id and its encoded code and version."""
    actions = {"run": "plugin:run", "train": "plugin.run"}
    folder = write_plugin(registry, "seg-anything", SOURCE, actions, "2.1.0+lig")
    with (folder / "config.yaml").open("a", encoding="utf-8") as file:
        file.write(f"released: 2026-11-22\ntitle: 문서 📄\nbig: 1{'0' * 30}\n")
    first, second = (post(own_http, "seg-anything", "2.1.0+lig") for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 200)
    release = first.json()
    assert (release["id"], release["plugin"], release["version"]) == (1, "seg-anything", "2.1.0+lig")
    assert release["actions"] == ["run", "train"]
    assert release["config"]["actions"]["run"] == {"entrypoint": "plugin:run"}
    assert release["config"].items() >= {"released": "2026-11-22", "title": "문서 📄", "big": 10**30}.items()
    assert release["size"] == sum(path.stat().st_size for path in folder.iterdir())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", release["created"])
    assert second.json() == release
    for lookup in ("1", "seg-anything@2.1.0+lig", "seg-anything%402.1.0%2Blig", "seg%2Danything@2.1.0+lig"):
        assert result_of(own_http.get(f"/plugin_releases/{lookup}")) == release


def test_cached_release_is_a_copy(own_http: httpx.Client, registry: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A cached release stays the same when the registry's plugin changes (with a warning), breaks, or is removed."""
    folder = write_plugin(registry, "ocr", SOURCE)
    release = create(own_http, "ocr")
    assert create(own_http, "ocr") == release
    assert caplog.messages == []
    (folder / "plugin.py").write_text("def run(params): return 'second'")
    assert create(own_http, "ocr") == release
    (message,) = caplog.messages
    assert message.startswith("ocr@1.0.0 has changed in the registry without a new version")
    (folder / "config.yaml").write_text("code: [")
    assert create(own_http, "ocr") == release
    (folder / "config.yaml").unlink()
    assert create(own_http, "ocr") == release
    assert result_of(run(own_http, release="ocr@1.0.0")) == "first"


@pytest.mark.parametrize("is_cached_again", [False, True])
def test_delete_during_a_run_lets_it_finish(
    own_http: httpx.Client, registry: Path, tmp_path: Path, *, is_cached_again: bool
) -> None:
    """A release deleted during a run is gone at once; its files go after the run, or stay if it is cached again."""
    with waiting_run(own_http, registry, tmp_path) as (process, answer):
        assert own_http.delete("/plugin_releases/1").status_code == 204
        assert own_http.get("/plugin_releases/1").status_code == 404
        assert len(cached(tmp_path / "data")) == 1
        if is_cached_again:
            create(own_http, "waiting")
        (tmp_path / "go").touch()
        assert result_of(answer.result()) == "late"
    until(lambda: not is_alive(process))
    if is_cached_again:
        params = {"started": str(tmp_path / "started"), "go": str(tmp_path / "go")}
        assert result_of(run(own_http, "wait", params, release=2)) == "late"
    else:
        until(lambda: cached(tmp_path / "data") == [])


def test_concurrent_creates(own_http: httpx.Client, registry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many concurrent creates of one release, one is 201 and the rest 200; other releases are not blocked."""
    large, _ = (write_plugin(registry, code, SOURCE) for code in ("large", "small"))
    go, copy = threading.Event(), sources.copy

    def wait_and_copy(path: Path, target: Path) -> int:
        if path == large:
            go.wait(120)
        return copy(path, target)

    monkeypatch.setattr(sources, "copy", wait_and_copy)
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(post, own_http, "large") for _ in range(8)]
        assert post(own_http, "small").status_code == 201
        assert not any(call.done() for call in calls)
        go.set()
        answers = [call.result() for call in calls]
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
    assert len({answer.text for answer in answers}) == 1
    assert len(cached(registry.parent / "data")) == 2


def test_list_is_filtered_and_paged(own_http: httpx.Client, registry: Path) -> None:
    """`plugin` and `version` filter, other names do not; page links keep all parameters; missing pages are 404."""
    for code, version in (("a", "1"), ("a", "2"), ("a", "3"), ("b", "1"), ("c", "1+lig")):
        write_plugin(registry, code, SOURCE, version=version, folder=code + version)
        create(own_http, code, version)
    filters: dict[str, list[str]] = {"plugin=a": ["3", "2", "1"], "version=1": ["1", "1"], "plugin=a&version=2": ["2"]}
    filters |= {"plugin=": [], "plugin=a%00": [], "plugin=%25": [], "x=y&page_size=5": ["1+lig", "1", "3", "2", "1"]}
    for query, found in filters.items():
        page = own_http.get(f"/plugin_releases/?{query}").json()
        assert [release["version"] for release in page["results"]] == found, query
        assert (page["count"], page["next"], page["previous"]) == (len(found), None, None)
    seen, urls = [], ["/plugin_releases/?page_size=1&plugin=a&later=a%20b%26c"]
    while urls[-1]:
        assert len(urls) <= 3, f"there are three pages, and a further one at {urls[-1]}"
        page = own_http.get(urls[-1]).json()
        assert page["count"] == 3
        seen.append([release["version"] for release in page["results"]])
        urls.append(page["next"])
    assert seen == [["3"], ["2"], ["1"]]
    last = urlsplit(urls[-2])
    assert last.netloc == own_http.base_url.netloc.decode()
    assert parse_qs(last.query) == {"page": ["3"], "page_size": ["1"], "plugin": ["a"], "later": ["a b&c"]}
    middle = own_http.get(page["previous"]).json()
    assert [release["version"] for release in middle["results"]] == seen[1]
    assert own_http.get(middle["previous"]).json()["previous"] is None
    for plugin, version in (("nosuch", "1"), ("a", "9"), ("A", "1"), ("../a", "1")):
        response = post(own_http, plugin, version)
        assert response.status_code == 404
        assert plugin in detail(response)
        assert version in detail(response)
    for lookup in ("9", "a", "a@", "@1", "a@1+", "c@1%20lig", "+1", "1.0"):
        assert own_http.get(f"/plugin_releases/{lookup}").status_code == 404, lookup
    for query in ("page=2&page_size=5", "page=999999999999999999&page_size=1000"):
        assert own_http.get(f"/plugin_releases/?{query}").status_code == 404


def test_pages_are_slices_of_the_list(tmp_path: Path) -> None:
    """With any page size and filter, pages hold each release once, newest first, with the right count."""
    (tmp_path / "releases" / ("0" * 64)).mkdir(parents=True)
    names = [("ocr" if n % 3 else "seg", f"1.{n}") for n in reversed(range(23))]
    with closing(database.connect(tmp_path)) as connection, connection:
        insert = "INSERT INTO releases (plugin, version, digest, config, created, size) VALUES (?, ?, ?, ?, ?, ?)"
        rows = [(*name, "0" * 64, '{"actions": {}}', "2026-01-01", 1) for name in reversed(names)]
        connection.executemany(insert, rows)
    with closing(Store(tmp_path)) as store:
        for deleted in range(3):
            for filters in ({}, {"plugin": "ocr"}, {"plugin": "seg", "version": "1.9"}, {"plugin": "none"}):
                wanted = [name for name in names if filters.items() <= {"plugin": name[0], "version": name[1]}.items()]
                for size in (1, 2, 3, 22, 23, 24):
                    for number in range(1, len(wanted) // size + 3):
                        count, page = store.page(filters, number, size)
                        assert [(one.plugin, one.version) for one in page] == wanted[(number - 1) * size :][:size]
                        assert count == len(wanted)
            assert store.delete("@".join(names.pop(deleted * 5))) is not None


def test_what_a_release_consists_of(own_http: httpx.Client, registry: Path, tmp_path: Path) -> None:
    """A release has the plugin's files, read-only, links as files, without caches, until it is deleted."""
    source = "import pathlib, subprocess\n\ndef run(params):\n"
    source += "    return subprocess.check_output([pathlib.Path(__file__).with_name('tool.sh')], text=True)"
    left_out = dict.fromkeys(("__pycache__/plugin.pyc", ".git/config", ".venv/bin/python"), "x")
    files = {"real.py": source, "tool.sh": "#!/bin/sh\necho made it", "a/b/data.txt": "x"}
    folder = write_plugin(registry, "ocr", {**files, **left_out})
    (folder / "tool.sh").chmod(0o755)
    (folder / "plugin.py").symlink_to("real.py")
    create(own_http, "ocr")
    assert result_of(run(own_http)) == "made it\n"
    (release,) = (tmp_path / "data" / "releases").iterdir()
    names = {path.relative_to(release).as_posix() for path in release.rglob("*") if path.is_file()}
    assert names == {"config.yaml", "plugin.py", *files}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (release, *release.rglob("*"))} == {0o444, 0o555}
    response = own_http.delete("/plugin_releases/ocr@1.0.0")
    assert (response.status_code, response.content) == (204, b"")
    assert own_http.delete("/plugin_releases/ocr@1.0.0").status_code == 404
    assert own_http.get("/plugin_releases/1").status_code == 404
    assert cached(tmp_path / "data") == []
    assert create(own_http, "ocr")["id"] == 2


def test_release_that_cannot_be_stored(own_http: httpx.Client, registry: Path, tmp_path: Path) -> None:
    """A link out of the plugin, in a circle, nowhere or to a folder is 422; an unwritable data folder is 500."""
    odd = os.fsdecode(b"odd\xff") if sys.platform == "linux" else "odd"  # other systems require UTF-8 names
    folder = write_plugin(registry, "ocr", {**SOURCE, "folder/file.txt": "x"})
    (registry / "outside.txt").write_text("secret")
    for target in ("/etc/hosts", "../outside.txt", "nosuch", odd, ".", "folder"):
        (folder / odd).symlink_to(target)
        response = post(own_http, "ocr")
        assert response.status_code == 422, target
        assert os.fsencode(folder / odd) in detail(response).encode(errors="surrogateescape")
        (folder / odd).unlink()
    assert cached(tmp_path / "data") == []
    (folder / odd).write_text("a name of no encoding is as good as any")
    releases = tmp_path / "data" / "releases"
    releases.rmdir()
    releases.touch()
    response = post(own_http, "ocr")
    assert response.status_code == 500
    assert "Not a directory" in detail(response)
    releases.unlink()
    releases.mkdir()
    assert create(own_http, "ocr")["id"] == 1


FINE = "code: ocr\nversion: '1'\nactions: {run: {entrypoint: 'a:b'}}\n"
BROKEN = [
    *("", "[]", "code: ocr", "code: ocr: x", "!!python/object:os.system {}", "code: \x00"),
    *(FINE.replace("'1'", "1.0"), FINE.replace("a:b", "nodots"), FINE.replace("ocr", '"\\uD800"')),
    *(f"code: ocr\nversion: '1'\nactions: {actions}" for actions in ("[run]", "{}", "{run: 'a:b'}")),
    *(f"{FINE}x: {x}" for x in (".nan", "&x [*x]", "{[1]: 2}", "[" * 1000 + "]" * 1000, "9" * 5000)),
]


def test_broken_plugin_is_named(own_http: httpx.Client, registry: Path) -> None:
    """A plugin that broke after the start is 422 with its file in one line, and does not hide the others."""
    write_plugin(registry, "fine", SOURCE)
    config = write_plugin(registry, "ocr", SOURCE, folder="0-broken") / "config.yaml"
    for content in BROKEN:
        config.write_text(content)
        response = post(own_http, "ocr", "1")
        assert response.status_code == 422, content
        assert str(config) in detail(response)
        assert "\n" not in detail(response)
    assert create(own_http, "fine")["plugin"] == "fine"
