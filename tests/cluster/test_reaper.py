"""No daemon of these tests outlives them."""

import os
import subprocess
import sys
from pathlib import Path

from dupl import process

REAPER = Path(__file__).with_name("reaper.py")
HOLDER = """
import os, subprocess, sys
subprocess.Popen([sys.executable, sys.argv[1], "mark"], stdin=subprocess.PIPE, start_new_session=True)
daemon = ["setsid", "sleep", "600"]
print(subprocess.Popen(daemon, env={**os.environ, "DUPL_CLUSTER_MARK": "mark"}).pid, flush=True)
os.kill(os.getpid(), 9)
"""


def test_what_killed_tests_started_ends_with_them(wait):
    done = subprocess.run([sys.executable, "-c", HOLDER, str(REAPER)], stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == -9
    daemon = int(done.stdout)
    wait(lambda: not process.exists(daemon) and not list(process.marked("DUPL_CLUSTER_MARK", "mark")), 30)


def test_daemons_carry_the_mark():
    assert os.environ["DUPL_CLUSTER_MARK"]
