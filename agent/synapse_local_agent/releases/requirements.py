"""Requirements: those of a plugin and of a request, parsed, and whether they are met already."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from synapse_local_agent.errors import RequirementsError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

FILE = "requirements.txt"


def requirements_of(sources: Path | None, further: Iterable[str]) -> list[Requirement]:
    """The requirements of a plugin and those of a request, once each and sorted.

    Raises:
        RequirementsError: If an entry is not a requirement, such as an option for an installer.
    """
    entries = list(further)
    if sources is not None and (sources / FILE).is_file():
        try:
            lines = (sources / FILE).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            msg = f"{FILE} cannot be read: {error}"
            raise RequirementsError(msg) from None
        stripped = (f" {line}".split(" #")[0].strip() for line in lines)
        entries += [line for line in stripped if line]
    return sorted({parse_requirement(entry) for entry in entries}, key=normalize)


def parse_requirement(entry: str) -> Requirement:
    """An entry as a requirement.

    Raises:
        RequirementsError: If it is none.
    """
    try:
        return Requirement(entry)
    except InvalidRequirement as error:
        if entry.strip().startswith("-"):
            reason = "options are not taken: the agent's own environment has the installer's settings (UV_INDEX, ...)"
        else:
            reason = str(error).splitlines()[0]
        msg = f"{entry[:200]!r} is not a requirement such as 'pillow>=9.0.0': {reason}"
        raise RequirementsError(msg) from None


def normalize(requirement: Requirement) -> str:
    """A requirement in the one form in which it is compared.

    Example:
        >>> normalize(Requirement("Typing_Extensions >= 4"))
        'typing-extensions>=4'
    """
    text = str(requirement)
    return canonicalize_name(requirement.name) + text[len(requirement.name) :]


def is_satisfied(requirement: Requirement) -> bool:
    """Whether the agent's own environment has what is required, so that nothing has to be installed."""
    try:
        if requirement.marker is not None and not requirement.marker.evaluate():
            return True
    except ValueError:  # a comparison that makes no sense: the installer says so
        return False
    if requirement.url is not None or requirement.extras:
        return False
    try:
        return requirement.specifier.contains(version(requirement.name), prereleases=True)
    except PackageNotFoundError:
        return False
