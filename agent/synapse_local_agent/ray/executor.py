"""Running jobs on a Ray cluster, as the agent sees it: a gateway that may be lost, and comes back."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from synapse_local_agent.errors import RequirementsError, UnavailableError
from synapse_local_agent.files import remove
from synapse_local_agent.processes.run_folders import MODE
from synapse_local_agent.ray.channel import Channel
from synapse_local_agent.runs.model import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from synapse_local_agent.limits import Limits
    from synapse_local_agent.runs.executor import OnStart
    from synapse_local_agent.runs.model import Job, Run

LOG = logging.getLogger(__name__)
GATEWAY = "synapse_local_agent.ray.gateway"
LOG_FILE = "ray.log"
LOG_BYTES = 10 * 2**20
"""A file that has grown larger is begun anew by the next gateway."""
LOST = ("", "failed", f"the gateway ended by itself, see {LOG_FILE} in the data folder")
CONNECT_SECONDS = 60.0
LONGEST_PAUSE = 5.0
"""Seconds between two attempts to reach a cluster that is gone."""
ENDING_SECONDS = 20.0


class ClusterError(Exception):
    """The cluster cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class OnRay:
    """Makes the executor of an agent that runs actions on a Ray cluster.

    Args:
        address: `auto` for the cluster that this machine belongs to, `host:port` or `ray://host:port` for another,
            or `local` for one that is started here and ends with the agent.
    """

    address: str = "auto"

    def __call__(self, data: Path, variables: Mapping[str, str], limits: Limits) -> RayExecutor:
        """Make it."""
        if importlib.util.find_spec("ray") is None:
            msg = "Ray is not installed: pip install 'synapse-agent-sdk[ray]'"
            raise ClusterError(msg)
        return RayExecutor(self.address, data, variables, limits)


class RayExecutor:
    """Runs jobs on a cluster. While that cannot be reached, what is asked for is refused, and tried again later."""

    def __init__(self, address: str, data: Path, variables: Mapping[str, str], limits: Limits) -> None:
        self._address = address
        self._log = data / LOG_FILE
        self._scratch = data / "gateway"
        self._variables = {**variables, "RAY_USAGE_STATS_ENABLED": "0"}
        self._limits = limits
        self._link: Channel | None = None
        self._why = "it was not reached yet"
        self._waiting: dict[str, asyncio.Queue[tuple[str, Any]]] = {}
        self._keeper: asyncio.Task[None] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Connect to the cluster, and stay connected."""
        link = await self._connect()
        if link is None:
            msg = f"There is no Ray cluster at {self._address}: {self._why}"
            raise ClusterError(msg)
        self._keeper = asyncio.create_task(self._keep(link))

    async def run(self, job: Job, run: Run, on_start: OnStart) -> Outcome:
        """Have a job run by an actor somewhere in the cluster."""
        if self._link is None:
            msg = f"The Ray cluster at {self._address} cannot be reached, try again later: {self._why}"
            raise UnavailableError(msg)
        link = self._link
        told = self._waiting[run.name] = asyncio.Queue()
        has_started, is_over = False, False
        link.send("run", run.name, job)
        try:
            while True:
                what, value = await told.get()
                is_over = what not in {"started", "log"}
                match what:
                    case "started":
                        if not has_started:  # otherwise it is repeated
                            await on_start()
                        has_started = True
                        link.send("start", run.name, None)
                    case "log":
                        _append(run, value)
                    case "outcome":
                        outcome: Outcome = value
                        return outcome
                    case "requirements" if not has_started:
                        raise RequirementsError(*value)
                    case "unavailable" if not has_started:
                        raise UnavailableError(*value)
                    case _:
                        return Outcome(error_type="action_crashed", detail=f"The run was lost. {value[0]}")
        finally:
            del self._waiting[run.name]
            if not is_over:
                link.send("cancel", run.name, Outcome(error_type="action_crashed", detail="The run was given up."))

    def cancel(self, name: str, outcome: Outcome) -> None:
        """End a run with all of its processes."""
        if self._link is not None and name in self._waiting:
            self._link.send("cancel", name, outcome)

    def forget(self, digest: str) -> None:
        """End the actors that are kept for a release which is gone."""
        if self._link is not None:
            self._link.send("forget", digest, None)

    async def stop(self) -> None:
        """End all actors, and the gateway."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        await self._end()

    async def _keep(self, link: Channel) -> None:
        """Pass on what the gateway tells, and start another one when it is gone."""
        pause = 0.0
        while True:
            self._link = link
            while message := await link.receive():
                name, what, value = message
                if name in self._waiting:
                    self._waiting[name].put_nowait((what, value))
            self._link = None
            link.close()
            self._why = "the connection to it was lost"
            LOG.warning("The Ray cluster at %s is lost: runs are refused until it is back", self._address)
            for told in self._waiting.values():
                told.put_nowait(("unavailable", (f"The Ray cluster at {self._address} was lost.", None)))
            await self._end()
            while (found := await self._try()) is None:
                pause = min(max(2 * pause, 0.5), LONGEST_PAUSE)
                await asyncio.sleep(pause)
            pause = 0.0
            LOG.warning("The Ray cluster at %s is back", self._address)
            link = found

    async def _try(self) -> Channel | None:
        """Connect, and take it as no connection where this machine has no room for a gateway."""
        try:
            return await self._connect()
        except OSError as error:
            self._why = f"its gateway cannot be started: {error}"
            LOG.warning("The gateway to Ray cannot be started: %s", error)
            return None

    async def _connect(self) -> Channel | None:
        """Start a gateway, and wait until it has reached the cluster; None where it does not."""
        await asyncio.to_thread(remove, self._scratch)
        self._scratch.mkdir(mode=MODE)
        ours, theirs = socket.socketpair()
        with theirs, self._log.open("ab") as output:
            if output.tell() > LOG_BYTES:
                output.truncate(0)
            self._process = subprocess.Popen(  # noqa: S603, ASYNC220 - our own program, started in a millisecond
                [sys.executable, "-m", GATEWAY, str(theirs.fileno()), self._address, self._scratch],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._variables,
                start_new_session=True,
            )
        link = await Channel.over(ours)
        link.send(self._limits)
        what = ""
        try:
            _, what, self._why = await asyncio.wait_for(link.receive(), CONNECT_SECONDS) or LOST
        except TimeoutError:
            self._why = f"it did not answer within {CONNECT_SECONDS:g} s"
        finally:
            if what != "ready":
                link.close()
                await self._end(0 if what == "" else ENDING_SECONDS)
        return link if what == "ready" else None

    async def _end(self, patience: float = ENDING_SECONDS) -> None:
        """End the gateway, and wait until it is gone; that long, before it is killed."""
        if self._link is not None:
            self._link.close()
            self._link = None
        process = self._process
        if process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(process.wait, patience)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with a cluster of its own, where that did not end
            process.wait()


def _append(run: Run, data: bytes) -> None:
    run.folder.mkdir(mode=MODE, exist_ok=True)
    with run.log.open("ab") as file:
        file.write(data)
