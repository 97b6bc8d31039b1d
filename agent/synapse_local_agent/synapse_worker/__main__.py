"""A process for actions, started as `python -P -B -X utf8 __main__.py FD`.

It forks into two: the worker, which runs actions, one at a time, in its own process group, and its parent, the guard,
which runs no plugin code and ends all descendants as soon as the worker ends or the agent is gone.

Over the socket at FD the agent sends jobs: a number, a length (8 bytes each, big-endian) and JSON. The worker sends `R`
and the number when it is ready, and runs no plugin code before the agent sends `G` and the number. Its response is the
number, whether there is a result (1 byte), whether the process is reusable (1 byte), a length and JSON: the result or
the failure. `processes.workers.Process` is the other end.
"""

from __future__ import annotations

import importlib
import os
import sys

if __name__ == "__main__":
    # Imported as a package, so that no module here shadows one of a plugin.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120 - pathlib is slow to import
    guard = importlib.import_module("synapse_worker.guard")
    sys.path.pop()
    guard.main(int(sys.argv[1]))
