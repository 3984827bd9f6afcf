"""Pages written as files can be read by everybody: no serious finding of axe at two widths, in light and dark."""

from __future__ import annotations

from pathlib import Path

import pytest

from dupl import api

FIXTURES = Path(__file__).parents[1] / "fixtures"
STORE = FIXTURES / "store"


def write(kind: str, out: Path) -> Path:
    """Write a page of the committed store."""
    if kind == "run":
        return api.write_run_page(STORE / "L_dis-0", out)
    if kind == "runs":
        return api.write_board([STORE / "L_dis-0", STORE / "L_reg-0"], STORE, out=out)
    table = api.ablation_table(FIXTURES / "plan.py", STORE)
    out.write_text(table.page(out.parent))
    return out


@pytest.mark.parametrize("kind", ["run", "runs", "plan"])
def test_no_serious_finding(tmp_path, open_page, kind):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = write(kind, tmp_path / "page.html")
    for width, height, scheme in ((1280, 900, "dark"), (390, 844, "light")):
        tab = open_page(page, viewport={"width": width, "height": height}, color_scheme=scheme)
        tab.wait_for_timeout(500)
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
        found = [(one["id"], one["impact"], one["nodes"][0]["html"]) for one in axe.run(tab).response["violations"]]
        assert [one for one in found if one[1] in ("serious", "critical")] == []
