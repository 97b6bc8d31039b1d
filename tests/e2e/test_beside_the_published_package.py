"""The wheel in separate environments: alone, and with the published package that owns `synapse_sdk`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import uv

from tests.e2e.conftest import REPOSITORY

UV = uv.find_uv_bin()
OFFLINE = {"UV_FIND_LINKS", "UV_NO_INDEX", "UV_OFFLINE", "UV_NO_CONFIG", "UV_CACHE_DIR"}
"""Set for the whole session by the tests of requirements."""
PUBLISHED = "synapse-sdk==2026.2.17"
OURS, THEIRS = "synapse-agent-sdk", "synapse-sdk"
WHOLE = """
import base64, hashlib
from importlib.metadata import files
for file in files("synapse-sdk"):
    if file.hash is not None:
        found = hashlib.new(file.hash.mode, file.locate().read_bytes()).digest()
        assert base64.urlsafe_b64encode(found).rstrip(b"=").decode() == file.hash.value, file
import synapse_sdk.plugins
"""
"""Checks that every file of the published package matches its RECORD, and imports a module only it has."""
DROPIN = """
import synapse_agent_sdk.exceptions, synapse_sdk.clients.exceptions, synapse_sdk.exceptions
from synapse_sdk.clients.agent import AgentClient, AsyncAgentClient
from synapse_sdk.clients.agent.plugin import PluginClientMixin
assert AgentClient is synapse_agent_sdk.AgentClient and issubclass(AgentClient, PluginClientMixin)
assert AsyncAgentClient is synapse_agent_sdk.AsyncAgentClient
assert synapse_sdk.exceptions.ClientError is synapse_agent_sdk.exceptions.ClientError
assert synapse_sdk.clients.exceptions.NotFoundError is synapse_agent_sdk.exceptions.NotFoundError
"""
DOCTOR = "from synapse_agent_sdk.cli.doctor import packages\nprint(packages().found)"


def newer_python() -> str | None:
    """Return a Python that the published package supports, including inactive pyenv versions."""
    names = [sys.executable, *(f"python3.{minor}" for minor in (12, 13, 14))]
    candidates = [found for name in names if (found := shutil.which(name)) is not None]
    candidates += map(str, sorted(Path.home().glob(".pyenv/versions/3.1[2-4].*/bin/python")))
    for candidate in candidates:
        asked = [candidate, "-c", "import sys; sys.exit(sys.version_info < (3, 12))"]
        if not subprocess.run(asked, capture_output=True, check=False).returncode:  # noqa: S603 - a Python
            return candidate
    return None


class Environment:
    """An empty virtual environment."""

    def __init__(self, folder: Path, python: str = sys.executable) -> None:
        self.folder = folder
        self.python = folder / "bin" / "python"
        self._uv("venv", "--no-python-downloads", "--python", python, folder)

    def install(self, *what: str | Path) -> None:
        """Install wheels without their dependencies."""
        self._uv("pip", "install", "--offline", "--no-index", "--no-deps", "--python", self.python, *what)

    def uninstall(self, name: str) -> None:
        """Uninstall a package."""
        self._uv("pip", "uninstall", "--python", self.python, name)

    def run(self, code: str, *options: str, **variables: str) -> str:
        """Run a program and return its output."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        command = [str(self.python), *options, "-c", code]
        ended = subprocess.run(  # noqa: S603 - ours
            command, capture_output=True, text=True, check=False, env=environment | variables, cwd=self.folder
        )
        assert ended.returncode == 0, ended.stderr
        return str(ended.stdout).strip()

    @property
    def packages(self) -> Path:
        """Return the path of site-packages."""
        return Path(self.run("import sysconfig; print(sysconfig.get_path('purelib'))"))

    @staticmethod
    def _uv(*arguments: str | Path) -> None:
        subprocess.run([UV, *arguments], check=True, capture_output=True)  # noqa: S603 - ours


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this repository."""
    folder = tmp_path_factory.mktemp("ours")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)  # noqa: S603 - ours
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel that stands in for the published package."""
    folder = tmp_path_factory.mktemp("theirs")
    (folder / "synapse_sdk" / "plugins").mkdir(parents=True)
    for name in ("__init__.py", "plugins/__init__.py", "exceptions.py"):
        (folder / "synapse_sdk" / name).write_text(f"NAME = {name!r}\n")
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        '[project]\nname = "synapse-sdk"\nversion = "2026.2.17"\n'
    )
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)  # noqa: S603 - ours
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    """An environment with this package's dependencies, but without the package."""
    made = Environment(tmp_path / "environment")
    (made.packages / "aaa_dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return made


def test_alone_the_published_paths_are_ours(environment: Environment, ours: Path) -> None:
    """Without the published package, its import paths provide our classes, also with `python -I`."""
    environment.install(ours)
    for options in ((), ("-I",)):
        environment.run(DROPIN, *options)
    assert environment.run(DOCTOR) == "synapse_sdk is provided by synapse-agent-sdk"
    environment.uninstall(OURS)
    assert not list(environment.packages.glob("*synapse_agent*"))


@pytest.mark.parametrize("order", [(OURS, THEIRS), (THEIRS, OURS)], ids=" then ".join)
def test_beside_the_published_package_both_are_whole(
    environment: Environment, ours: Path, theirs: Path, order: tuple[str, str]
) -> None:
    """Both packages can be installed in either order, and uninstalling one leaves the other intact."""
    wheels = {OURS: ours, THEIRS: theirs}
    for name in order:
        environment.install(wheels[name])
    environment.run(f"from synapse_agent_sdk import AgentClient\n{WHOLE}")
    assert environment.run(DOCTOR).startswith("synapse_sdk is another package in ")
    environment.uninstall(THEIRS)
    environment.run(DROPIN)
    environment.install(theirs)
    environment.uninstall(OURS)
    environment.run(f"{WHOLE}\nfrom importlib.util import find_spec\nassert find_spec('synapse_agent_sdk') is None")


def test_where_pth_files_are_not_read_the_own_name_works(environment: Environment, ours: Path, tmp_path: Path) -> None:
    """From a PYTHONPATH folder only `synapse_agent_sdk` can be imported, and the doctor explains why."""
    environment.install("--target", tmp_path / "target", ours)
    path = str(tmp_path / "target")
    environment.run(
        "import synapse_agent_sdk, importlib.util as u; assert not u.find_spec('synapse_sdk')", PYTHONPATH=path
    )
    assert "only synapse_agent_sdk" in environment.run(DOCTOR, PYTHONPATH=path)


@pytest.mark.heavy
@pytest.mark.timeout(900)
@pytest.mark.parametrize("order", [(OURS, THEIRS), (THEIRS, OURS)], ids=" then ".join)
def test_beside_the_real_package_both_are_whole(ours: Path, tmp_path: Path, order: tuple[str, str]) -> None:
    """With the real published package, in either order, both packages and its command work."""
    python = newer_python()
    if python is None:
        pytest.skip("the published package needs Python 3.12 or newer")
    made = Environment(tmp_path / "environment", python)
    online = {name: value for name, value in os.environ.items() if name not in OFFLINE}
    for name in order:
        what = PUBLISHED if name == THEIRS else f"{OURS} @ {ours.as_uri()}"
        command = [UV, "pip", "install", "--python", str(made.python), what]
        subprocess.run(command, check=True, capture_output=True, env=online)  # noqa: S603 - ours
    made.run(f"from synapse_agent_sdk import AgentClient\n{WHOLE}")
    subprocess.run([made.folder / "bin" / "synapse", "--help"], check=True, capture_output=True)  # noqa: S603 - theirs
    made.uninstall(THEIRS)
    made.run(DROPIN)
