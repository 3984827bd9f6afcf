"""Trackers that are shaped like wandb: one backend, with the module as its parameter. No tracker is imported here.

wandb and trackio share ``init``, ``log``, ``Table``, ``Histogram``, ``Image`` and ``Artifact``. What differs stands
here: how a run begins and ends, and what each module cannot hold.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dupl.runs import layout
from dupl.track.records import Files, Histogram, Picture, TrackedTable


@dataclass(frozen=True)
class WandbLike:
    """A tracker by its module.

    Attributes:
        name: Of the module, and of the folder within the run's folder that holds its log.
        record: File of the run that keeps id and names.
        overlays: Whether a picture holds label maps beside the photo.
        summaries: Whether a run has values as a whole; else they are logged as further values of a row.
    """

    name: str
    record: str
    overlays: bool
    summaries: bool

    @property
    def module(self) -> Any:
        """The module, imported when it is first used."""
        return importlib.import_module(self.name)

    def dressed(self, value: Any) -> Any:
        """Return a value as an object of the module."""
        module = self.module
        if isinstance(value, TrackedTable):
            return module.Table(columns=list(value.columns), data=[list(row) for row in value.rows])
        if isinstance(value, Histogram):
            return module.Histogram(np_histogram=(np.asarray(value.counts), np.asarray(value.edges)))
        if isinstance(value, Picture):
            return self._picture(value)
        if isinstance(value, (list, tuple)):
            return self._several(value)
        return value

    def artifact(self, files: Files) -> Any:
        """Return files as an artifact of the module."""
        made = self.module.Artifact(files.name, type=files.kind)
        for path in files.paths:
            made.add_file(path)
        return made

    def _picture(self, picture: Picture) -> Any:
        more: dict[str, Any] = {}
        if self.overlays:
            names = dict(picture.labels or {})
            masks = {name: {"mask_data": m, "class_labels": names} for name, m in (picture.masks or {}).items()}
            more["masks"] = masks or None
        return self.module.Image(picture.image, caption=picture.caption or None, **more)

    def _several(self, values: Sequence[Any]) -> Any:
        """Return a list as the module holds it; trackio holds several pictures in a table alone."""
        dressed = [self.dressed(item) for item in values]
        if self.overlays or not any(isinstance(item, Picture) for item in values):
            return dressed
        if len(dressed) == 1:
            return dressed[0]
        return self.module.Table(columns=["picture"], data=[[item] for item in dressed])


WANDB = WandbLike("wandb", layout.TRACKER, overlays=True, summaries=True)
TRACKIO = WandbLike("trackio", layout.TRACKIO, overlays=False, summaries=False)


def of_mode(mode: str) -> WandbLike:
    """Return the tracker of a mode of tracking."""
    return TRACKIO if mode == TRACKIO.name else WANDB


def begin_trackio(settings: Mapping[str, Any]) -> Any:
    """Begin a run on trackio, or resume it: trackio knows a run by its name, so the name holds the id.

    What trackio has no place for (row, tags, id) stands in the run's config.
    """
    placed = {"job_type": settings.get("job_type"), "tags": settings.get("tags"), "id": settings["id"]}
    placed |= {"commit": settings.get("commit")}
    return TRACKIO.module.init(
        settings["project"],
        name=f"{settings['name']} [{settings['id']}]",
        group=settings.get("group"),
        config={**settings.get("config", {}), "dupl": placed},
        resume="allow",
        embed=False,
        auto_log_gpu=False,
        auto_log_cpu=False,
    )
