"""Running the steps of `dupl data prepare` with a progress bar."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dupl.data.prepare import coco, sbd, voc
from dupl.data.prepare.steps import Place, listing, run
from dupl.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

STEPS = dict(voc=voc.steps, sbd=sbd.steps, coco=coco.steps)


def prepare(
    dataset: str,
    root: Path,
    console: Console,
    source: Path | None = None,
    mirror: str | None = None,
    dry_run: bool = False,
) -> None:
    """Prepare a data set, or print the steps that would do so.

    Args:
        dataset: "voc", "sbd" or "coco".
        root: Folder of the data set; that of VOC for "sbd".
        console: Shows the steps and their progress.
        source: Folder of archives that are already there; others are downloaded.
        mirror: Address of a folder with the archives, instead of their owners' addresses.
        dry_run: Only print the steps, their sizes and the free disk space.

    Raises:
        UserError: A step failed; the results of earlier steps stay.
    """
    from rich.progress import Progress

    root, source = root.expanduser(), source and source.expanduser()
    if source is not None and not source.is_dir():
        raise UserError(f"--from {source}: there is no such folder")
    if dry_run:
        print("\n".join(listing(root, STEPS[dataset](Place(root, source, mirror)))))
        return
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        current = [""]

        def tick(what: str, done: int, total: int | None) -> None:
            if what != current[0]:
                current[0] = what
                bar.reset(task, description=what)
                if not console.is_terminal:  # a log instead of a bar
                    console.print(f"{what} ...", soft_wrap=True, markup=False)
            bar.update(task, completed=done, total=total)

        steps = STEPS[dataset](Place(root, source, mirror, tick))
        run(root, steps, lambda line: console.print(line, soft_wrap=True, markup=False))
