"""Requirements of plugins and requests."""

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
    """The combined requirements of a plugin and a request, sorted and without duplicates.

    Raises:
        RequirementsError: If an entry is not a requirement, such as an installer option.
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
    """Parse an entry.

    Raises:
        RequirementsError: If it is not a requirement.
    """
    try:
        return Requirement(entry)
    except InvalidRequirement as error:
        if entry.strip().startswith("-"):
            reason = "options are not allowed: set UV_INDEX and the like in the agent's environment"
        else:
            reason = str(error).splitlines()[0]
        msg = f"{entry[:200]!r} is not a requirement such as 'pillow>=9.0.0': {reason}"
        raise RequirementsError(msg) from None


def normalize(requirement: Requirement) -> str:
    """The normalized form of a requirement, for comparison.

    Example:
        >>> normalize(Requirement("Typing_Extensions >= 4"))
        'typing-extensions>=4'
    """
    text = str(requirement)
    return canonicalize_name(requirement.name) + text[len(requirement.name) :]


def is_satisfied(requirement: Requirement) -> bool:
    """Whether the agent's own environment already meets a requirement."""
    try:
        if requirement.marker is not None and not requirement.marker.evaluate():
            return True
    except ValueError:  # an invalid comparison: the installer reports it
        return False
    if requirement.url is not None or requirement.extras:
        return False
    try:
        return requirement.specifier.contains(version(requirement.name), prereleases=True)
    except PackageNotFoundError:
        return False
