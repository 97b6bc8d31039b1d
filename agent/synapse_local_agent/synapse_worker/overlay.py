"""Modules from the request, which take precedence over those in the sources."""

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
    """Finder and loader of modules from the request."""

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
        """Find a module that was sent, or a package of one; packages keep their modules in the sources."""
        if name not in self.modules and not self.is_package(name):
            return None
        in_sources = importlib.machinery.PathFinder.find_spec(name, path)
        if name not in self.modules and in_sources is not None and in_sources.loader is not None:
            # Only submodules were sent: use the package in the sources; without one, an empty package is created.
            return in_sources
        folders = None if in_sources is None else in_sources.submodule_search_locations
        is_package = self.is_package(name) or folders is not None
        spec = importlib.machinery.ModuleSpec(name, self, is_package=is_package)  # type: ignore[arg-type]  # it has the methods of a loader; importing the base class takes 10 ms
        if spec.submodule_search_locations is not None:
            spec.submodule_search_locations += folders or [str(Path(root, *name.split("."))) for root in self.roots]
        return spec

    def get_source(self, name: str) -> str:
        """The source as sent; tracebacks quote it."""
        return self.modules.get(name, "")

    def create_module(self, _spec: importlib.machinery.ModuleSpec) -> None:
        """Use Python's default module creation."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the source, compiled with the file name that tracebacks show."""
        name = module.__name__
        code = compile(self.get_source(name), f"{name.replace('.', os.sep)}.py", "exec", dont_inherit=True)
        exec(code, vars(module))  # noqa: S102 - debug runs run the code that was sent

    def is_package(self, name: str) -> bool:
        """Whether submodules of it were sent."""
        return any(other.startswith(f"{name}.") for other in self.modules)


def lay(modules: dict[str, str], roots: list[str]) -> None:
    """Give modules precedence over the sources."""
    if modules:
        sys.meta_path.insert(0, Overlay(modules, roots))
