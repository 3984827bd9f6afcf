"""The embedded toy set: procedural scenes made in memory, on which a CAM over-activates as on photos."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.random import PCG64, Generator, SeedSequence
from numpy.typing import NDArray

from dupl.config.kinds import Count, In, Share
from dupl.data.base import ImageSet
from dupl.data.toy_kinds import KINDS, Array, SceneClass
from dupl.errors import UserError
from dupl.registry import DATASETS
from dupl.structures import IGNORE


@dataclass(frozen=True)
class Scene:
    """One finished scene.

    Attributes:
        image: RGB, (S, S, 3).
        mask: Label ids, 255 on the outlines, (S, S).
        ground: Label id of the class whose usual ground it shows, 1..K.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    ground: int


Radius = Annotated[float, In("(0, 0.5]", "sides")]


@DATASETS.register_module()
class Toy(ImageSet):
    """Scenes of textured shapes; each class has its usual ground, as trains have rails and boats have water.

    In training the ground gives the class away and only part of each object carries its texture, so that a
    classifier's CAM spills over the ground and misses the plain part. In validation the ground is drawn
    without regard to the objects, so that both mistakes cost IoU. Scene i is a function of (seed, split, i)
    and the knobs alone, is made when first asked for, and is then kept. The difficulty knobs leave the
    layout as it is: the same scene is seen with less contrast, more noise and so on.
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
        """Set the knobs; no scene is made yet.

        Args:
            split: "train" or "val": other scenes, other defaults.
            size: Side S of a scene in pixels; all lengths scale with it.
            count: Number of scenes; None: 2000 in training, 300 in validation.
            seed: Another seed, other scenes.
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
            UserError: An argument out of its range.
        """
        if split not in ("train", "val"):
            raise UserError(f"toy set: split '{split}' does not exist; use train or val")
        self.split, self.size, self.seed = split, size, seed
        self.count = count if count is not None else {"train": 2000, "val": 300}[split]
        self.cooccurrence = cooccurrence if cooccurrence is not None else {"train": 0.95, "val": 0.0}[split]
        self.objects, self.radius = (int(objects[0]), int(objects[1])), (float(radius[0]), float(radius[1]))
        self.contrast, self.texture, self.textured, self.ground = contrast, texture, textured, ground
        self.light, self.noise = light, noise
        self.border = border if border is not None else max(1.0, size / 64)
        self._check_knobs()
        self.names = [f"{split}_{i:05d}" for i in range(self.count)]
        self._scenes: dict[int, Scene] = {}
        self._axis = np.arange(size, dtype=np.float32)

    def image(self, i: int) -> NDArray[np.uint8]:
        """Return scene i, RGB, (S, S, 3)."""
        return self._scene(i).image.copy()

    def tags(self, i: int) -> NDArray[np.float32]:
        """Return 0/1 for each shape seen in scene i, (6,)."""
        seen = np.bincount(self._scene(i).mask.ravel(), minlength=256)[1 : self.K + 1]
        return (seen > 0).astype(np.float32)

    def mask(self, i: int) -> NDArray[np.uint8]:
        """Return the labels of scene i, 255 on the outlines, (S, S)."""
        return self._scene(i).mask.copy()

    def background(self, i: int) -> int:
        """Return the label id, 1..K, of the class whose usual ground scene i shows, present or not."""
        return self._scene(i).ground

    def _check_knobs(self) -> None:
        """Refuse what no scene can be made from."""
        shares = ("cooccurrence", "contrast", "texture", "textured", "ground", "light", "noise")
        for knob in shares:
            if not 0 <= getattr(self, knob) <= 1:
                raise UserError(f"toy set: {knob}={getattr(self, knob)}; it lies between 0 and 1")
        if self.size < 16 or self.count < 1 or self.border < 0:
            raise UserError("toy set: size is at least 16, count at least 1 and border at least 0")
        if not 1 <= self.objects[0] <= self.objects[1]:
            raise UserError(f"toy set: objects={self.objects}; give (fewest, most), at least 1")
        if not 0 < self.radius[0] <= self.radius[1] <= 0.5:
            raise UserError(f"toy set: radius={self.radius}; give (smallest, largest), above 0 and up to 0.5")

    def _scene(self, i: int) -> Scene:
        """Return scene i, made once."""
        if i not in self._scenes:
            if not 0 <= i < self.count:
                raise IndexError(f"scene {i} of {self.count}")
            seeds = SeedSequence([self.seed, ("train", "val").index(self.split), i])
            self._scenes[i] = self._make(Generator(PCG64(seeds)))
        return self._scenes[i]

    def _make(self, rng: Generator) -> Scene:
        """Draw and paint one scene."""
        kinds = list(KINDS.values())
        labels = rng.integers(1, self.K + 1, size=rng.integers(self.objects[0], self.objects[1], endpoint=True))
        tied, other = rng.random() < self.cooccurrence, int(rng.integers(1, self.K + 1))
        ground = int(labels[0]) if tied else other

        canvas, colour = self._paint_ground(kinds[ground - 1], rng)
        mask = np.zeros((self.size, self.size), np.uint8)
        taken: list[tuple[float, float, float]] = []
        for label in labels:
            circle = self._free_circle(taken, rng)
            if circle is not None:
                taken.append(circle)
                self._paint_object(canvas, mask, kinds[label - 1], int(label), circle, colour, rng)
        return Scene(self._photograph(canvas, rng), mask, ground)

    def _paint_ground(self, kind: SceneClass, rng: Generator) -> tuple[Array, Array]:
        """Return a scene filled with a ground, (S, S, 3), and the ground's mean colour, (3,)."""
        colour = np.asarray(kind.ground, np.float32) + rng.normal(0, 0.025, 3).astype(np.float32)
        period = self.size * rng.uniform(0.14, 0.2)
        x, y = _turned(self._axis[None, :], self._axis[:, None], rng.normal(0, 0.2))
        pattern = kind.ground_pattern(x / np.float32(period) + rng.random(dtype=np.float32), y / np.float32(period))
        blotches = self._smooth(rng, 7)
        swing = np.float32(self.ground) * (np.float32(0.8) * pattern + np.float32(0.6) * blotches)
        return colour * (1 + np.float32(2) * swing[..., None]), colour

    def _free_circle(
        self, taken: list[tuple[float, float, float]], rng: Generator
    ) -> tuple[float, float, float] | None:
        """Return (x, y, radius) in pixels of a place that touches no other object, or None after 30 tries."""
        for _ in range(30):
            r = self.size * rng.uniform(*self.radius)
            low, high = min(0.85 * r, self.size / 2), max(self.size - 0.85 * r, self.size / 2)
            x, y = rng.uniform(low, high, 2)
            if all(np.hypot(x - u, y - v) > 0.92 * (r + s) + self.border for u, v, s in taken):
                return x, y, r
        return None

    def _paint_object(
        self,
        canvas: Array,
        mask: NDArray[np.uint8],
        kind: SceneClass,
        label: int,
        circle: tuple[float, float, float],
        ground: Array,
        rng: Generator,
    ) -> None:
        """Paint one object into canvas and mask, in place."""
        cx, cy, r = circle
        reach = r + 2 + self.border
        rows = slice(max(0, int(cy - reach)), int(cy + reach) + 1)
        columns = slice(max(0, int(cx - reach)), int(cx + reach) + 1)
        x, y = self._axis[None, columns] - np.float32(cx), self._axis[rows, None] - np.float32(cy)
        u, v = _turned(x, y, rng.uniform(-0.35, 0.35))
        outline = kind.shape(u / np.float32(r), v / np.float32(r)) * np.float32(r)  # pixels, negative inside

        # the whole object: the ground's colour, moved lighter or darker and a little in hue
        move = rng.normal(0, 0.5, 3) + (1 if rng.random() < 0.5 else -1)
        move *= self.contrast / np.sqrt(np.mean(move**2))
        move *= np.where((ground + move < 0.05) | (ground + move > 0.95), -1, 1)
        shade = np.float32(0.08) * (u + v) / np.float32(r)
        body = (ground + move.astype(np.float32)) * (1 + shade[..., None])

        # its texture: on the side of the object that the side angle points to, with a soft edge
        side = rng.uniform(0, 2 * np.pi)
        along = np.float32(np.cos(side)) * u + np.float32(np.sin(side)) * v
        inside = outline < 0
        if not inside.any():  # smaller than a pixel
            return
        edge = np.quantile(along[inside], self.textured) if self.textured < 1 else np.float32(2 * self.size)
        part = np.clip(edge - along + np.float32(0.5), 0, 1) if self.textured > 0 else np.zeros_like(along)
        period = np.float32(self.size * rng.uniform(0.065, 0.085))
        pattern = kind.pattern(u / period + rng.random(dtype=np.float32), v / period + rng.random(dtype=np.float32))
        body += (np.float32(self.texture) * pattern * part)[..., None] * np.asarray(kind.tint, np.float32)

        cover = np.clip(np.float32(0.5) - outline, 0, 1)[..., None]
        canvas[rows, columns] += cover * (body - canvas[rows, columns])
        mask[rows, columns][inside] = label
        mask[rows, columns][np.abs(outline) <= self.border / 2] = IGNORE

    def _photograph(self, canvas: Array, rng: Generator) -> NDArray[np.uint8]:
        """Light a scene from one side, expose it, add sensor noise and quantise, (S, S, 3)."""
        across = (self._axis / self.size - np.float32(0.5)).astype(np.float32)
        angle, slope = rng.uniform(0, 2 * np.pi), self.light * rng.uniform(0, 2)
        field = np.float32(np.cos(angle)) * across[None, :] + np.float32(np.sin(angle)) * across[:, None]
        exposure = np.exp(self.light * rng.uniform(-1, 1) + 0.2 * self.light * rng.normal(0, 1, 3))
        lit = canvas * (1 + np.float32(slope) * field)[..., None] * exposure.astype(np.float32)
        grain = rng.standard_normal(lit.shape, dtype=np.float32) * np.float32(self.noise * rng.uniform(0.5, 1.5))
        return (np.clip(lit + grain, 0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8)

    def _smooth(self, rng: Generator, cells: int) -> Array:
        """Return smooth noise of roughly unit range, (S, S), from a coarse grid of cells."""
        coarse = rng.uniform(-1, 1, (cells + 1, cells + 1)).astype(np.float32)
        place = self._axis * np.float32(cells / self.size)
        weights = np.clip(1 - np.abs(place[:, None] - np.arange(cells + 1, dtype=np.float32)), 0, 1)
        return np.asarray(weights @ coarse @ weights.T, np.float32)


def _turned(x: Array, y: Array, angle: float) -> tuple[Array, Array]:
    """Rotate coordinates."""
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return c * x + s * y, c * y - s * x
