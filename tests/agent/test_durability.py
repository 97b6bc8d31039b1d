"""The data folder after an agent was killed."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx
import pytest
from synapse_local_agent import DataInUseError
from synapse_local_agent.releases import database
from synapse_local_agent.releases import plugin_files as sources
from synapse_local_agent.web import tokens

from tests.agent.helpers import PROC, client_at, client_of, create, result_of, running, until, url_of, write_plugin
from tests.threaded_agent import ThreadedAgent

if TYPE_CHECKING:
    from pathlib import Path

    from tests.agent.conftest import Serve

SOURCE = {"plugin.py": "def run(params): return params"}
KILLS = 100


def test_data_folder_is_one_agent_s(registry: Path, tmp_path: Path) -> None:
    """A second agent on a data folder does not start and does not disturb the first; later it starts."""
    first, second = (ThreadedAgent(registry, data=tmp_path / "data") for _ in range(2))
    with first:
        with pytest.raises(DataInUseError, match=f"process {os.getpid()}"):
            second.start()
        assert httpx.get(f"{first.url}/health/").status_code == 200
    with second:
        assert httpx.get(f"{second.url}/health/").status_code == 200


def test_leftovers_are_removed_at_the_start(registry: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A start removes partial copies and files without a release, and releases without files."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "lock").write_text("1")  # a stale lock file stops no start
    write_plugin(registry, "ocr", SOURCE)
    with ThreadedAgent(registry, data=data) as agent, client_of(agent) as http:
        create(http, "ocr")
    (kept,) = (data / "releases").iterdir()
    for name in ("partial-abc", "0" * 64):
        shutil.copytree(kept, data / "releases" / name)  # read-only folders, like the agent's
    with ThreadedAgent(registry, data=data) as agent, client_of(agent) as http:
        assert list((data / "releases").iterdir()) == [kept]
        assert result_of(http.post("/plugin_releases/1/run/", json={"action": "run"})) == {}
    shutil.rmtree(data / "releases")
    with ThreadedAgent(registry, data=data) as agent, client_of(agent) as http:
        assert caplog.messages == ["The files of ocr@1.0.0 are missing: the release was removed"]
        assert http.get("/plugin_releases/1").status_code == 404
        assert create(http, "ocr")["id"] == 2


def test_older_data_is_migrated(tmp_path: Path) -> None:
    """From the schema before migrations, or after any number of them, the rest is applied, and rows are kept."""
    every = database.MIGRATIONS
    for number, (done, version) in enumerate([(1, 0), *((done, done) for done in range(len(every) + 1))]):
        folder = tmp_path / str(number)
        folder.mkdir()
        with closing(sqlite3.connect(folder / database.FILE)) as connection, connection:
            for statement in every[:done]:
                connection.execute(statement)
            if done:
                connection.execute("INSERT INTO releases VALUES (7, 'ocr', '1.0.0', 'digest', '{}', 'today', 10)")
            connection.execute(f"PRAGMA user_version = {version}")
        with closing(database.connect(folder)) as connection:
            assert connection.execute("PRAGMA user_version").fetchone()[0] == len(every)
            assert connection.execute("SELECT count(*) FROM releases").fetchone()[0] == (1 if done else 0)


def test_data_of_a_newer_agent_is_left_alone(tmp_path: Path) -> None:
    """A database with a newer schema is a clear error, and is not changed."""
    with closing(sqlite3.connect(tmp_path / database.FILE)) as connection, connection:
        connection.execute("PRAGMA user_version = 999")
    with pytest.raises(sqlite3.DatabaseError, match="newer version of the agent"):
        database.connect(tmp_path)
    with closing(sqlite3.connect(tmp_path / database.FILE)) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0


def test_token_that_was_not_finished_is_made_anew(tmp_path: Path) -> None:
    """A token file that a killed agent left half-written does not stop the next start, which creates a token."""
    (tmp_path / "token.partial").write_text("half")
    token = tokens.load_or_create(tmp_path)
    assert (len(token) >= 32, tokens.load_or_create(tmp_path)) == (True, token)
    assert not (tmp_path / "token.partial").exists()


@dataclass
class Model:
    """The responses so far: for each release whether it is cached, or None if a request was cut off."""

    is_cached: dict[tuple[str, str], bool | None]
    chance: random.Random
    answers: list[str] = field(default_factory=list)

    def call(self, http: httpx.Client, releases: list[tuple[str, str]]) -> None:
        """Create, run and delete releases that no other caller uses, until the agent is gone."""
        with suppress(httpx.TransportError):
            while True:
                plugin, version = release = self.chance.choice(releases)
                kind = self.chance.choice(["create", "create", "run", "run", "delete"])
                before, body = self.is_cached[release], {"plugin": plugin, "version": version}
                path = f"/plugin_releases/{plugin}@{version}"
                if kind == "run":
                    response = http.post(f"{path}/run/", json={"action": "run", "params": body})
                    assert response.status_code == (200 if before else 404), (before, response.text)
                    assert not before or response.json() == body
                else:
                    self.is_cached[release] = None
                    is_new = kind == "create"
                    response = http.post("/plugin_releases/", json=body) if is_new else http.delete(path)
                    expected = (200 if before else 201) if is_new else (204 if before else 404)
                    assert response.status_code == expected, (before, response.text)
                    self.is_cached[release] = is_new
                self.answers.append(f"{kind} {response.status_code}")

    def answer(self, more: int) -> None:
        """Wait for more responses."""
        number = len(self.answers) + more
        until(lambda: len(self.answers) >= number)

    def agree(self, http: httpx.Client) -> None:
        """Assert that the agent has what it confirmed, and take unconfirmed states from it."""
        page = http.get("/plugin_releases/?page_size=1000").json()
        found = {(release["plugin"], release["version"]) for release in page["results"]}
        for release, is_cached in self.is_cached.items():
            assert is_cached is None or is_cached == (release in found), release
        self.is_cached = {release: release in found for release in self.is_cached}


def is_marked(process: int, mark: bytes) -> bool:
    """Whether a process has a mark in its environment."""
    with suppress(OSError):  # it may end at any time
        return mark in (PROC / str(process) / "environ").read_bytes()
    return False


def check_folder(data: Path) -> None:
    """Assert that a data folder has a valid database, and all files of its releases."""
    with suppress(FileNotFoundError):
        assert (data / "token").read_text() != ""
    if (data / database.FILE).exists():
        with closing(sqlite3.connect(data / database.FILE)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            if connection.execute("SELECT name FROM sqlite_schema WHERE name = 'releases'").fetchone():
                for (digest,) in connection.execute("SELECT digest FROM releases"):
                    assert sources.digest(data / "releases" / digest) == digest


@pytest.mark.heavy
@pytest.mark.timeout(1200)
def test_hundred_kills_lose_nothing(serve: Serve, registry: Path, tmp_path: Path) -> None:
    """Killed 100 times, the agent keeps everything it confirmed, has no partial release, and leaves no process."""
    releases = [(f"plugin{number}", f"1.{version}") for number in range(4) for version in range(5)]
    for number, (plugin, version) in enumerate(releases):
        files = {**SOURCE, **{f"data/{name}.txt": f"{plugin} {version} {name}" * 200 for name in range(20)}}
        folder = write_plugin(registry, plugin, files, version=version, folder=f"{plugin}-{version}")
        if number % 2:
            shutil.make_archive(str(folder), "zip", folder)
            shutil.rmtree(folder)
    data, mark = tmp_path / "data", str(uuid.uuid4())
    chance = random.Random(mark)  # noqa: S311 - moments of a test are no secrets
    model = Model(dict.fromkeys(releases, False), chance)
    cut = 0
    for number in range(KILLS):
        process = serve("--data", data, "--token", "token", MARK=mark)
        if number % 5 == 0:  # kill it during its start
            time.sleep(chance.uniform(0, 0.6))
            process.kill()
        else:
            with client_at(url_of(process), "token") as http, ThreadPoolExecutor(4) as pool:
                model.agree(http)
                callers = [pool.submit(model.call, http, releases[first : first + 5]) for first in range(0, 20, 5)]
                model.answer(chance.randrange(40))
                process.kill()
                for caller in callers:
                    caller.result()
                cut += sum(is_cached is None for is_cached in model.is_cached.values())
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        until(lambda: not any(is_marked(process, mark.encode()) for process in running()))
        check_folder(data)
    with client_at(url_of(serve("--data", data, "--token", "token")), "token") as http:
        model.agree(http)
        cached = {sources.digest(path) for path in registry.iterdir()}
        kept = {path.name for path in (data / "releases").iterdir()}
        assert kept <= cached
        assert len(kept) == sum(bool(is_cached) for is_cached in model.is_cached.values())
        for plugin, version in releases:
            create(http, plugin, version)
            answer = http.post(f"/plugin_releases/{plugin}@{version}/run/", json={"action": "run"})
            assert result_of(answer) == {}
    assert min(model.answers.count("run 200"), cut) > KILLS / 5  # otherwise the agent was mostly idle when killed
