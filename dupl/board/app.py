"""The board as a web application: which address shows which page."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from dupl.board.board import Board, Rendered
from dupl.board.guard import Guard
from dupl.board.template import board_script
from dupl.errors import RunError, UserError
from dupl.report.pages.html import page_script, plotly_script

LASTING = {"cache-control": "private, max-age=3600"}


def build_app(board: Board, token: str) -> Guard:
    """Return the application.

    Args:
        board: Renders the pages.
        token: First part of every path.
    """
    scripts = {"plotly.js": plotly_script, "page.js": page_script, "board.js": board_script}
    kept: dict[str, str] = {}

    async def asset(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in scripts:
            return PlainTextResponse("not found\n", 404)
        if name not in kept:
            kept[name] = await run_in_threadpool(scripts[name])
        headers = LASTING if name == "plotly.js" else None
        return Response(kept[name], media_type="text/javascript", headers=headers)

    async def sheet(request: Request) -> Response:
        name, iteration = request.path_params["name"], request.path_params["iteration"]
        try:
            found = await run_in_threadpool(board.sheet, name, iteration)
        except UserError as error:
            return PlainTextResponse(f"{error}\n", 404)
        return Response(found, media_type="image/webp", headers={"cache-control": "private, max-age=60"})

    def named(page: Callable[[str], Rendered]) -> Callable[[Request], Rendered]:
        return lambda request: page(request.path_params["name"])

    pages: dict[str, Callable[[Request], Rendered]] = {
        "/": lambda request: board.runs(),
        "/compare": lambda request: board.compare(request.query_params.getlist("run")),
        "/runs/{name:path}": named(board.run),
        "/plans/{name:path}": named(board.plan),
        "/tables/{name:path}": named(board.table),
        "/sweeps/{name:path}": named(board.sweep),
    }
    routes = [Route(path, _shown(board, page)) for path, page in pages.items()]
    routes += [Route("/assets/{name}", asset), Route("/sheets/{iteration:int}/{name:path}", sheet)]
    return Guard(Starlette(routes=routes), token)


def _shown(board: Board, page: Callable[[Request], Rendered]) -> Callable[[Request], object]:
    """Return what answers with a page, or with 304 where the browser has this state of it."""

    async def answer(request: Request) -> Response:
        try:
            rendered = await run_in_threadpool(page, request)
        except (UserError, RunError) as error:
            return _html(board.message(str(error)), 404)
        if request.headers.get("if-none-match") == rendered.tag:
            return Response(status_code=304, headers={"etag": rendered.tag})
        return _html(rendered.text, 200, {"etag": rendered.tag})

    return answer


def _html(text: str, status: int, headers: Mapping[str, str] | None = None) -> Response:
    """Return a page; names of files that are no text stand in it with replaced letters."""
    return Response(text.encode(errors="replace"), status, headers, "text/html")
