"""Serve the board on the loopback address of this machine."""

from __future__ import annotations

import importlib.util
import secrets
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

from dupl.board.board import Board, Sources
from dupl.board.site import Addresses
from dupl.board.store_view import StoreView
from dupl.errors import UserError
from dupl.runs.store import RunStore

HOST = "127.0.0.1"


def serve(store: RunStore, sources: Sources, port: int, begun: Callable[[str], None]) -> None:
    """Serve a store until Ctrl-C.

    Args:
        store: The store.
        sources: For plans and sweeps.
        port: The port; 0 takes a free one.
        begun: Called with the address to open.

    Raises:
        UserError: A package is missing, or the port is taken.
    """
    for package in ("starlette", "uvicorn"):
        if importlib.util.find_spec(package) is None:
            raise UserError(f'dupl board needs {package}: pip install ".[board]", or write a page by --static FILE')
    import uvicorn

    from dupl.board.app import build_app

    token = secrets.token_urlsafe(24)
    with _listen(port) as listener:
        root = f"/{token}/"
        board = Board(StoreView(store), Addresses(root, store.root), sources)
        app = build_app(board, token)
        threading.Thread(target=_read_ahead, args=[board], daemon=True).start()
        begun(f"http://{HOST}:{listener.getsockname()[1]}{root}")
        config = uvicorn.Config(
            app, log_level="error", access_log=False, server_header=False, lifespan="off", timeout_graceful_shutdown=2
        )
        uvicorn.Server(config).run(sockets=[listener])


def _read_ahead(board: Board) -> None:
    """Read the store and render its page while the browser is still starting; a request meets any error again."""
    with suppress(Exception):
        board.runs()


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except (OSError, OverflowError) as error:
        listener.close()
        raise UserError(f"port {port} of {HOST} cannot be used ({error}): give another one by --port, or 0") from None
    listener.listen()
    return listener
