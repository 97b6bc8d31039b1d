"""Helpers of the agent's tests: writing plugins, calling the agent, and watching processes."""

from __future__ import annotations

import http.client
import re
import sqlite3
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import jsonschema_rs
import yaml
from synapse_local_agent.web import contract

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future

    import pytest
    from synapse_local_agent import LocalAgent

    from tests.threaded_agent import ThreadedAgent

PROC = Path("/proc")
DOCUMENT = contract.load()
PATHS = sorted(DOCUMENT["paths"], key=lambda path: path.count("{"))  # paths without a parameter first
SCHEMAS = jsonschema_rs.Registry([("urn:contract", DOCUMENT)])
WAITING = '''
import os, pathlib, time

def wait(params):
    """Report this process's id, and wait to be released."""
    pathlib.Path(params["started"]).write_text(str(os.getpid()))
    while not pathlib.Path(params["go"]).exists():
        time.sleep(0.01)
    from waiting import late  # imported late, from the release's files
    return late.VALUE
'''


def write_plugin(
    registry: Path,
    code: str,
    sources: dict[str, str],
    actions: dict[str, str] | None = None,
    version: str = "1.0.0",
    folder: str | None = None,
) -> Path:
    """Write a plugin into a registry, with `run` at `plugin:run` unless other actions are given; return its folder."""
    target = registry / (folder or code)
    entrypoints = {name: {"entrypoint": where} for name, where in (actions or {"run": "plugin:run"}).items()}
    config = {"name": code, "code": code, "version": version, "actions": entrypoints}
    for name, content in {"config.yaml": yaml.safe_dump(config), **sources}.items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return target


def write_waiting_plugin(registry: Path) -> None:
    """Write the plugin `waiting`, whose action `wait` runs until the file `go` in its params exists."""
    sources = {"waiting/__init__.py": "", "waiting/main.py": WAITING, "waiting/late.py": "VALUE = 'late'"}
    write_plugin(registry, "waiting", sources, {"wait": "waiting.main:wait"})


@contextmanager
def waiting_run(http: httpx.Client, registry: Path, folder: Path) -> Iterator[tuple[int, Future[httpx.Response]]]:
    """The process and the response of a run, which ends once the file `go` is in the folder."""
    write_waiting_plugin(registry)
    create(http, "waiting")
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(run, http, "wait", {name: str(folder / name) for name in ("started", "go")})
        yield process_in(folder / "started"), answer


def wheel(folder: Path, name: str, version: str, requires: str | None = None) -> None:
    """Write a wheel with one module, whose `VERSION` is its version."""
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    if requires:
        metadata += f"Requires-Dist: {requires}\n"
    files = {
        f"{name}.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name}-tool = {name}:VERSION.__str__\n",
    }
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
        archive.writestr(f"{info}/RECORD", "".join(f"{path},,\n" for path in (*files, f"{info}/RECORD")))


def only_wheels(patch: pytest.MonkeyPatch, folder: Path, cache: Path) -> None:
    """Make the wheels in a folder the only source of packages for installers that start later."""
    variables: dict[str, Any] = {"UV_FIND_LINKS": folder, "PIP_FIND_LINKS": folder, "UV_CACHE_DIR": cache}
    variables |= dict.fromkeys(("UV_NO_INDEX", "UV_OFFLINE", "UV_NO_CONFIG", "PIP_NO_INDEX"), 1)
    for name, value in variables.items():
        patch.setenv(name, str(value))


def client_of(agent: LocalAgent | ThreadedAgent) -> httpx.Client:
    """A plain HTTP client of an agent, which checks every response against the contract."""
    return client_at(agent.url, agent.token)


def client_at(url: str, token: str) -> httpx.Client:
    """Like `client_of`, from URL and token."""
    return httpx.Client(
        base_url=url,
        headers={"Authorization": token},
        timeout=httpx.Timeout(120),
        event_hooks={"response": [check_answer]},
        trust_env=False,
    )


def check_answer(response: httpx.Response) -> None:
    """Assert that a response is in the contract for its operation."""
    path = response.request.url.raw_path.decode().partition("?")[0]
    templates = [known for known in PATHS if re.fullmatch(re.sub(r"\{[^}]*\}", "[^/]+", known), path)]
    operation = DOCUMENT["paths"].get(templates[0] if templates else None, {}).get(response.request.method.lower())
    if operation is None:
        assert response.status_code in {404, 405}
        return
    response.read()
    expected = operation["responses"][str(response.status_code)]  # the agent never relies on `default`
    if "$ref" in expected:
        expected = DOCUMENT["components"]["responses"][expected["$ref"].rpartition("/")[2]]
    if "content" not in expected:
        assert response.content == b""
        return
    assert response.headers["content-type"] == "application/json"
    schema = expected["content"]["application/json"]["schema"]
    schema = {"$ref": "urn:contract" + schema["$ref"]} if "$ref" in schema else schema
    jsonschema_rs.Draft202012Validator(schema, registry=SCHEMAS, validate_formats=True).validate(response.json())


def create(http: httpx.Client, plugin: str, version: str = "1.0.0") -> dict[str, Any]:
    """Cache a release."""
    response = http.post("/plugin_releases/", json={"plugin": plugin, "version": version})
    assert response.status_code in {200, 201}, response.text
    release: dict[str, Any] = response.json()
    return release


def publish(
    http: httpx.Client, registry: Path, source: str, actions: Sequence[str] = ("run",), code: str = "ocr"
) -> dict[str, Any]:
    """Write a plugin of one module with some actions, and cache it."""
    write_plugin(registry, code, {"plugin.py": source}, {name: f"plugin:{name}" for name in actions})
    return create(http, code)


def run(
    http: httpx.Client, action: str = "run", params: dict[str, Any] | None = None, release: int | str = 1, **fields: Any
) -> httpx.Response:
    """Run an action of a release."""
    body = {"action": action, "params": params or {}, **fields}
    return http.post(f"/plugin_releases/{release}/run/", json=body)


def run_source(
    http: httpx.Client, source: str, params: dict[str, Any] | None = None, entrypoint: str = "plugin:run", **fields: Any
) -> httpx.Response:
    """Run the action `run` of a source sent with the request."""
    config = {"code": "sent", "version": "0.1", "actions": {"run": {"entrypoint": entrypoint}}}
    body = {"action": "run", "params": params or {}, "config": config, "modules": {"plugin": source}, **fields}
    return http.post("/plugin_releases/run_debug/", json=body)


def result_of(response: httpx.Response) -> Any:
    """The result of a successful run."""
    assert response.status_code == 200, response.text
    return response.json()


def runs_of(data: Path) -> list[dict[str, Any]]:
    """The recorded runs of an agent, in order."""
    with closing(sqlite3.connect(data / "runs.sqlite")) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute("SELECT * FROM runs ORDER BY started")]


def raw_request(
    agent: ThreadedAgent, method: str, target: str, headers: dict[str, str] | None = None, body: bytes | None = None
) -> tuple[int, dict[str, str], bytes]:
    """Send a request with its target unnormalized; return the response."""
    with closing(http.client.HTTPConnection(agent.url.removeprefix("http://"), timeout=120)) as connection:
        connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in {"Authorization": agent.token, **(headers or {})}.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()


def detail(response: httpx.Response) -> Any:
    """The `detail` of an error response."""
    return response.json()["detail"]


def until(happened: Callable[[], object], seconds: float = 120) -> None:
    """Wait until a condition holds, and fail if it never does."""
    limit = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < limit, "it did not happen in time"
        time.sleep(0.01)


def is_alive(process: int) -> bool:
    """Whether a process runs; zombies do not count."""
    return process in running()


def group_of(process: int) -> set[int]:
    """The running processes of a process group."""
    return {number for number, group in running().items() if group == process}


def running() -> dict[int, int]:
    """Every running process with its group, from /proc."""
    groups = {}
    for stat in PROC.glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it may end at any time
            state, _, group = stat.read_text().rpartition(")")[2].split()[:3]
            if state not in {"Z", "X"}:
                groups[int(stat.parent.name)] = int(group)
    return groups


def process_in(file: Path) -> int:
    """The process that wrote its id into a file, once it has."""
    until(lambda: file.exists() and file.read_text())
    return int(file.read_text())


def url_of(process: subprocess.Popen[str]) -> str:
    """The URL of an agent, once it prints it."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("Agent listening on "), process.communicate()
    return line.split()[-1]
