"""Runs on a Ray cluster of several nodes, which are processes of this machine, some of which are killed."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import psutil
import pytest

pytest.importorskip("ray", reason='Ray is not installed: pip install ".[ray]"')


class Cluster:
    """A head, and nodes that run tasks; its token is in the environment."""

    def __init__(self, folder: Path, port: int, until) -> None:
        self.folder, self.port, self.address, self.until = folder, port, f"127.0.0.1:{port}", until
        self.env = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_TMPDIR": str(folder)}

    def start_head(self, cpus: int = 0) -> int:
        """Start the head, and return its raylet."""
        return self.start("--head", f"--port={self.port}", f"--num-cpus={cpus}", "--include-dashboard=false")

    def add_node(self) -> int:
        """Start a node, and return its raylet."""
        return self.start(f"--address={self.address}", "--num-cpus=2")

    def start(self, *words: str) -> int:
        before = self.raylets()
        small = ["--object-store-memory=100000000", "--node-ip-address=127.0.0.1", "--disable-usage-stats"]
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", *small, *words]
        with open(self.folder / "output", "w+b") as file:
            code = subprocess.run(command, env=self.env, stdout=file, stderr=file, timeout=120).returncode
            file.seek(0)
            assert code == 0, file.read().decode()[-2000:]
        self.until(lambda: set(self.raylets()) - set(before))
        return (set(self.raylets()) - set(before)).pop()

    def raylets(self) -> list[int]:
        found = []
        for one in psutil.process_iter(["name", "cmdline"]):
            words = one.info["cmdline"] or [""]
            if words[0].endswith("raylet") and str(self.port) in " ".join(words):
                found.append(one.pid)
        return sorted(found)

    def close(self) -> None:
        for one in psutil.process_iter(["cmdline"]):
            if str(self.folder) in " ".join(one.info["cmdline"] or []) or one.pid in self.raylets():
                one.kill()


@pytest.fixture
def cluster(wait_for, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "token")  # else a head makes a token that other nodes do not have
    monkeypatch.setenv("RAY_AUTH_TOKEN", uuid.uuid4().hex)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="ray") as folder:  # short: sockets have short names
        made = Cluster(Path(folder), port, wait_for)
        yield made
        made.close()


def test_a_node_that_is_killed_costs_no_attempt(cluster, store, loop, wait):
    cluster.start_head()
    raylet = cluster.add_node()
    started = loop([store.job("a", iterations=40, pace=0.2)], "ray", address=cluster.address, jobs=1, retries=0, ttl=5)
    wait(lambda: "a 3" in store.lines(), 120)
    os.kill(raylet, signal.SIGKILL)
    time.sleep(3)
    cluster.add_node()
    said = started.told(240)
    assert said["states"]["a"][0] == "finished", (said, started.errors.read_text()[-500:])
    assert [error for error in said["states"]["a"][1] if "Ray lost the run" in error]


def test_a_head_whose_raylet_is_killed_is_named_and_costs_no_attempt(cluster, store, loop, wait):
    raylet = cluster.start_head(cpus=2)
    job = store.job("a", iterations=60, pace=0.2)
    started = loop([job], "ray", address=cluster.address, jobs=1, retries=0, ttl=5, patience=12)
    wait(lambda: "a 3" in store.lines(), 120)
    os.kill(raylet, signal.SIGKILL)
    said = started.told(240)
    state, errors, _ = said["states"]["a"]
    assert state == "failed" and len(errors) > 1, "attempts that Ray lost were counted as the run's"
    assert all(error.startswith("Ray lost the run (") for error in errors), errors
    assert any("trying again until 12 s have passed" in note for note in said["notes"]["a"])
    again = store.start([job], "local", ttl=5, retries=0)
    assert json.loads(again.communicate(timeout=120)[0].splitlines()[-1])["states"]["a"][0] == "finished"
    assert {line for line in store.lines() if line.split()[1].isdigit()} == {f"a {i}" for i in range(1, 61)}
