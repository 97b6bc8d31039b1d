"""Measure candidates in turns, so that other load on the machine affects all of them."""

from __future__ import annotations

import gc
import statistics
import time
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Sample: TypeAlias = "Callable[[], float]"
"""Does the work once and returns its cost, usually in seconds."""
Taken: TypeAlias = "dict[str, list[float]]"
"""The cost of each candidate in each round."""


def timed(work: Callable[[], object], times: int = 1) -> Sample:
    """Return a sample of the seconds per call, for a number of consecutive calls."""

    def sample() -> float:
        begun = time.perf_counter()
        for _ in range(times):
            work()
        return (time.perf_counter() - begun) / times

    return sample


def interleaved(samples: Mapping[str, Sample], rounds: int, warm_up: int = 1) -> Taken:
    """Run all samples in turns and return their costs by round, without the warm-up."""
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
    """Return our cost divided by theirs: the median of the ratios of all rounds."""
    return statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True))
