"""The toy set: synthetic scenes painted in memory, on which CAMs over-activate as on photos."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.random import PCG64, Generator, SeedSequence
from numpy.typing import NDArray

from dupl.config.kinds import Count, In, Share
from dupl.data.base import ImageSet
from dupl.data.toy_kinds import KINDS
from dupl.data.toy_scene import Scene, ScenePainter
from dupl.errors import UserError
from dupl.registry import DATASETS

Radius = Annotated[float, In("(0, 0.5]", "sides")]


@DATASETS.register_module()
class Toy(ImageSet):
    """Synthetic scenes of textured shapes; each class has a usual ground, as trains have rails and boats water.

    In training the ground reveals the class and only a part of each object carries its texture, so that a
    classifier's CAM covers the ground too and misses the plain part. In validation the ground is drawn
    independently of the objects, so that both errors cost IoU. Scene i depends only on (seed, split, i) and the
    settings, is painted on first use, and stays in memory. The settings of difficulty do not change the layout: the
    same scene has less contrast, more noise and so on.
    """

    classes = ("background", *KINDS)
    has_masks = True

    def __init__(
        self,
        split: Literal["train", "val"] = "train",
        size: Annotated[int, In("[16, inf)", "px")] = 64,
        count: Count | None = None,
        seed: int = 0,
        cooccurrence: Share | None = None,
        objects: tuple[Count, Count] = (1, 3),
        radius: tuple[Radius, Radius] = (0.17, 0.29),
        contrast: Share = 0.1,
        texture: Share = 0.22,
        textured: Share = 0.5,
        ground: Share = 0.06,
        light: Share = 0.25,
        noise: Share = 0.025,
        border: Annotated[float, In("[0, inf)", "px")] | None = None,
    ) -> None:
        """Validate the settings; scenes are painted on request.

        Args:
            split: "train" or "val", which have different scenes and defaults.
            size: Side S of a scene in pixels; all lengths scale with it.
            count: Number of scenes; None: 2000 in training, 300 in validation.
            seed: Seed of the scenes.
            cooccurrence: Probability in [0, 1] that the ground is the usual one of the first object's class;
                otherwise it is drawn evenly from all grounds. None: 0.95 in training, 0 in validation.
            objects: Fewest and most objects drawn; one that finds no free place is left out, never the first.
            radius: Smallest and largest radius of an object's circle, in sides of the scene.
            contrast: How far the object's colour is from the ground's, root mean square per channel, 0..1.
            texture: Amplitude of the object's texture, 0..1.
            textured: Share of the object that is textured, 0..1; the rest is plain.
            ground: Amplitude of the ground's texture, 0..1.
            light: Strength of illumination gradient and exposure changes, 0..1.
            noise: Standard deviation of the sensor noise, 0..1.
            border: Width in pixels of the 255 outline in masks; None: 1 at 64 px, in proportion.

        Raises:
            UserError: An argument is out of its range.
        """
        if split not in ("train", "val"):
            raise UserError(f"toy set: split '{split}' does not exist; use train or val")
        if count is not None and count < 1:
            raise UserError(f"toy set: count={count}; give at least 1")
        self.split, self.seed = split, seed
        self.count = count if count is not None else {"train": 2000, "val": 300}[split]
        self.painter = ScenePainter(
            size=size,
            cooccurrence=cooccurrence if cooccurrence is not None else {"train": 0.95, "val": 0.0}[split],
            objects=(int(objects[0]), int(objects[1])),
            radius=(float(radius[0]), float(radius[1])),
            contrast=contrast,
            texture=texture,
            textured=textured,
            ground=ground,
            light=light,
            noise=noise,
            border=border if border is not None else max(1.0, size / 64),
        )
        self.names = [f"{split}_{i:05d}" for i in range(self.count)]
        self._scenes: dict[int, Scene] = {}

    def image(self, i: int) -> NDArray[np.uint8]:
        """Return scene i, RGB, (S, S, 3)."""
        return self._scene(i).image.copy()

    def tags(self, i: int) -> NDArray[np.float32]:
        """Return 0/1 for each shape visible in scene i, (6,)."""
        seen = np.bincount(self._scene(i).mask.ravel(), minlength=256)[1 : self.K + 1]
        return (seen > 0).astype(np.float32)

    def mask(self, i: int) -> NDArray[np.uint8]:
        """Return the labels of scene i, 255 on the outlines, (S, S)."""
        return self._scene(i).mask.copy()

    def background(self, i: int) -> int:
        """Return the label id, 1..K, of the class whose usual ground scene i shows, whether it is present or not."""
        return self._scene(i).ground

    def _scene(self, i: int) -> Scene:
        """Return scene i, painted once."""
        if i not in self._scenes:
            if not 0 <= i < self.count:
                raise IndexError(f"scene {i} of {self.count}")
            seeds = SeedSequence([self.seed, ("train", "val").index(self.split), i])
            self._scenes[i] = self.painter.paint(Generator(PCG64(seeds)))
        return self._scenes[i]
