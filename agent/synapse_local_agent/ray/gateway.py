"""The gateway: a process beside the agent that is Ray's driver and hands jobs to actors.

It is a separate process because Ray kills a driver that has lost its cluster. The agent then starts a new gateway,
which connects when the cluster is back. It is started as `python -m synapse_local_agent.ray.gateway FD ADDRESS SCRATCH`
and ends when the agent closes its end of FD.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray

from synapse_local_agent.errors import RequirementsError, UnavailableError
from synapse_local_agent.ray import packages, placement
from synapse_local_agent.ray.actor import CHUNK, Actor
from synapse_local_agent.ray.actors import ENDING_SECONDS, ActorHandle, Actors
from synapse_local_agent.ray.channel import Channel
from synapse_local_agent.releases import plugin_files
from synapse_local_agent.runs.model import Outcome

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from synapse_local_agent.limits import Limits
    from synapse_local_agent.ray.placement import Placement
    from synapse_local_agent.runs.model import Job

LOG = logging.getLogger(__name__)
LOG_SECONDS = 0.5
"""How often the log of a run is fetched."""
PULSE_SECONDS = 1.0
PULSE_LIMIT = 5.0
"""How long the head may take to respond before it counts as lost."""
TRIES = 5
"""Maximum number of actors that are tried for a run if they die before it begins."""


@dataclass(slots=True)
class Running:
    """A running job: its task and actor, and its outcome if it was cancelled."""

    task: asyncio.Task[None]
    may_start: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the agent has recorded the start, after which the job must not be repeated."""
    held: ActorHandle | None = None
    """The actor that runs the job."""
    forced_outcome: Outcome | None = None
    ending: asyncio.TimerHandle | None = field(default=None, repr=False)


class Gateway:
    """Hands jobs to actors, and sends their outcomes to the agent."""

    def __init__(self, link: Channel, limits: Limits, scratch: Path) -> None:
        self._link = link
        self._limits = limits
        self._scratch = scratch
        self._actors = Actors(limits)
        self._running: dict[str, Running] = {}
        self._actor_class = ray.remote(Actor)

    async def serve(self) -> None:
        """Handle messages from the agent until it closes the channel."""
        self._link.send("", "ready", None)
        while message := await self._link.receive():
            what, name, value = message
            if what == "run":
                self._running[name] = Running(asyncio.create_task(self._run(name, value)))
            elif what == "cancel":
                # A task that is cancelled before its first step would never send its outcome.
                asyncio.get_running_loop().call_soon(self._cancel, name, value)
            elif what == "start" and name in self._running:
                self._running[name].may_start.set()
            elif what == "forget":
                self._actors.forget(name)
        left = [running.task for running in self._running.values()]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self._actors.close()

    def _cancel(self, name: str, outcome: Outcome) -> None:
        running = self._running.get(name)
        if running is None or running.forced_outcome is not None:
            return
        running.forced_outcome = outcome
        if running.held is None:
            running.task.cancel()
        else:
            running.held.handle.cancel.remote(name, outcome)
            # Do not wait for a node that does not respond.
            running.ending = asyncio.get_running_loop().call_later(ENDING_SECONDS, running.task.cancel)

    async def _run(self, name: str, job: Job) -> None:
        """Run a job, and send its outcome to the agent."""
        running = self._running[name]
        try:
            self._link.send(name, "outcome", await self._outcome(name, job, running))
        except asyncio.CancelledError:
            if running.forced_outcome is None:
                raise
            self._link.send(name, "outcome", running.forced_outcome)
        except RequirementsError as error:
            self._link.send(name, "requirements", (str(error),))
        except UnavailableError as error:
            self._link.send(name, "unavailable", (str(error), error.error_type))
        except Exception as error:  # any error from Ray must reach the agent
            LOG.exception("The run %s failed", name)
            self._link.send(name, "unavailable", (f"Ray cannot run the action: {error!s:.1000}", None))
        finally:
            if running.ending is not None:
                running.ending.cancel()
            del self._running[name]

    async def _outcome(self, name: str, job: Job, running: Running) -> Outcome:
        """Run a job; retry it if its process or node dies and its config allows retries."""
        placed = placement.placement(job)
        digest = job.digest
        if job.sources is not None and digest is None:
            digest = await asyncio.to_thread(plugin_files.digest, job.sources)
        # Actors are reused even for runs without a release, though each such run gets a new process.
        kind = (digest, tuple(map(str, job.requirements)), repr(placed))

        def take() -> Awaitable[ActorHandle]:
            return self._actors.take(kind, lambda: self._new(job, placed, digest), lambda: self._has_room(placed))

        for tries_left in range(placed.max_retries, -1, -1):
            held = await self._ready(name, job, take)
            try:
                self._link.send(name, "started", None)
                await running.may_start.wait()
            except asyncio.CancelledError:
                self._actors.end(held)
                raise
            outcome = await self._attempt(name, running, held)
            has_died = outcome.exit is not None or not held.is_waiting
            if running.forced_outcome is None and held.is_waiting:
                self._actors.give(kind, held)
            else:
                self._actors.end(held)
            if running.forced_outcome is not None or not has_died:
                break
            if tries_left:
                self._log(name, f"{outcome.detail} Retrying, at most {tries_left} more times.\n".encode())
        return running.forced_outcome or outcome

    async def _ready(self, name: str, job: Job, take: Callable[[], Awaitable[ActorHandle]]) -> ActorHandle:
        """Get an actor that is ready for a job. None of the job has run by then, so a lost actor is replaced."""
        # Ray puts large arguments into its object store itself. The requirements are already met, and nodes may have
        # another version of the library that unpickles them.
        job = replace(job, requirements=())
        for tries_left in reversed(range(TRIES)):
            held = await take()
            try:
                failure = await held.handle.offer.remote(job, name)
            except ray.exceptions.RayError as error:
                LOG.info("An actor was lost before the run %s began: %s", name, error)
                held.is_waiting = False
                self._actors.end(held)
                if not tries_left:
                    msg = f"Actors on the Ray cluster died before the action began: {_last_lines(str(error))}"
                    raise UnavailableError(msg) from None
            except BaseException:
                self._actors.end(held)
                raise
            else:
                if failure is None:
                    return held
                self._actors.end(held)
                raise UnavailableError(failure)
        raise AssertionError  # the last attempt returned or raised

    async def _attempt(self, name: str, running: Running, held: ActorHandle) -> Outcome:
        """Run the job on an actor that is ready for it, and forward its log."""
        running.held = held
        answer = asyncio.ensure_future(held.handle.go.remote())
        try:
            pause = LOG_SECONDS
            while not (await asyncio.wait([answer], timeout=pause))[0]:
                log = await held.handle.read_log.remote(name)
                self._log(name, log)
                pause = 0 if len(log) == CHUNK else LOG_SECONDS
            outcome: Outcome
            outcome, log = await answer
            self._log(name, log)
        except ray.exceptions.RayError as error:
            LOG.info("The run %s lost its actor: %s", name, error)
            held.is_waiting = False
            return Outcome(error_type="action_crashed", detail=_loss(error))
        except BaseException:
            self._actors.end(held)
            raise
        finally:
            running.held = None
            answer.cancel()
        return outcome

    def _log(self, name: str, log: bytes) -> None:
        if log:
            self._link.send(name, "log", log)

    async def _new(self, job: Job, placed: Placement, digest: str | None) -> ActorHandle:
        """Create an actor; wait until there is room for it."""
        nodes = [node["Resources"] for node in await asyncio.to_thread(ray.nodes) if node["Alive"]]
        placement.check(placed, nodes)
        runtime_env = dict(placed.runtime_env)
        if job.sources is not None:
            runtime_env["working_dir"] = await asyncio.to_thread(
                packages.upload, job.sources, str(digest), self._scratch
            )
        for tries_left in reversed(range(TRIES)):
            held = self._ask(placed, runtime_env)
            try:
                await held.handle.start.remote()
            except ray.exceptions.RuntimeEnvSetupError as error:
                ray.kill(held.handle)
                raise RequirementsError(_last_lines(str(error))) from None
            except ray.exceptions.RayError as error:  # the node is gone, or was already gone when it was chosen
                LOG.info("An actor died before its first use: %s", error)
                ray.kill(held.handle)
                if not tries_left:
                    msg = f"Actors on the Ray cluster died before their first use: {_last_lines(str(error))}"
                    raise UnavailableError(msg) from None
                await asyncio.sleep(PULSE_SECONDS)
            except BaseException:
                ray.kill(held.handle)
                raise
            else:
                return held
        raise AssertionError  # the last attempt returned or raised

    async def _has_room(self, placed: Placement) -> bool:
        """Whether the free resources of all nodes together are enough for a placement."""
        free = await asyncio.to_thread(ray.available_resources)
        return placement.fits(placed, free)

    def _ask(self, placed: Placement, runtime_env: dict[str, Any]) -> ActorHandle:
        """Request an actor from Ray, which creates it when there is room."""
        amounts = dict(placed.resources)
        options = {
            "num_cpus": amounts.pop("CPU"),
            "num_gpus": amounts.pop("GPU", None),
            "memory": amounts.pop("memory", None),
            "resources": amounts,
            "runtime_env": runtime_env,
        }
        try:
            actor_class = self._actor_class.options(**options)
        except (TypeError, ValueError) as error:
            msg = f"Ray rejected the plugin's config: {error}"
            raise RequirementsError(msg) from None
        return ActorHandle(actor_class.remote(self._limits))


def _loss(error: ray.exceptions.RayError) -> str:
    """A message about a run that lost its actor."""
    if isinstance(error, ray.exceptions.OutOfMemoryError):
        return f"Ray killed the action because its node ran out of memory: {_last_lines(str(error))}"
    return f"The node or process that ran the action died: {_last_lines(str(error))}"


def _last_lines(text: str) -> str:
    return "\n".join(line for line in text.strip().splitlines()[-20:])[-2000:]


def reach(address: str) -> None:
    """Raise an OSError if nothing listens at an address; Ray itself would wait for a long time."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), PULSE_LIMIT).close()


async def heartbeat() -> None:
    """Return once the head of the cluster is lost."""
    own = ThreadPoolExecutor(1)  # separate, so that uploads cannot delay it
    while True:
        await asyncio.sleep(PULSE_SECONDS)
        try:
            await asyncio.wait_for(asyncio.get_running_loop().run_in_executor(own, ray.nodes), PULSE_LIMIT)
        except Exception as error:  # noqa: BLE001 - on any error the cluster is lost
            LOG.warning("The head of the cluster does not respond: %s", str(error) or type(error).__name__)
            return


async def main(end: socket.socket, address: str, scratch: Path) -> None:
    """Connect to the cluster, and serve the agent until it or the cluster is gone."""
    link = await Channel.over(end)
    hello = await link.receive()
    if hello is None:
        return
    (limits,) = hello
    package = str(Path(__file__).parents[1])
    try:
        reach(address)
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level=logging.WARNING,
            configure_logging=False,
            runtime_env={"py_modules": [package], "excludes": ["__pycache__"]},
        )
    except Exception as error:  # noqa: BLE001 - the agent reports it
        LOG.warning("Cannot connect to a cluster at %s: %s", address, error)
        link.send("", "failed", f"{error!s:.1000} (ray.log in the data folder may say more)")
        await asyncio.sleep(0.1)
        return
    serving = asyncio.create_task(Gateway(link, limits, scratch).serve())
    lost = asyncio.create_task(heartbeat())
    await asyncio.wait([serving, lost], return_when=asyncio.FIRST_COMPLETED)
    if lost.done():
        os._exit(1)  # Ray's shutdown may wait for the lost cluster for a minute
    ray.shutdown()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    asyncio.run(main(socket.socket(fileno=int(sys.argv[1])), sys.argv[2], Path(sys.argv[3])))
