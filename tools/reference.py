"""Write the reference pages from the docstrings of the public names. griffe reads the sources without importing.

Every name in the `__all__` of a public module needs a page, or the build fails.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import griffe

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).parent.parent
CLIENT = "synapse_agent_sdk"
AGENT = "synapse_local_agent"
TESTING = "synapse_agent_sdk.testing"
PAGES: dict[str, tuple[str, list[str]]] = {
    "reference/client.md": ("AgentClient", [f"{CLIENT}.AgentClient"]),
    "reference/async-client.md": ("AsyncAgentClient", [f"{CLIENT}.AsyncAgentClient"]),
    "reference/settings.md": (
        "Policies, lookups and types",
        [
            f"{CLIENT}.RetryPolicy",
            f"{CLIENT}.ReleaseLookup",
            f"{CLIENT}.lookup.Lookup",
            f"{CLIENT}.runtime.options.Timeout",
            f"{CLIENT}.runtime.options.Verify",
        ],
    ),
    "reference/results.md": (
        "Results",
        [
            f"{CLIENT}.RawResponse",
            f"{CLIENT}.release_context.ReleaseContext",
            f"{CLIENT}.runtime.pagination.Items",
        ],
    ),
    "reference/errors.md": ("Errors", ["synapse_agent_sdk.exceptions"]),
    "reference/testing.md": (
        "Fixtures and faults",
        [
            f"{TESTING}.plugin",
            f"{TESTING}.proxy.AgentFaults",
            f"{TESTING}.calls.AgentCalls",
            f"{TESTING}.server.Received",
            f"{TESTING}.faults",
            f"{TESTING}.agent.ProxiedAgent",
            f"{TESTING}.server.FaultServer",
        ],
    ),
    "reference/local-agent.md": ("The local agent", [f"{AGENT}.LocalAgent", f"{AGENT}.Limits", AGENT]),
}
"""The title and contents of each page. A module stands for the names in its `__all__`, or for its public functions and
classes if it has none."""
PUBLIC = [CLIENT, "synapse_agent_sdk.exceptions", AGENT]
"""The modules with a public API."""
GIVEN = {
    *("RawResponse", "ReleaseContext", "Items", "AgentFaults", "AgentCalls", "Received"),
    *("RegistryError", "TokenError", "HostError", "DataInUseError"),
}
"""Objects that users receive and never create, so their constructors are not shown."""
WIDTH = 76


class Reference:
    """Renders the reference pages.

    Args:
        operations: Names of the contract's operations, which docstrings mention.

    Raises:
        LookupError: If a public name has no page.
    """

    def __init__(self, operations: Iterable[str] = ()) -> None:
        self._loader = griffe.GriffeLoader(search_paths=[ROOT / folder for folder in ("wrapper", "agent", "generated")])
        for package in ("synapse_agent_sdk", "synapse_local_agent"):
            self._loader.load(package)
        self._loader.resolve_aliases()
        self._shown = {page: self._once(paths) for page, (_, paths) in PAGES.items()}
        self._origins = {each.path: module for module in PUBLIC for each in self._objects(module)}
        shown = {shown.path for objects in self._shown.values() for shown in objects}
        if missing := self._origins.keys() - shown:
            msg = f"missing from the reference: {', '.join(sorted(missing))}. Add to PAGES in {Path(__file__).name}"
            raise LookupError(msg)
        self._places = {**{name: f"contract.md#{name}" for name in operations}, **dict(self._anchors())}

    def _find(self, path: str) -> Any:
        found = self._loader.modules_collection[path]
        return found.final_target if found.is_alias else found

    def _objects(self, path: str) -> list[Any]:
        found = self._find(path)
        if not found.is_module:
            return [found]
        if found.exports:
            names = sorted(found.exports, key=list(found.members).index)
        else:
            made = {name: each for name, each in found.members.items() if not each.is_alias}
            names = [name for name, each in made.items() if each.is_class or each.is_function]
        return [self._find(f"{path}.{name}") for name in names if not name.startswith(("_", "pytest_"))]

    def _once(self, paths: list[str]) -> list[Any]:
        """Return the objects of a page without duplicates, in order of first mention."""
        return list({each.path: each for path in paths for each in self._objects(path)}.values())

    def _anchors(self) -> Iterator[tuple[str, str]]:
        """Yield the names that a docstring may mention, with their places."""
        for page, objects in self._shown.items():
            for shown in objects:
                if not shown.name.islower() or "_" in shown.name:  # a plain word such as `status` is ambiguous
                    yield shown.name, f"{page}#{shown.name}"
                if shown.is_class:
                    for member in members(shown):
                        yield f"{shown.name}.{member.name}", f"{page}#{shown.name}.{member.name}"

    def pages(self) -> dict[str, str]:
        """Return each page by its path below docs/."""
        return {page: self._page(page) for page in PAGES}

    def _page(self, page: str) -> str:
        title, paths = PAGES[page]
        parts = [f"# {title} {{ #{title} }}" if title in self._places else f"# {title}"]
        if len(paths) == 1 and (module := self._find(paths[0])).is_module:
            parts += self._text(module, page)
        for shown in self._shown[page]:
            depth = 1 if title == shown.name else 2
            if depth == 2:  # noqa: PLR2004 - a page for one class has one heading
                parts.append(heading(2, shown.name, shown.name))
            parts += self._object(shown, page, depth)
        return "\n\n".join(parts) + "\n"

    def _object(self, shown: Any, page: str, depth: int) -> Iterator[str]:
        if shown.is_attribute:
            yield code("python", f"{shown.name} = {alias_of(shown)}")
        elif lines := self._made(shown):
            yield code("python", "\n".join(lines))
        yield from self._text(shown, page)
        for member in members(shown) if shown.is_class else ():
            yield heading(depth + 1, member.name, f"{shown.name}.{member.name}")
            if member.is_function:
                prefix = "await " if "async" in member.labels else ""
                yield code("python", prefix + signature(member.name, list(member.parameters), member.returns))
            yield from self._text(member, page)

    def _made(self, shown: Any) -> list[str]:
        """Return the import and the call signature; fixtures have neither."""
        if shown.name in GIVEN:
            origin = self._origins.get(shown.path)
            return [f"from {origin} import {shown.name}"] if origin else []
        if any("fixture" in str(each.value) for each in shown.decorators):
            return []
        origin = self._origins.get(shown.path, shown.parent.path)
        parameters = list(shown.parameters) if shown.is_function else constructor(shown)
        returns = shown.returns if shown.is_function else None
        call = [] if parameters is None else ["", signature(shown.name, parameters, returns)]
        return [f"from {origin} import {shown.name}", *call]

    def _text(self, shown: Any, page: str) -> Iterator[str]:
        """Render a docstring section by section."""
        if shown.docstring is None:
            return
        for section in shown.docstring.parse("google", warnings=False):
            match section.kind:
                case griffe.DocstringSectionKind.text:
                    yield self._linked(section.value, page)
                case griffe.DocstringSectionKind.admonition:
                    title = section.title or section.value.kind.capitalize()
                    yield f"**{title}**"
                    yield code("pycon", section.value.contents)
                case griffe.DocstringSectionKind.examples:
                    yield "**Example**"
                    yield code("pycon", "\n".join(text for _, text in section.value))
                case griffe.DocstringSectionKind.parameters if shown.name in GIVEN:
                    continue
                case griffe.DocstringSectionKind.returns:
                    yield "**Returns**: " + self._linked(" ".join(part.description for part in section.value), page)
                case _:
                    yield f"**{TITLES.get(section.kind.value, section.kind.value.capitalize())}**"
                    yield "\n".join(self._entry(entry, page) for entry in section.value)

    def _entry(self, entry: Any, page: str) -> str:
        name = entry.name if hasattr(entry, "name") else entry.annotation
        description = self._linked(f"`{name}`: " + " ".join(entry.description.split()), page)
        return f"- {description}"

    def _linked(self, text: str, page: str) -> str:
        """Link known names in text, except in code blocks."""
        folder = Path(page).parent

        def link(match: re.Match[str]) -> str:
            place = self._places.get(match[1])
            if place is None:
                return match[0]
            target, _, anchor = place.partition("#")
            path = "" if target == page else os.path.relpath(target, folder)
            return f"[{match[0]}]({path}#{anchor})"

        blocks = re.split(r"(^```.*?^```)", text, flags=re.MULTILINE | re.DOTALL)
        return "".join(
            block if block.startswith("```") else re.sub(r"`([\w.]+)`", link, block) for block in blocks
        ).replace("\n```\nClientError", "\n```text\nClientError")


TITLES = {"parameters": "Arguments", "raises": "Raises", "attributes": "Attributes"}


def members(shown: Any) -> Iterator[Any]:
    """Yield the public members of a class: its own first, then inherited ones, each once."""
    seen = set()
    for cls in [shown, *shown.mro()]:
        for name, member in cls.members.items():
            is_member = member.is_function or (member.is_attribute and member.docstring is not None)
            if is_member and not name.startswith("_") and name not in seen:
                seen.add(name)
                yield member


def constructor(shown: Any) -> list[Any] | None:
    """Return the constructor's parameters, or None if users never call it."""
    made = shown.all_members.get("__init__")
    if made is not None:
        return list(made.parameters)
    if any("dataclass" in str(each.value) for each in shown.decorators):
        return [
            griffe.Parameter(name, annotation=field.annotation, kind=griffe.ParameterKind.keyword_only, default=default)
            for name, field in shown.members.items()
            if field.is_attribute and field.annotation is not None
            for default in [plain(field.value)]
        ]
    return None


def plain(default: Any) -> str | None:
    """Return a default in readable form."""
    return None if default is None else re.sub(r"field\(default_factory=lambda: (.*)\)$", r"\1", str(default))


def alias_of(shown: Any) -> str:
    """Return the target of a type alias."""
    return str(shown.value).strip("\"'")


def signature(name: str, parameters: list[Any], returns: Any = None) -> str:
    """Return a signature on one line, or with one parameter per line if it is too long."""
    parts: list[str] = []
    starred = False
    for parameter in parameters:
        if parameter.name in {"self", "cls"}:
            continue
        if parameter.kind is griffe.ParameterKind.keyword_only and not starred:
            parts.append("*")
            starred = True
        starred = starred or parameter.kind is griffe.ParameterKind.var_positional
        star = {griffe.ParameterKind.var_positional: "*", griffe.ParameterKind.var_keyword: "**"}.get(
            parameter.kind, ""
        )
        kind = f": {parameter.annotation}" if parameter.annotation is not None else ""
        has_default = parameter.default is not None and not star
        parts.append(f"{star}{parameter.name}{kind}" + (f" = {parameter.default}" if has_default else ""))
    end = f" -> {returns}" if returns is not None else ""
    line = f"{name}({', '.join(parts)}){end}"
    return line if len(line) <= WIDTH else f"{name}(\n" + "".join(f"    {part},\n" for part in parts) + f"){end}"


def heading(depth: int, text: str, anchor: str) -> str:
    """Return a heading with its own anchor."""
    return f"{'#' * depth} `{text}` {{ #{anchor} }}"


def code(language: str, text: str) -> str:
    """Return a code block."""
    return f"```{language}\n{text}\n```"
