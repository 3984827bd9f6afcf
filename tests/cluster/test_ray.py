"""Runs on a Ray cluster of several nodes, which are processes of this machine, one of which is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

pytest.importorskip("ray", reason='Ray is not installed: pip install ".[ray]"')


class Cluster:
    """A head without cores, and nodes that run tasks."""

    def __init__(self, folder: Path, port: int, until) -> None:
        self.folder, self.address, self.until = folder, f"127.0.0.1:{port}", until
        self.env = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_TMPDIR": str(folder)}
        self.run("--head", f"--port={port}", "--num-cpus=0", "--include-dashboard=false")

    def run(self, *words: str) -> None:
        small = ["--object-store-memory=100000000", "--node-ip-address=127.0.0.1", "--disable-usage-stats"]
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", *small, *words]
        with open(self.folder / "output", "ab") as file:
            subprocess.run(command, env=self.env, check=True, stdout=file, stderr=file, timeout=120)

    def raylets(self) -> list[int]:
        found = []
        for one in psutil.process_iter(["name", "cmdline"]):
            words = one.info["cmdline"] or [""]
            if words[0].endswith("raylet") and self.address.rpartition(":")[2] in " ".join(words):
                found.append(one.pid)
        return sorted(found)

    def add_node(self) -> int:
        """Start a node, and return its raylet."""
        before = self.raylets()
        self.run(f"--address={self.address}", "--num-cpus=2")
        self.until(lambda: set(self.raylets()) - set(before))
        return (set(self.raylets()) - set(before)).pop()

    def close(self) -> None:
        for one in psutil.process_iter(["cmdline"]):
            if str(self.folder) in " ".join(one.info["cmdline"] or []) or one.pid in self.raylets():
                one.kill()


@pytest.fixture(scope="module")
def cluster(wait_for):
    import socket
    import tempfile

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="ray") as folder:  # short: sockets have short names
        made = Cluster(Path(folder), port, wait_for)
        yield made
        made.close()


def test_a_node_that_is_killed_costs_no_attempt(cluster, store, loop, wait):
    raylet = cluster.add_node()
    started = loop([store.job("a", iterations=40, pace=0.2)], "ray", address=cluster.address, jobs=1, retries=0, ttl=5)
    wait(lambda: "a 3" in store.lines(), 120)
    os.kill(raylet, signal.SIGKILL)
    time.sleep(3)
    cluster.add_node()
    said = started.told(240)
    assert said["states"]["a"][0] == "finished", (said, started.errors.read_text()[-500:])
    assert [error for error in said["states"]["a"][1] if "Ray lost the run" in error]
