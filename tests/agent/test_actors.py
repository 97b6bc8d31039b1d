"""How a gateway assigns actors to runs, and when it ends one for another. No test here starts Ray."""

from __future__ import annotations

import asyncio
import os
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from synapse_local_agent import Limits
from synapse_local_agent.ray.actor import NEW_SECONDS, PREFIX, sweep
from synapse_local_agent.releases.data_lock import Lock

pytest.importorskip("ray", reason="Ray is not installed: make test-heavy installs it")

from synapse_local_agent.ray import actors

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

pytestmark = [pytest.mark.heavy, pytest.mark.anyio]
A: Any = ("a", (), "")
B: Any = ("b", (), "")


@pytest.fixture
def anyio_backend() -> str:
    """Gateways run on asyncio."""
    return "asyncio"


class ActorHandle(actors.ActorHandle):
    """A fake actor, without Ray."""

    def __init__(self, *, is_there: bool = True) -> None:
        super().__init__(None)
        self.ended = asyncio.Event()
        self._is_there = is_there

    async def is_there(self) -> bool:
        """Whether it still responds."""
        return self._is_there

    async def close(self) -> None:
        """End it."""
        self.ended.set()


def making(*steps: asyncio.Future[ActorHandle]) -> Callable[[], Coroutine[Any, Any, ActorHandle]]:
    """Returns the result of each future in turn, and waits forever after the last."""
    left = list(steps)

    async def make() -> ActorHandle:
        return await (left.pop(0) if left else asyncio.Future())

    return make


async def room() -> bool:
    """There is room."""
    return True


async def settle() -> None:
    """Let all ready tasks run."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_one_that_fails_leaves_nobody_waiting() -> None:
    """A run whose actor went to an earlier run gets the error of the actor created for that run."""
    first, second, held = asyncio.Future[ActorHandle](), asyncio.Future[ActorHandle](), ActorHandle()
    pool, make = actors.Actors(Limits()), making(first, second)
    asked = [asyncio.create_task(pool.take(A, make, room)) for _ in range(2)]
    await settle()
    second.set_result(held)
    assert await asked[0] is held
    first.set_exception(ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        await asked[1]


async def test_actor_of_a_run_that_was_cancelled_goes_to_the_next() -> None:
    """An actor that arrives when its run is cancelled is kept, and an idle actor that is gone is not used."""
    made, new = asyncio.Future[ActorHandle](), asyncio.Future[ActorHandle]()
    pool, held, gone = actors.Actors(Limits()), ActorHandle(), ActorHandle(is_there=False)
    asked = asyncio.create_task(pool.take(A, making(made), room))
    await settle()
    pool.give(A, held)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    await settle()
    assert made.cancelled()
    assert await pool.take(A, making(), room) is held
    pool.give(A, gone)
    new.set_result(ActorHandle())
    assert await pool.take(A, making(new), room) is new.result()
    assert gone.ended.is_set()


async def test_idle_actor_ends_for_want_of_room_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """An idle actor of another release ends if the cluster is full, but not if a new actor is just slow."""
    monkeypatch.setattr(actors, "CROWDED_SECONDS", 0.01)
    idle, pool = ActorHandle(), actors.Actors(Limits())
    answers = [True, True, False]
    seen: list[bool] = []

    async def has_room() -> bool:
        seen.append(idle.ended.is_set())
        return answers.pop(0) if answers else True

    pool.give(A, idle)
    asked = asyncio.create_task(pool.take(B, making(), has_room))
    await idle.ended.wait()
    assert seen[:3] == [False] * 3
    asked.cancel()


async def test_busy_release_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy release gives up one actor to another release that has waited for long."""
    ahead = [0.0]
    monkeypatch.setattr(actors, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + ahead[-1]))
    busy, pool = [ActorHandle(), ActorHandle()], actors.Actors(Limits())
    waiting = [asyncio.create_task(pool.take(kind, making(), room)) for kind in (B, A, A)]
    await settle()
    ahead.append(actors.FAIR_SECONDS + 1)
    for held in busy:
        pool.give(A, held)
    await settle()
    assert [held.ended.is_set() for held in busy] == [True, False]
    assert await waiting[1] is busy[1]
    for task in waiting:
        task.cancel()


def test_folders_of_killed_actors_are_removed(tmp_path: Path) -> None:
    """A new actor removes the folder of a dead actor, but not that of a running or new one."""
    left, new, other, held = (tmp_path / name for name in (f"{PREFIX}left", f"{PREFIX}new", "other", f"{PREFIX}held"))
    for folder in (left, new, other, held):
        (folder / "runs").mkdir(parents=True)
    with Lock(held):
        for folder in (left, other, held):
            os.utime(folder, (0, time.time() - NEW_SECONDS - 1))
        sweep(tmp_path)
        assert sorted(tmp_path.iterdir()) == sorted([new, other, held])
