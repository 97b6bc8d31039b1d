"""Run a program in a pseudo-terminal and read its screen."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from typing import TYPE_CHECKING, Self

import pyte

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

# Make the terminal the controlling one, so that Ctrl-C reaches the program.
START = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
SECONDS = 120
"""A safety limit: nothing takes this long."""


class Screen:
    """A terminal with 40 lines, and the output of a program in it."""

    def __init__(self, columns: int = 100) -> None:
        self.screen = pyte.Screen(columns, 40)
        self.raw = b""
        self.code = -1  # set by the code that ran in `attached`
        self._stream = pyte.ByteStream(self.screen)
        self._master, self._slave = pty.openpty()
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))

    @property
    def text(self) -> str:
        """The text on the screen, without trailing empty lines."""
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip()

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._master, keys.encode())

    def _read(self, end: float) -> bool:
        """Read available output; False at end of file or on timeout."""
        ready, _, _ = select.select([self._master], [], [], max(0.0, end - time.monotonic()))
        if not ready:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:  # on Linux, once the other side is closed
            return False
        self.raw += data
        self._stream.feed(data)
        return bool(data)

    @contextlib.contextmanager
    def attached(
        self, stdout: int | None = None, when: Mapping[str, Callable[[Self], object]] | None = None
    ) -> Iterator[None]:
        """Connect this process to the terminal for a block; `when` maps text to a callback for when it is shown."""
        waiting = dict(when or {})

        def watch() -> None:
            while self._read(time.monotonic() + SECONDS):
                for text in [text for text in waiting if text in self.text]:
                    waiting.pop(text)(self)

        watcher = threading.Thread(target=watch)
        watcher.start()
        before, streams = (os.dup(1), os.dup(2)), (sys.stdin, sys.stdout, sys.stderr)
        os.dup2(self._slave if stdout is None else stdout, 1)
        os.dup2(self._slave, 2)
        sys.stdin = os.fdopen(self._slave, encoding="utf-8")  # not as fd 0, which the C library would buffer
        sys.stdout, sys.stderr = (os.fdopen(number, "w", encoding="utf-8", closefd=False) for number in (1, 2))
        try:
            yield
        finally:
            for stream in (sys.stdout, sys.stderr, sys.stdin):
                stream.close()
            sys.stdin, sys.stdout, sys.stderr = streams
            for number, old in enumerate(before, start=1):
                os.dup2(old, number)
                os.close(old)
            watcher.join()
            os.close(self._master)


class Terminal(Screen):
    """A program in its own terminal; a context manager that leaves nothing running."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], *, columns: int = 100) -> None:
        super().__init__(columns)
        self.process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-c", START, *command],
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            env={"TERM": "xterm-256color", **environment},
            start_new_session=True,
        )
        os.close(self._slave)

    def until(self, shown: str) -> None:
        """Wait until the screen shows a string."""
        end = time.monotonic() + SECONDS
        while shown not in self.text:
            assert self._read(end), f"never shown: {shown!r}\n{self.text}"

    def wait(self) -> int:
        """Wait for the program to exit, and return its exit code."""
        self._drain(SECONDS)
        return self.process.wait(timeout=SECONDS)

    def _drain(self, seconds: float) -> bool:
        """Read until the program exits; False on timeout."""
        end = time.monotonic() + seconds
        while self._read(end):
            pass
        return time.monotonic() < end

    def interrupt(self) -> int:
        """Press Ctrl-C, wait for the program to exit, and return its exit code.

        Press it again after a while: a signal between Python's last check for signals and a blocking system call does
        not interrupt that call.
        """
        self.type("\x03")
        while not self._drain(SECONDS / 6):
            self.type("\x03")
        return self.process.wait(timeout=SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self._master)
