"""What `make mutate` makes of an outcome."""

from __future__ import annotations

import pytest

from tools import mutate
from tools.mutate import Mutant

pytestmark = pytest.mark.heavy  # of a tool alone
ONE = Mutant("retries.total_seconds", "- return None\n+ return 0")


def test_too_few_killed_and_survivors_without_a_reason_are_faults() -> None:
    """A survivor needs its reason on the page, nine of ten must be killed, and every mutant tested."""
    statuses = {str(number): "killed" if number < 90 else "survived" for number in range(100)}
    page = f"# Page\n\n## `{ONE.function}`\n\n```diff\n{ONE.change}\n```\n\nWhy.\n"
    assert mutate.faults(statuses, {ONE}, mutate.explained(page)) == []
    (fault,) = mutate.faults(statuses, {ONE}, mutate.explained(page.replace("Why.", "")))
    assert f"## `{ONE.function}`\n\n```diff\n{ONE.change}\n```" in fault
    assert len(mutate.faults({**statuses, "0": "survived"}, set(), {})) == 1
    assert "1 of 100" in mutate.faults({**statuses, "99": min(mutate.UNFINISHED)}, set(), {})[0]
    assert mutate.faults({}, set(), {}) != []
