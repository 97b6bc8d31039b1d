"""Modules that were sent with a run, laid over those in the sources."""

from __future__ import annotations

import importlib.machinery
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType


class Overlay:
    """Modules whose source was sent along, found before those in the sources."""

    def __init__(self, modules: dict[str, str], roots: list[str]) -> None:
        self.modules = modules
        self.roots = roots

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,
        _target: ModuleType | None = None,
        /,
    ) -> importlib.machinery.ModuleSpec | None:
        """The module, where it or one below it was sent; packages keep what the sources hold of them."""
        if name not in self.modules and not self.is_package(name):
            return None
        in_sources = importlib.machinery.PathFinder.find_spec(name, path)
        if name not in self.modules and in_sources is not None and in_sources.loader is not None:
            # A package of which only a part was sent; where the sources do not have it, an empty one stands for it.
            return in_sources
        folders = None if in_sources is None else in_sources.submodule_search_locations
        is_package = self.is_package(name) or folders is not None
        spec = importlib.machinery.ModuleSpec(name, self, is_package=is_package)  # type: ignore[arg-type]  # it has what a loader needs; importing the base class takes 10 ms
        if spec.submodule_search_locations is not None:
            spec.submodule_search_locations += folders or [str(Path(root, *name.split("."))) for root in self.roots]
        return spec

    def get_source(self, name: str) -> str:
        """The source as it was sent; tracebacks quote it."""
        return self.modules.get(name, "")

    def create_module(self, _spec: importlib.machinery.ModuleSpec) -> None:
        """Leave it to Python to make the module."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the source, compiled under the name that tracebacks show."""
        name = module.__name__
        code = compile(self.get_source(name), f"{name.replace('.', os.sep)}.py", "exec", dont_inherit=True)
        exec(code, vars(module))  # noqa: S102 - to run what was sent is what a debug run is for

    def is_package(self, name: str) -> bool:
        """Whether modules below it were sent."""
        return any(other.startswith(f"{name}.") for other in self.modules)


def lay(modules: dict[str, str], roots: list[str]) -> None:
    """Lay modules over the sources."""
    if modules:
        sys.meta_path.insert(0, Overlay(modules, roots))
