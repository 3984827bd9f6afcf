"""How long the live board takes to open a store in a real browser: generated finished runs, and pages of them.

    python benchmarks/board.py                 1,000 runs in a temporary folder
    python benchmarks/board.py --runs 20000

The time is that from the request to the last row on the page, in headless Chromium, with the processor seconds that the
server and the browser spent on it. The first line is without an index of the store, as after a copy, and right after
the start, when the server reads the store ahead; the further ones are with the index.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from playwright.sync_api import Browser, sync_playwright
from store import build_many

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "chrome")


def browser_seconds() -> float:
    """Return the processor seconds of the browser's processes, which are below this one."""
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "chrom" in process.name():
                total += sum(process.cpu_times()[:2])
    return total


def opened(browser: Browser, address: str, selector: str) -> tuple[float, float]:
    """Return the seconds until an element is on a page of a fresh profile, and the browser's processor seconds."""
    context = browser.new_context()
    tab = context.new_page()
    before, start = browser_seconds(), time.perf_counter()
    tab.goto(address, wait_until="commit")
    tab.wait_for_selector(selector, state="attached")
    spent, computed = time.perf_counter() - start, browser_seconds() - before
    context.close()
    return spent, computed


def main() -> None:
    """Build a store, serve it, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=4)
    arguments = parser.parse_args()
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        raise SystemExit(f"none of {', '.join(NAMES)} is installed")
    with tempfile.TemporaryDirectory() as folder:
        build_many(Path(folder), arguments.runs)
        command = [sys.executable, "-m", "dupl", "board", "--root", folder]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server, sync_playwright() as play:
            assert server.stdout is not None
            address = server.stdout.readline().strip()
            browser = play.chromium.launch(executable_path=program, args=["--no-sandbox"])
            shown = min(arguments.runs, 1000)
            print(f"load {', '.join(f'{value:.1f}' for value in os.getloadavg())} on {os.cpu_count()} cores")
            measured = psutil.Process(server.pid)
            for number in range(arguments.repeats):
                before = sum(measured.cpu_times()[:2])
                spent, drawn = opened(browser, address, f"#runs-table tbody tr:nth-child({shown})")
                computed = sum(measured.cpu_times()[:2]) - before
                what = "first scan" if number == 0 else "from the index"
                shares = f"CPU: server {computed:.2f}, browser {drawn:.2f}"
                print(f"{arguments.runs:,} runs, {what:15} {spent:.2f} s ({shares})")
                time.sleep(2.5)  # what was looked up is kept for two seconds
            browser.close()
            server.terminate()


if __name__ == "__main__":
    main()
