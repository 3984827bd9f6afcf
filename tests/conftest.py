"""Every test runs without the network, and on one thread: parallel workers must not fight over cores."""

import os
import socket

import pytest
from hypothesis import settings

# Before torch or a hub client is imported, and inherited by every command that a test starts.
os.environ.update(HF_HUB_OFFLINE="1", WANDB_MODE="offline", MPLBACKEND="Agg", OMP_NUM_THREADS="1")

settings.register_profile("dupl", deadline=None, derandomize=True, database=None)
settings.load_profile("dupl")


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Only this machine may be reached."""
    connect = socket.socket.connect

    def guarded(self, address):
        local = self.family == socket.AF_UNIX or address[0].startswith(("localhost", "127.", "::1"))
        if not local:
            raise RuntimeError(f"a test tried to reach {address[0]}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)
