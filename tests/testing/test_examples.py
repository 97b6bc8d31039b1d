"""The example's tests pass, and every block of docs/testing.md runs."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]
pytest_plugins = ["pytester"]

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "testing.md").read_text(encoding="utf-8")
PLUGINS = REPOSITORY / "examples" / "plugins"


def blocks(language: str) -> list[str]:
    """The page's code blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def passing(result: pytest.RunResult, sources: str) -> bool:
    """Whether all tests in the sources ran and passed."""
    result.assert_outcomes(passed=len(re.findall(r"^def test_", sources, re.MULTILINE)))
    return result.ret == 0


def test_the_example_passes(pytester: pytest.Pytester) -> None:
    """The example passes with all installed pytest plugins; ours is discovered automatically."""
    shutil.copytree(PLUGINS, pytester.path / "plugins")
    shutil.copytree(REPOSITORY / "examples" / "testing", pytester.path / "testing")
    tests = (pytester.path / "testing" / "test_report.py").read_text(encoding="utf-8")
    assert passing(pytester.runpytest_subprocess("--rootdir=testing", "-c", "testing/pyproject.toml", "testing"), tests)


def test_every_block_of_the_page_runs(pytester: pytest.Pytester) -> None:
    """The page's blocks form one project, whose tests pass with warnings as errors."""
    assert PAGE.count("```") == 2 * len([*blocks("python"), *blocks("toml"), *blocks("sh")])
    assert blocks("sh") == ["pip install 'synapse-agent-sdk[agent]' pytest\n"]
    shutil.copytree(PLUGINS, pytester.path / "plugins")
    shutil.copytree(PLUGINS / "csv_summary", pytester.path / "other_plugins" / "csv_summary")
    (configuration,) = blocks("toml")
    (pytester.path / "pyproject.toml").write_text(f'{configuration}filterwarnings = ["error"]\n', encoding="utf-8")
    sources = blocks("python")
    for source in sources:
        name = re.match(r"# (\w+\.py)\n", source)
        assert name is not None, source
        assert not (pytester.path / name[1]).exists()
        (pytester.path / name[1]).write_text(source, encoding="utf-8")
    assert passing(pytester.runpytest_subprocess(), "".join(sources))
