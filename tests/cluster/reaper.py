"""Kill the daemons of tests when these end, also by SIGKILL: ``reaper.py MARK`` waits for the end of its input.

Daemons leave the process group of what started them, but keep the mark in their environment.
"""

import os
import signal
import sys
import time
from contextlib import suppress

from dupl import process

VARIABLE = "DUPL_CLUSTER_MARK"

if __name__ == "__main__":
    sys.stdin.buffer.read()
    for _ in range(20):  # some start others again
        for pid in (found := list(process.marked(VARIABLE, sys.argv[1]))):
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        if not found:
            break
        time.sleep(0.2)
