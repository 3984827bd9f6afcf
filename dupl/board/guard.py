"""Let in only who was given the address of the board: by host, token and method, with headers for every answer."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

HOSTS = ("127.0.0.1", "localhost")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",  # the token is in the address
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "x-frame-options": "DENY",
    "cache-control": "private, no-cache",
}


class Guard:
    """Answer requests of the board's own pages alone, and add `HEADERS` to every answer.

    A page of another site could reach a server of this machine under a name of its own; so the host must be one of
    `HOSTS`. A user of the same machine could reach it too; so the first part of the path must be the token.

    Args:
        app: Receives the requests that are let in, without the token in their path.
        token: A secret.
    """

    def __init__(self, app: App, token: str) -> None:
        self.app, self.token = app, token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":  # the board has no websockets
            return None

        async def dressed(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                given = {name for name, _ in message.get("headers", ())}
                more = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*message.get("headers", ()), *(p for p in more if p[0] not in given)]}
            await send(message)

        if refusal := self._refusal(scope):
            return await _answer(dressed, *refusal)
        _, token, rest = scope["path"].split("/", 2)
        inner = {**scope, "path": f"/{rest}", "root_path": f"/{token}"}
        inner.pop("raw_path", None)
        return await self.app(inner, receive, dressed)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Return status and text of the answer to a request that is not let in; None where it is."""
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or hosts[0].rsplit(":", 1)[0] not in HOSTS:
            return 400, "the board answers to 127.0.0.1 and localhost only"
        parts = scope["path"].split("/", 2)
        if len(parts) < 3 or not secrets.compare_digest(parts[1].encode(errors="replace"), self.token):
            return 404, "not found: open the address that dupl board printed"
        if scope["method"] not in ("GET", "HEAD"):
            return 405, "the board is read-only"
        return None


async def _answer(send: Send, status: int, text: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": f"{text}\n".encode()})
