"""Copy what one run wrote until an iteration into the folder of another one."""

from __future__ import annotations

import shutil
from pathlib import Path

from dupl.runs import layout
from dupl.runs.run import Run


def usable_checkpoints(source: Path, iteration: int) -> list[tuple[int, Path]]:
    """Return the checkpoints of a run up to an iteration, as (iteration, file), newest first."""
    return [found for found in layout.checkpoints(source) if 0 < found[0] <= iteration]


def copy_records(source: Path, run: Run, iteration: int) -> None:
    """Copy what a run wrote until an iteration, apart from weights: scalars, evaluations and gallery.

    What the run has not written yet, such as an evaluation at that iteration, training makes again.

    Args:
        source: Folder of the run.
        run: The run to copy into; it has trained nothing.
        iteration: The last iteration to copy.

    Raises:
        FileNotFoundError: A file was removed meanwhile.
        CorruptFile: The scalars of the run are corrupt.
    """
    run.write_text(layout.SCALARS, Run(source).scalars_text())
    run.truncate_scalars(iteration)
    for number, folder in layout.trained_evaluations(source):
        if number <= iteration:
            target = run.path / layout.evaluation(number)
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(folder, target, ignore=lambda _, names: {layout.LABELS, layout.CRF} & {*names})
    for description in layout.gallery_descriptions(source):
        number_of = layout.iteration_of(description.stem)
        if number_of is not None and number_of <= iteration:
            for name in (layout.gallery_sheet(number_of), layout.gallery_description(number_of)):
                (run.path / name).parent.mkdir(exist_ok=True)
                shutil.copyfile(source / name, run.path / name)
