"""A process for actions, started as `python -P -B -X utf8 __main__.py FD`.

It parts into two: the worker, which runs actions, one at a time, in a process group of its own; and above it the guard,
which runs nothing of the plugin's and ends all that came of the worker as soon as the worker ends or the agent is gone.

Over the socket at FD the agent sends jobs: a number, a length (8 bytes each, big-endian) and JSON. The worker answers
`R` and the number once it is ready, and runs nothing of the plugin's before the agent sends `G` and the number. Its
answer is the number, whether there is a result (1 byte), whether the process can take another job (1 byte), a length
and JSON: the result, or how the action failed. `processes.Process` is the other end.
"""

from __future__ import annotations

import importlib
import os
import sys

if __name__ == "__main__":
    # Below a name of its own, so that no module here stands in the place of one of a plugin's.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120 - pathlib takes time to import
    guard = importlib.import_module("synapse_worker.guard")
    sys.path.pop()
    guard.main(int(sys.argv[1]))
