"""Addresses of the board's pages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from dupl.report.pages.html import Served, Site


@dataclass(frozen=True)
class Addresses:
    """Addresses of the pages of a store.

    Attributes:
        root: Of the board: the token between slashes.
        store: Folder of the store.
    """

    root: str
    store: Path

    def run(self, name: str) -> str:
        """Return the address of a run by its folder below the store."""
        return f"{self.root}runs/{_quoted(name)}"

    def sheet(self, name: str, iteration: int) -> str:
        """Return the address of a contact sheet of a run's gallery."""
        return f"{self.root}sheets/{iteration}/{_quoted(name)}"

    def plan(self, name: str) -> str:
        """Return the address of the progress of a plan."""
        return f"{self.root}plans/{_quoted(name)}"

    def table(self, name: str) -> str:
        """Return the address of the table of a plan."""
        return f"{self.root}tables/{_quoted(name)}"

    def sweep(self, name: str) -> str:
        """Return the address of a sweep."""
        return f"{self.root}sweeps/{_quoted(name)}"


class BoardSite(Site):
    """Where a served page stands.

    Args:
        addresses: Of the board's pages.
        tag: Names this state of the page.
        names: Folders of runs below the store that have a page, by their resolved paths.
        nav: Address and heading of the pages above this one; by default the list of runs.
        live: Whether the page asks for news.
    """

    def __init__(
        self,
        addresses: Addresses,
        tag: str,
        names: dict[Path, str],
        nav: tuple[tuple[str, str], ...] = (),
        live: bool = True,
    ) -> None:
        self.addresses, self.names = addresses, names
        self.served = Served(addresses.root, tag, nav or ((addresses.root, "All runs"),), live)

    def run_page(self, run: Path, folder: Path) -> str | None:
        """Return the address of the page of a run; None where the store does not have it."""
        name = self.names.get(run) or self.names.get(run.resolve())
        return None if name is None else self.addresses.run(name)

    def sheet(self, run: Path, iteration: int) -> str | None:
        """Return the address of a contact sheet of a run."""
        name = self.names.get(run) or self.names.get(run.resolve())
        return None if name is None else self.addresses.sheet(name, iteration)


def _quoted(name: str) -> str:
    return quote(name, errors="surrogateescape")
