"""Measuring: what is compared takes turns, so that whatever else the machine does meets all of it alike."""

from __future__ import annotations

import gc
import statistics
import time
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Sample: TypeAlias = "Callable[[], float]"
"""Does the work once, and gives what it took: seconds, or whatever else is compared."""
Taken: TypeAlias = "dict[str, list[float]]"
"""What each of those that are compared took in each round."""


def timed(work: Callable[[], object], times: int = 1) -> Sample:
    """A sample of seconds for each of so many calls in a row."""

    def sample() -> float:
        begun = time.perf_counter()
        for _ in range(times):
            work()
        return (time.perf_counter() - begun) / times

    return sample


def interleaved(samples: Mapping[str, Sample], rounds: int, warm_up: int = 1) -> Taken:
    """What each sample took in each round; the first one, which warms up, does not count."""
    names = list(samples)
    taken: Taken = {name: [] for name in names}
    for number in range(rounds + warm_up):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            gc.collect()
            value = samples[name]()
            if number >= warm_up:
                taken[name].append(value)
    return taken


def ratio(ours: list[float], theirs: list[float]) -> float:
    """How many times as much ours took: the median over the rounds, each of which compares like with like."""
    return statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True))
