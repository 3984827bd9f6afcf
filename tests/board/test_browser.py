"""The board in a real browser: at two widths, in light and dark, without a mouse, and while runs go on."""

from __future__ import annotations

import json
import re
import threading
from urllib.parse import urlencode

import pytest

uvicorn = pytest.importorskip("uvicorn")
pytest.importorskip("starlette")

NAMES = ["voc-a-000000000000", "voc-b-000000000001"]
PAGES = {
    "list": "",
    "run": f"runs/{NAMES[0]}",
    "chosen": f"compare?{urlencode([('run', name) for name in NAMES])}",
    "message": "compare",
}


@pytest.fixture
def served(board):
    """Address of the board, served by uvicorn."""
    from dupl.board.app import build_app
    from dupl.board.serve import _listen

    with _listen(0) as listener:
        config = uvicorn.Config(build_app(board, "token"), log_level="error", lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/token/"
        server.should_exit = True
        thread.join(30)


@pytest.fixture
def visit(browser, served):
    """Open a page of the board; whatever it complains of fails the test."""
    complaints, contexts = [], []

    def opened(path="", width=1280, height=900, **options):
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        context.set_default_timeout(60_000)
        contexts.append(context)
        tab = context.new_page()
        tab.on("console", lambda m: None if "404" in m.text or "ERR_FAILED" in m.text else complaints.append(m.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
        tab.on("request", lambda r: None if r.url.startswith((served, "data:")) else complaints.append(r.url))
        tab.goto(served + path)
        return tab

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


def tab_to(tab, selector, most=40):
    """Press the tabulator key until an element has the focus."""
    for _ in range(most):
        if tab.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
        tab.keyboard.press("Tab")
    raise AssertionError(f"{selector} is not reached by the keyboard")


def names(tab):
    return tab.locator("#runs-table tbody a").all_text_contents()


@pytest.mark.parametrize("page", PAGES)
def test_fits_and_can_be_read_by_everybody(visit, page):
    Axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe
    for width, height, scheme in ((1280, 900, "light"), (390, 844, "dark")):
        tab = visit(PAGES[page], width, height, color_scheme=scheme)
        tab.wait_for_load_state("networkidle")
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing is cut off at the side"
        assert tab.locator("h1").count() == 1
        found = [
            (rule["id"], rule["impact"], rule["nodes"][0]["html"]) for rule in Axe().run(tab).response["violations"]
        ]
        assert [one for one in found if one[1] in ("serious", "critical")] == []


def test_without_a_mouse(visit, until):
    tab = visit()
    tab_to(tab, "#filter")
    tab.keyboard.type("voc table: full")
    assert names(tab) == [NAMES[0]]
    assert tab.locator("#shown").text_content() == "1 of 4 runs"
    tab.keyboard.press("ControlOrMeta+a")
    tab.keyboard.type("voc")
    tab_to(tab, "#state")
    tab.keyboard.type("fin")
    assert sorted(names(tab)) == NAMES
    tab_to(tab, "#group")
    tab.keyboard.type("sta")
    assert tab.locator("#runs-table .grouped button").all_text_contents() == ["▾ finished (2)"]
    assert "56.88" in tab.locator("#runs-table .grouped").text_content(), "the mean of 61.5 and 52.25"
    tab_to(tab, "th button[data-key='head 4']")
    tab.keyboard.press("Enter")
    assert names(tab) == NAMES, "the highest first"
    tab.keyboard.press("Enter")
    assert names(tab) == NAMES[::-1], "the focus has stayed"
    tab_to(tab, "tbody input")
    tab.keyboard.press("Space")
    tab_to(tab, f"input[data-key='{NAMES[0]}']")
    tab.keyboard.press("Space")
    for _ in range(30):
        if tab.evaluate("document.activeElement.id") == "compare":
            break
        tab.keyboard.press("Shift+Tab")
    assert tab.locator("#compare").text_content() == "Compare 2 runs"
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/compare?**")
    assert tab.locator("#side-by-side canvas").first.is_visible()
    tab_to(tab, "#moment", 200)
    before = tab.locator("#moment + output").text_content()
    tab.keyboard.press("ArrowLeft")
    assert (before, tab.locator("#moment + output").text_content()) == ("20", "10")
    until(tab, "document.querySelector('#side-by-side canvas').ariaLabel.includes('iteration 10')")


def test_filter_order_and_groups_are_kept_in_the_address(visit):
    tab = visit()
    tab.locator("#filter").fill("voc-b")
    tab.locator("#group").select_option("seed")
    again = visit(tab.url.split("/token/")[1])
    assert names(again) == [NAMES[1]] and again.locator("#group").input_value() == "seed"


def test_a_list_that_follows_runs(visit, until, root):
    tab = visit()
    tab.locator("#filter").fill("voc")
    status = root / "group" / "voc-c-000000000002" / "status.json"
    assert "15 of 20" in tab.locator("#runs-table").text_content()
    values = json.loads(status.read_text())
    status.write_text(json.dumps({**values, "iteration": 20, "state": "finished"}))
    until(tab, "!document.querySelector('#runs-table').textContent.includes('running')")
    assert "15 of 20" not in tab.locator("#runs-table").text_content()
    assert re.search(r"finished\s*3", tab.locator(".tiles").text_content()), "the counts above it too"
    assert tab.locator("#filter").input_value() == "voc"
    assert tab.evaluate("document.activeElement.id") == "filter", "who types is not disturbed"


def test_a_run_that_is_followed(visit, until, root):
    name = "group/voc-c-000000000002"
    tab = visit(f"runs/{name}")
    tab.wait_for_selector("#curves .js-plotly-plot")
    tab.evaluate("document.querySelector('#curves .js-plotly-plot').mark = 1")
    tab.locator("details summary").first.click()
    with open(root / name / "scalars.jsonl", "a") as file:
        file.write('{"iter": 17, "loss": 0.125, "seg/best/mIoU": 70.0}\n')
    last = (
        "[...document.querySelectorAll('#curves .js-plotly-plot')].flatMap(p => p.data.flatMap(t => t.x)).includes(17)"
    )
    until(tab, last)
    assert tab.evaluate("document.querySelector('#curves .js-plotly-plot').mark") == 1, "charts are kept, not rebuilt"
    assert tab.evaluate("document.querySelector('details').open"), "and what was unfolded"


def test_a_board_that_has_ended(visit, until, browser, served):
    tab = visit()
    tab.route("**/token/", lambda route: route.abort())
    until(tab, "document.querySelector('#live').textContent === 'not reached'")
    tab.unroute("**/token/")
    until(tab, "document.querySelector('#live').textContent === 'live'")
