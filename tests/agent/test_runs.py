"""Running actions: their arguments, environment and outcomes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.agent.helpers import client_of, detail, publish, result_of, run, run_source, write_plugin
from tests.threaded_agent import ThreadedAgent

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

CLASS = "class run:\n    {0} execute(self): return self.given\n    def __init__(self{1}): self.given = {2}"

CALLS: list[tuple[str, dict[str, Any], Any]] = [
    ("def run(params): return params", {"a": 1}, {"a": 1}),
    ("def run(params, ctx): return [params, ctx.job_id]", {"a": 1}, [{"a": 1}, "job"]),
    ("def run(params, context=None): return context.job_id", {}, "job"),
    ("def run(params, epochs=3): return [params, epochs]", {"a": 1}, [{"a": 1}, 3]),
    ("def run(p, /): return p", {"a": 1}, {"a": 1}),
    ("def run(a, b=2): return [a, b]", {"a": 1}, [1, 2]),
    ("def run(**given): return given", {"a": 1, "params": 2}, {"a": 1, "params": 2}),
    ("def run(a, *, context): return [a, context.job_id]", {"a": 1}, [1, "job"]),
    ("def run(a, context): return [a, context]", {"a": 1, "context": "own"}, [1, "own"]),
    ("def run(): return None", {}, None),
    ("async def run(params):\n    import asyncio\n    await asyncio.sleep(0)\n    return params", {"a": 1}, {"a": 1}),
    ("import functools\nrun = functools.partial(lambda x, params: [x, params], 1)", {"a": 1}, [1, {"a": 1}]),
    (CLASS.format("def", ", params, context", "[params, context.job_id]"), {"a": 1}, [{"a": 1}, "job"]),
    (CLASS.format("async def", ", a", "a"), {"a": 1}, 1),
]


def test_how_an_action_is_called(http: httpx.Client) -> None:
    """A function or class gets params, and the context if it asks for it; any JSON it returns is the body."""
    for source, params, result in CALLS:
        assert result_of(run_source(http, source, params, job_id="job")) == result, source
    results: list[Any] = [None, "", 0, [True, -1.5, "문서 📄\x00\u2028", [], {}, {"a": [None]}, 10**30]]
    for result in results:
        response = run_source(http, f"def run(params): return {result!r}", entrypoint="plugin.run")
        assert (result_of(response), response.headers["content-type"]) == (result, "application/json")
    source = "class Tools:\n    class Inner:\n        run = staticmethod(lambda params: 1)"
    assert result_of(run_source(http, source, entrypoint="plugin:Tools.Inner.run")) == 1


def test_output_is_not_the_server_s(http: httpx.Client, capfd: pytest.CaptureFixture[str]) -> None:
    """Output of an action, its child processes and its crash stays out of the server's stdout and stderr."""
    source = "import ctypes, os, subprocess, sys\ndef run(params):\n    print('out')\n    os.write(2, b'raw')\n"
    source += "    subprocess.run(['echo', 'child'])\n    return sys.stdin.read()"
    assert result_of(run_source(http, source)) == ""
    assert run_source(http, f"{source} or ctypes.string_at(0)").json()["error_type"] == "action_crashed"
    assert capfd.readouterr() == ("", "")


def test_environment_has_no_settings_of_the_agent(registry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An action sees the agent's environment without SYNAPSE_ variables and anything that holds the token."""
    for name, value in (("SYNAPSE_AGENT_URL", "x"), ("INNOCENT", "Bearer the-agent-s-token"), ("KEPT", "kept")):
        monkeypatch.setenv(name, value)
    source = "import os, sys\ndef run(params): return [dict(os.environ), sys.argv]"
    with ThreadedAgent(registry, token="the-agent-s-token") as agent, client_of(agent) as http:
        environment, arguments = result_of(run_source(http, source))
    assert environment["KEPT"] == "kept"
    assert [name for name in environment if name.startswith("SYNAPSE_")] == []
    assert "the-agent-s-token" not in str([environment, arguments])


def test_modules_of_a_plugin_come_first(own_http: httpx.Client, registry: Path, tmp_path: Path) -> None:
    """A plugin's modules take precedence over the worker's files; no caches are written into the release."""
    write_plugin(registry, "ocr", {"store.py": "X = 1", "worker/__init__.py": "X = 2"})
    publish(own_http, registry, "import store, worker\ndef run(params): return store.X + worker.X")
    assert result_of(run(own_http)) == 3
    (release,) = (tmp_path / "data" / "releases").iterdir()
    assert list(release.rglob("__pycache__")) == []


def test_unknown_action_names_those_there_are(http: httpx.Client) -> None:
    """An unknown action is 422, and the response lists the available ones."""
    for action in ("trian", "", "RUN", "run ", "\x00"):
        response = run(http, action, release="shared@1.0.0+lite")
        assert response.status_code == 422
        assert detail(response) == f"There is no action {action!r}. Actions: run, walk."


def test_failure_shows_exception_and_own_frames(own_http: httpx.Client, registry: Path) -> None:
    """An action that raises is 500 action_failed, with the exception and the plugin's frames with relative paths."""
    divide = "def divide(a, b):\n    return a / b\n"
    source = "from tools import divide\n\n\ndef run(params):\n    return divide(1, 0)\n"
    write_plugin(registry, "ocr", {"tools.py": divide})
    publish(own_http, registry, source)
    response = run(own_http)
    assert (response.status_code, response.json()["error_type"]) == (500, "action_failed")
    lines = [line.strip() for line in detail(response).splitlines() if line and line.strip("^~ ")]
    assert lines == [
        *("ZeroDivisionError: division by zero", "Traceback (most recent call last):"),
        *('File "plugin.py", line 5, in run', "return divide(1, 0)"),
        *('File "tools.py", line 2, in divide', "return a / b"),
        "ZeroDivisionError: division by zero",
    ]
    text = detail(run_source(own_http, FAILURES["chain"][0]))
    assert text.count("Traceback (most recent call last):") == 2
    assert text.index("ZeroDivisionError") < text.index("direct cause of the following exception")


FAILURES = {
    "coroutine": ("async def run(params): 1 / 0", "ZeroDivisionError: division by zero"),
    "library": ("import json\ndef run(params): json.loads('{')", "json.decoder.JSONDecodeError: Expecting"),
    "at import": ("1 / 0\ndef run(params): pass", "ZeroDivisionError: division by zero"),
    "no attribute": ("def walk(params): pass", "AttributeError: module 'plugin' has no attribute 'run'"),
    "syntax": ("def run(params) pass", "SyntaxError: expected ':'"),
    "no callable": ("run = 5", "TypeError: 5 is not a callable object"),
    "class without execute": ("class run: pass", "AttributeError: 'run' object has no attribute 'execute'"),
    "chain": ("def run(p, /):\n try: 1/0\n except Exception as e: raise KeyError('b') from e", "KeyError: 'b'"),
    "group": ("def run(params): raise ExceptionGroup('g', [KeyError(1), ValueError(2)])", "ExceptionGroup: g (2 sub-"),
    "endless recursion": ("def run(params): run(params)", "RecursionError: maximum recursion depth exceeded"),
    "surrogate": ("def run(params): raise ValueError('\\udcff')", "ValueError: \\udcff"),
    "no text": ("class E(Exception):\n def __str__(self): 1/0\ndef run(params): raise E", "plugin.E: <exception str()"),
    "keyword": (
        "def run(a): pass",
        "The action 'run'(a) does not accept these params: missing a required argument: 'a'",
    ),
}


@pytest.mark.parametrize(("source", "expected"), FAILURES.values(), ids=FAILURES)
def test_failure_of_any_kind(http: httpx.Client, source: str, expected: str) -> None:
    """Any failure of an action is action_failed, begins with the exception, and shows none of the agent's paths."""
    response = run_source(http, source)
    assert (response.status_code, response.json()["error_type"]) == (500, "action_failed")
    text = detail(response)
    assert expected in text
    assert text.startswith(expected) or expected.startswith("SyntaxError")
    assert not [name for name in ('File "/', "synapse_worker", "asyncio") if name in text]
    assert len(text) < 2000


CRASHES = [
    ("import sys\ndef run(params): sys.exit()", "exit code 0"),
    ("import sys\ndef run(params): sys.exit('no input')", "exit code 1: no input"),
    ("import sys\nasync def run(params): sys.exit(4)", "exit code 4"),
    ("import ctypes\ndef run(params): ctypes.string_at(0)", "signal 11 "),
    ("import os\ndef run(params): os.closerange(3, 100)", "The action's process "),
    ("import os, time\ndef run(params):\n os.kill(os.getppid(), 9)\n time.sleep(600)", "signal 9 "),
    ("import os, subprocess\ndef run(params):\n subprocess.Popen(['sleep', '600'])\n os._exit(6)", "exit code 6"),
]
NOT_JSON = [
    ("return {'a': [1, {'b': {2}}]}", "result.a[1].b: Object of type set"),
    ("return ({'x': float('nan')},)", "result[0].x: "),
    ("return [float('inf')]", "result[0]: "),
    ("return {'a': '\\ud800'}", "result.a: "),
    ("return {'a': {(1, 2): 3}}", "result.a: keys must be str"),
    ("return [10 ** 5000]", "result[0]: "),
    ("return map(str, [])", "result: Object of type map"),
    ("value = {}\n value['a'] = [value]\n return value", "result.a[0] (circular reference)"),
    ("value = []\n for _ in range(100_000): value = [value]\n return {'a': [value]}", "result.a (nested too deep)"),
    ("yield 1", "The action is a generator"),
    ("pass\nasync def run(params): yield 1", "The action is a generator"),
]


@pytest.mark.contract
def test_crashes_and_results_that_are_not_json(http: httpx.Client) -> None:
    """A process that ends is reported with its exit code or signal, an invalid result with the path in it."""
    cases = [("action_crashed", *case) for case in CRASHES]
    cases += [("action_result_not_json", f"def run(params):\n {body}", where) for body, where in NOT_JSON]
    for error_type, source, expected in cases:
        response = run_source(http, source)
        assert (response.status_code, response.json()["error_type"]) == (500, error_type), source
        assert expected in detail(response)
        assert len(detail(response)) < 500
        assert result_of(run_source(http, "def run(params): return 1")) == 1


def test_what_an_action_may_do(http: httpx.Client) -> None:
    """An action may use multiprocessing, close its output, and fork; the child does not respond in its place."""
    source = "import concurrent.futures, math, multiprocessing\ndef run(params):\n"
    source += "    context = multiprocessing.get_context(params['how'])\n"
    source += (
        "    with concurrent.futures.ProcessPoolExecutor(1, context) as pool: return list(pool.map(math.sqrt, [1, 4]))"
    )
    assert [result_of(run_source(http, source, {"how": how})) for how in ("fork", "spawn")] == [[1, 2]] * 2
    source = "import os, sys\ndef run(params):\n    if os.fork() == 0: sys.exit(3)\n"
    source += "    os.wait()\n    sys.stdout.close()\n    sys.stderr = None\n    return 'parent'"
    assert result_of(run_source(http, source)) == "parent"
