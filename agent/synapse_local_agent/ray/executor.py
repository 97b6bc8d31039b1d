"""The executor that runs jobs on a Ray cluster, through a gateway process that is restarted if it is lost."""

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
"""The next gateway truncates a larger log file."""
LOST = ("", "failed", f"the gateway ended unexpectedly, see {LOG_FILE} in the data folder")
CONNECT_SECONDS = 60.0
LONGEST_PAUSE = 5.0
"""Maximum seconds between two attempts to reconnect."""
ENDING_SECONDS = 20.0


class ClusterError(Exception):
    """The cluster cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class OnRay:
    """Makes an executor that runs actions on a Ray cluster.

    Args:
        address: `auto` for the cluster of this machine, `host:port` or `ray://host:port` for another one, or `local`
            to start one here, which ends with the agent.
    """

    address: str = "auto"

    def __call__(self, data: Path, variables: Mapping[str, str], limits: Limits) -> RayExecutor:
        """Make the executor."""
        if importlib.util.find_spec("ray") is None:
            msg = "Ray is not installed: pip install 'synapse-agent-sdk[ray]'"
            raise ClusterError(msg)
        return RayExecutor(self.address, data, variables, limits)


class RayExecutor:
    """Runs jobs on a cluster. While the cluster is unreachable, it rejects runs and keeps reconnecting."""

    def __init__(self, address: str, data: Path, variables: Mapping[str, str], limits: Limits) -> None:
        self._address = address
        self._log = data / LOG_FILE
        self._scratch = data / "gateway"
        self._variables = {**variables, "RAY_USAGE_STATS_ENABLED": "0"}
        self._limits = limits
        self._link: Channel | None = None
        self._why = "not connected yet"
        self._waiting: dict[str, asyncio.Queue[tuple[str, Any]]] = {}
        self._keeper: asyncio.Task[None] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Connect to the cluster, and stay connected."""
        link = await self._connect()
        if link is None:
            msg = f"Cannot reach a Ray cluster at {self._address}: {self._why}"
            raise ClusterError(msg)
        self._keeper = asyncio.create_task(self._keep(link))

    async def run(self, job: Job, run: Run, on_start: OnStart) -> Outcome:
        """Run a job on an actor in the cluster."""
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
                        if not has_started:  # otherwise this is a retry
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
                link.send("cancel", run.name, Outcome(error_type="action_crashed", detail="The run was abandoned."))

    def cancel(self, name: str, outcome: Outcome) -> None:
        """End a run with all of its processes."""
        if self._link is not None and name in self._waiting:
            self._link.send("cancel", name, outcome)

    def forget(self, digest: str) -> None:
        """End the idle actors of a deleted release."""
        if self._link is not None:
            self._link.send("forget", digest, None)

    async def stop(self) -> None:
        """End all actors and the gateway."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        await self._end()

    async def _keep(self, link: Channel) -> None:
        """Dispatch messages from the gateway, and start a new gateway when it is lost."""
        pause = 0.0
        while True:
            self._link = link
            while message := await link.receive():
                name, what, value = message
                if name in self._waiting:
                    self._waiting[name].put_nowait((what, value))
            self._link = None
            link.close()
            self._why = "the connection was lost"
            LOG.warning("Lost the Ray cluster at %s: runs are rejected until it is back", self._address)
            for told in self._waiting.values():
                told.put_nowait(
                    ("unavailable", (f"The connection to the Ray cluster at {self._address} was lost.", None))
                )
            await self._end()
            while (found := await self._try()) is None:
                pause = min(max(2 * pause, 0.5), LONGEST_PAUSE)
                await asyncio.sleep(pause)
            pause = 0.0
            LOG.warning("The Ray cluster at %s is back", self._address)
            link = found

    async def _try(self) -> Channel | None:
        """Connect; return None if that fails, also if the gateway cannot be started."""
        try:
            return await self._connect()
        except OSError as error:
            self._why = f"the gateway cannot be started: {error}"
            LOG.warning("Cannot start the gateway to Ray: %s", error)
            return None

    async def _connect(self) -> Channel | None:
        """Start a gateway, and wait until it has connected to the cluster; return None if it fails."""
        await asyncio.to_thread(remove, self._scratch)
        self._scratch.mkdir(mode=MODE)
        ours, theirs = socket.socketpair()
        with theirs, self._log.open("ab") as output:
            if output.tell() > LOG_BYTES:
                output.truncate(0)
            self._process = subprocess.Popen(  # noqa: S603, ASYNC220 - our own program, starts in a millisecond
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
            self._why = f"no response within {CONNECT_SECONDS:g} s"
        finally:
            if what != "ready":
                link.close()
                await self._end(0 if what == "" else ENDING_SECONDS)
        return link if what == "ready" else None

    async def _end(self, timeout: float = ENDING_SECONDS) -> None:
        """End the gateway, and wait until it is gone; kill it after the timeout."""
        if self._link is not None:
            self._link.close()
            self._link = None
        process = self._process
        if process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(process.wait, timeout)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with a local cluster that did not end
            process.wait()


def _append(run: Run, data: bytes) -> None:
    run.folder.mkdir(mode=MODE, exist_ok=True)
    with run.log.open("ab") as file:
        file.write(data)
