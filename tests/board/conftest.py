"""A store with runs of every state, one with a hostile name, and the board of it."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dupl.atomic import atomic_write
from dupl.errors import UserError

EVIL = 'x"><img src=q onerror=alert(1)>'


def make(folder: Path, seed: int, state: str = "finished", done: int = 20, seg: float = 50.0) -> Path:
    """Files of a run that was evaluated and has a gallery of two evaluations."""
    fingerprint = f"{seed:012x}"
    status = dict(state=state, fingerprint=fingerprint, seed=seed, iteration=done, iterations=20, command=[])
    status |= dict(created="2026-01-01T00:00:00+00:00", host="elsewhere", pid=1, seconds=10.0)
    atomic_write(folder / "status.json", json.dumps(status).encode())
    atomic_write(
        folder / "config.py", f"schedule = dict(lr=0.{seed + 1}, iterations=20)\nruntime = dict(seed=0)\n".encode()
    )
    rows = [
        {"iter": i, "loss": 2.0 / i, "seconds": 0.5, "seg/best/mIoU": seg, "quality/disagreement": 3.0}
        for i in (10, done)
    ]
    atomic_write(folder / "scalars.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())
    for iteration in (10, 20):
        sheet(folder, iteration)
    if state == "finished":
        facts = {"iter": 20, "protocol": "train", "metrics": {"seg/best/mIoU": seg, "cam/best/mIoU": 40.0}}
        atomic_write(folder / "evaluation" / "iter_000020" / "metrics.json", json.dumps(facts).encode())
        atomic_write(
            folder / "evaluation" / "iter_000020" / "per_class.csv", b"map,class,IoU,precision,recall,OA,pixels\n"
        )
    return folder


def sheet(folder: Path, iteration: int) -> None:
    """The pictures of an evaluation."""
    buffer = io.BytesIO()
    Image.fromarray(np.full((16, 32, 3), 10 * iteration % 255, np.uint8)).save(buffer, "WEBP")
    image = {"name": EVIL, "tags": [EVIL], "size": [16, 16], "filled": [True, True]}
    described = {"iter": iteration, "cell": 16, "legend": [{"text": EVIL, "swatch": "data:,"}], "images": [image]}
    described["columns"] = [{"kind": "Prediction", "student": 1}, {"kind": "Truth", "student": 0}]
    atomic_write(folder / "gallery" / f"iter_{iteration:06d}.webp", buffer.getvalue())
    atomic_write(folder / "gallery" / f"iter_{iteration:06d}.json", json.dumps(described).encode())


@pytest.fixture
def root(tmp_path):
    """The store."""
    runs = tmp_path / "runs"
    make(runs / "voc-a-000000000000", 0, seg=61.5)
    make(runs / "voc-b-000000000001", 1, seg=52.25)
    make(runs / "group" / "voc-c-000000000002", 2, state="running", done=15)
    make(runs / EVIL, 3, state="failed", done=10)
    (tmp_path / "secret.txt").write_text("secret")
    atomic_write(runs / ".plans" / "000000000000.rows.json", json.dumps([["table", "full"]]).encode())
    return runs


@pytest.fixture
def sources():
    """Plans and sweeps that cannot be shown."""
    from dupl.board.board import Sources

    def missing(name, tell):
        raise UserError(f"{name} is no plan here")

    return Sources(missing, missing, missing)


@pytest.fixture
def board(root, sources):
    """The pages of the store."""
    from dupl.board.board import Board
    from dupl.board.site import Addresses
    from dupl.board.store_view import StoreView
    from dupl.runs.store import RunStore

    return Board(StoreView(RunStore(root)), Addresses("/token/", root), sources)


@pytest.fixture
def ask(board):
    """Ask the application as a server would; returns status, headers and body."""
    pytest.importorskip("starlette")
    from dupl.board.app import build_app

    app = build_app(board, "token")

    def asked(path, method="GET", host="127.0.0.1:80", query="", **headers):
        given = [(b"host", host.encode())] if host is not None else []
        given += [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        scope = dict(type="http", method=method, path=path, raw_path=path.encode(), query_string=query.encode())
        scope |= dict(headers=given, root_path="", scheme="http", server=("127.0.0.1", 80), client=("127.0.0.1", 1))
        sent = []

        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message):
            sent.append(message)

        asyncio.run(app({**scope, "http_version": "1.1", "asgi": {"version": "3.0"}}, receive, send))
        found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return sent[0]["status"], found, b"".join(message.get("body", b"") for message in sent[1:])

    return asked
