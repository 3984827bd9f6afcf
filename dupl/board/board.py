"""The pages of the board, each rendered again only when what it shows has changed."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dupl.board.compare import compare, sheet_bytes
from dupl.board.progress import plan_progress
from dupl.board.run_list import run_list
from dupl.board.site import Addresses, BoardSite
from dupl.board.store_view import StoreView, digest, run_stamp
from dupl.board.template import template
from dupl.report.pages import run as run_page
from dupl.report.pages.html import render
from dupl.report.pages.run_files import read_run

if TYPE_CHECKING:
    from dupl.execute.ablation import Ablation
    from dupl.report.plan_report import AblationTable
    from dupl.report.sweep_report import SweepFindings

KEPT = 24  # pages in memory
PATIENCE = 5.0  # a page that takes a second is rendered again after this many seconds at the earliest
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Sources:
    """How the board gets what needs more than the files of runs; each is called with a name and a receiver of notes.

    Attributes:
        plan: Compares a plan with the store, as for a dry run.
        table: Makes the table of a plan.
        sweep: Examines a sweep.
    """

    plan: Callable[[str, Tell], Ablation]
    table: Callable[[str, Tell], AblationTable]
    sweep: Callable[[str, Tell], SweepFindings]


@dataclass(frozen=True)
class Rendered:
    """A page as it was rendered.

    Attributes:
        stamp: State of what it shows.
        tag: Digest of the stamp.
        text: HTML.
        until: Time until which a new stamp is not acted on, so that slow pages do not keep the machine busy.
    """

    stamp: object
    tag: str
    text: str
    until: float


@dataclass
class Board:
    """The pages of a store.

    Attributes:
        view: The store.
        addresses: Of the pages.
        sources: For plans and sweeps.
        clock: In seconds.
    """

    view: StoreView
    addresses: Addresses
    sources: Sources
    clock: Callable[[], float] = time.monotonic
    kept: OrderedDict[object, Rendered] = field(default_factory=OrderedDict)

    def __post_init__(self) -> None:
        self._lock, self._locks = threading.Lock(), dict[object, threading.Lock]()

    def runs(self) -> Rendered:
        """Return the page of all runs."""
        stamp = (self.view.stamp(), self.view.called("ablate"), self.view.called("sweep"), len(self.view.problems))
        return self._page("runs", stamp, lambda tag: run_list(self.view, self.addresses, tag))

    def run(self, name: str) -> Rendered:
        """Return the page of a run."""
        path = self.view.line(name).path
        return self._page(("run", name), run_stamp(path), lambda tag: run_page.page(read_run(path), self._site(tag)))

    def compare(self, names: Sequence[str]) -> Rendered:
        """Return the page of chosen runs."""
        chosen = list(dict.fromkeys(names))
        folders = [self.view.line(name).path for name in chosen]
        stamp = tuple(map(run_stamp, folders))
        return self._page(("compare", *chosen), stamp, lambda tag: compare(chosen, folders, self._site(tag)))

    def plan(self, name: str) -> Rendered:
        """Return the progress of a plan."""
        self.view.check_called("ablate", name)

        def made(tag: str) -> str:
            notes: list[str] = []
            return plan_progress(self.sources.plan(name, notes.append), self._site(tag), notes)

        return self._page(("plan", name), self.view.stamp(), made)

    def table(self, name: str) -> Rendered:
        """Return the table of a plan."""
        self.view.check_called("ablate", name)

        def made(tag: str) -> str:
            site = self._site(tag, ((self.addresses.root, "All runs"), (self.addresses.plan(name), "Progress")))
            return self.sources.table(name, lambda line: None).page(self.view.store.root, site)

        return self._page(("table", name), self.view.stamp(), made)

    def sweep(self, name: str) -> Rendered:
        """Return the page of a sweep."""
        self.view.check_called("sweep", name)

        def made(tag: str) -> str:
            return self.sources.sweep(name, lambda line: None).render("html", self.view.store.root, self._site(tag))

        return self._page(("sweep", name), self.view.stamp(), made)

    def message(self, text: str) -> str:
        """Return a page that says why there is no other."""
        site = BoardSite(self.addresses, "", {}, live=False)
        return render(template("message.html"), "Not shown", {"plots": {}, "tables": {}}, site, sections={}, text=text)

    def sheet(self, name: str, iteration: int) -> bytes:
        """Return a contact sheet of a run's gallery."""
        return sheet_bytes(self.view.line(name).path, iteration)

    def _site(self, tag: str, nav: tuple[tuple[str, str], ...] = ()) -> BoardSite:
        self.view.look()
        return BoardSite(self.addresses, tag, self.view.names, nav)

    def _page(self, key: object, stamp: object, made: Callable[[str], str]) -> Rendered:
        """Return a page, rendered again where what it shows has changed."""
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:  # two requests for one page render it once; other pages do not wait
            known = self.kept.get(key)
            if known is None or (known.stamp != stamp and self.clock() >= known.until):
                began, tag = self.clock(), digest((key, stamp))
                text = made(tag)
                ended = self.clock()
                known = Rendered(stamp, tag, text, ended + PATIENCE * (ended - began))
            with self._lock:
                self.kept[key] = known
                self.kept.move_to_end(key)
                while len(self.kept) > KEPT:
                    old, _ = self.kept.popitem(last=False)
                    self._locks.pop(old, None)
            return known
