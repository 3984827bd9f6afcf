"""Runs `dupl` commands in forks of one process that has imported all they need, asked for by lines of JSON.

Each command is a process and a session of its own, as from a shell, without the seconds that importing torch takes.
Nothing is computed in the server itself: autograd does not survive a fork.
"""

import json
import os
import sys
import time
import traceback

import matplotlib.pyplot  # noqa: F401
import sklearn.metrics  # noqa: F401

import dupl.engine.demo
import dupl.engine.infer
import dupl.engine.pictures
import dupl.engine.restore  # noqa: F401
from dupl.cli import main

dupl.engine.pictures.draw = lambda *_: []  # a second each; they have their own test


def serve() -> None:
    for line in sys.stdin:
        job = json.loads(line)
        answer = (os.fork() or run(job)) if "argv" in job else wait(job["pid"], job["timeout"])
        print(json.dumps(answer), flush=True)


def run(job: dict) -> None:
    """The child: a command with its own output, folder and environment."""
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for name, number in (("out", 1), ("err", 2)):
        os.dup2(os.open(job[name], os.O_CREAT | os.O_WRONLY | os.O_TRUNC), number)
    os.chdir(job["cwd"])
    os.environ.update(job["env"])
    sys.argv = ["dupl", *job["argv"]]
    try:
        code = main(job["argv"])
    except SystemExit as stop:
        code = stop.code
    except BaseException:
        traceback.print_exc()
        code = 99
    sys.exit(code)


def wait(pid: int, timeout: float) -> int | None:
    """The exit code, negative for a signal; None where the process is still there when time is up."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    return None


if __name__ == "__main__":
    serve()
