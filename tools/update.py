"""Update the contract: show the changes, regenerate the client and list gaps in the wrapper.

The new document replaces `openapi/agent.yaml` if it is valid. The contract tests report the same gaps.
"""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import yaml
from openapi_spec_validator import validate

ROOT = Path(__file__).parent.parent
CONTRACT = ROOT / "openapi" / "agent.yaml"
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


def read(source: str) -> str:
    """Read a path or a URL."""
    if source.startswith(("http://", "https://")):
        return httpx.get(source, follow_redirects=True).raise_for_status().text
    return Path(source).read_text(encoding="utf-8")


def resolve(document: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """Resolve a reference, if the part is one."""
    while "$ref" in part:
        target: Any = document
        for name in part["$ref"].removeprefix("#/").split("/"):
            target = target[name]
        part = target
    return part


def arguments(document: dict[str, Any], item: dict[str, Any], operation: dict[str, Any]) -> set[str]:
    """Return the argument names that an operation's method needs: path, headers, query and body."""
    names = set()
    declared = [resolve(document, part) for part in [*item.get("parameters", []), *operation.get("parameters", [])]]
    if any(part["in"] == "query" and part["schema"].get("type") == "object" for part in declared):
        # `params` covers the whole query.
        names.add("params")
        declared = [part for part in declared if part["in"] != "query"]
    for part in declared:
        if not part["name"].startswith("SYNAPSE-"):  # settings of the client
            names.add(part["name"].lower().replace("-", "_"))
    if "requestBody" in operation:
        media = resolve(document, operation["requestBody"])["content"]["application/json"]
        names |= resolve(document, media["schema"]).get("properties", {}).keys()
    return names


def lacking(document: dict[str, Any], client: type) -> list[str]:
    """List the operations and arguments of a document that a client lacks."""
    lines = []
    for path, item in document["paths"].items():
        for method in METHODS:
            if method not in item:
                continue
            name = item[method]["operationId"]
            function = getattr(client, name, None)
            if function is None:
                lines.append(f"{client.__name__}.{name}() for {method.upper()} {path}")
                continue
            taken = inspect.signature(function).parameters.keys()
            lines += [
                f"{client.__name__}.{name}({argument}=)"
                for argument in sorted(arguments(document, item, item[method]) - taken)
            ]
    return lines


def main(given: list[str]) -> None:
    """Run as a program: `update.py REDOCLY SOURCE`."""
    if len(given) != 2 or not given[1]:  # noqa: PLR2004 - two arguments
        sys.exit("Give the new contract: make update SPEC=<file or URL>")
    redocly, source = given
    text = read(source)
    document = yaml.safe_load(text)
    validate(document)
    CONTRACT.write_text(text, encoding="utf-8")
    for command in (["tools/spec_diff.py", redocly, "HEAD"], ["tools/generate.py"]):
        # Continue even if the version must be raised: the contract tests check it later.
        subprocess.run([sys.executable, *command], cwd=ROOT, check=command[0].endswith("generate.py"))  # noqa: S603 - ours

    from synapse_agent_sdk import AgentClient, AsyncAgentClient

    lines = lacking(document, AgentClient) + lacking(document, AsyncAgentClient)
    print("The wrapper covers the contract." if not lines else "Missing from the wrapper:", *lines, sep="\n  ")


if __name__ == "__main__":
    main(sys.argv[1:])
