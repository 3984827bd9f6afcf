"""Painting the synthetic scenes of the toy set."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from dupl.data.toy_kinds import KINDS, Array, SceneClass
from dupl.errors import UserError
from dupl.structures import IGNORE


@dataclass(frozen=True)
class Scene:
    """One scene.

    Attributes:
        image: RGB, (S, S, 3).
        mask: Label ids, 255 on the outlines, (S, S).
        ground: Label id, 1..K, of the class whose usual ground it shows.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    ground: int


@dataclass(frozen=True)
class ScenePainter:
    """Paints scenes; `dupl.data.toy.Toy` describes the settings."""

    size: int
    cooccurrence: float
    objects: tuple[int, int]
    radius: tuple[float, float]
    contrast: float
    texture: float
    textured: float
    ground: float
    light: float
    noise: float
    border: float

    def __post_init__(self) -> None:
        """Refuse values out of their range."""
        shares = ("cooccurrence", "contrast", "texture", "textured", "ground", "light", "noise")
        for knob in shares:
            if not 0 <= getattr(self, knob) <= 1:
                raise UserError(f"toy set: {knob}={getattr(self, knob)}; give a number from 0 to 1")
        if self.size < 16 or self.border < 0:
            raise UserError(f"toy set: size={self.size}, border={self.border}; give at least 16 and 0")
        if not 1 <= self.objects[0] <= self.objects[1]:
            raise UserError(f"toy set: objects={self.objects}; give (fewest, most), at least 1")
        if not 0 < self.radius[0] <= self.radius[1] <= 0.5:
            raise UserError(f"toy set: radius={self.radius}; give (smallest, largest), above 0 and up to 0.5")

    @cached_property
    def axis(self) -> Array:
        """The coordinates of the pixels along one side, (S,)."""
        return np.arange(self.size, dtype=np.float32)

    def paint(self, rng: Generator) -> Scene:
        """Draw and paint one scene."""
        kinds = list(KINDS.values())
        labels = rng.integers(1, len(kinds) + 1, size=rng.integers(self.objects[0], self.objects[1], endpoint=True))
        tied, other = rng.random() < self.cooccurrence, int(rng.integers(1, len(kinds) + 1))
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
        """Return a canvas filled with a ground, (S, S, 3), and the ground's mean colour, (3,)."""
        colour = np.asarray(kind.ground, np.float32) + rng.normal(0, 0.025, 3).astype(np.float32)
        period = self.size * rng.uniform(0.14, 0.2)
        x, y = _turned(self.axis[None, :], self.axis[:, None], rng.normal(0, 0.2))
        pattern = kind.ground_pattern(x / np.float32(period) + rng.random(dtype=np.float32), y / np.float32(period))
        blotches = self._smooth(rng, 7)
        swing = np.float32(self.ground) * (np.float32(0.8) * pattern + np.float32(0.6) * blotches)
        return colour * (1 + np.float32(2) * swing[..., None]), colour

    def _free_circle(
        self, taken: list[tuple[float, float, float]], rng: Generator
    ) -> tuple[float, float, float] | None:
        """Return (x, y, radius) in pixels of a circle that touches no other object, or None after 30 attempts."""
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
        x, y = self.axis[None, columns] - np.float32(cx), self.axis[rows, None] - np.float32(cy)
        u, v = _turned(x, y, rng.uniform(-0.35, 0.35))
        outline = kind.shape(u / np.float32(r), v / np.float32(r)) * np.float32(r)  # pixels, negative inside

        body = self._body(u, v, r, ground, rng)
        inside = outline < 0
        texture = self._texture(kind, u, v, inside, rng)
        if texture is None:
            return
        body += texture[..., None] * np.asarray(kind.tint, np.float32)
        cover = np.clip(np.float32(0.5) - outline, 0, 1)[..., None]
        canvas[rows, columns] += cover * (body - canvas[rows, columns])
        mask[rows, columns][inside] = label
        mask[rows, columns][np.abs(outline) <= self.border / 2] = IGNORE

    def _body(self, u: Array, v: Array, r: float, ground: Array, rng: Generator) -> Array:
        """Return the colour of an object: the ground's, moved lighter or darker and a little in hue, and shaded."""
        move = rng.normal(0, 0.5, 3) + (1 if rng.random() < 0.5 else -1)
        move *= self.contrast / np.sqrt(np.mean(move**2))
        move *= np.where((ground + move < 0.05) | (ground + move > 0.95), -1, 1)
        shade = np.float32(0.08) * (u + v) / np.float32(r)
        return np.asarray((ground + move.astype(np.float32)) * (1 + shade[..., None]), np.float32)

    def _texture(self, kind: SceneClass, u: Array, v: Array, inside: NDArray[np.bool_], rng: Generator) -> Array | None:
        """Return the texture on one side of an object, with a soft edge; None for an object without a pixel."""
        side = rng.uniform(0, 2 * np.pi)
        along = np.float32(np.cos(side)) * u + np.float32(np.sin(side)) * v
        if not inside.any():
            return None
        edge = np.quantile(along[inside], self.textured) if self.textured < 1 else np.float32(2 * self.size)
        part = np.clip(edge - along + np.float32(0.5), 0, 1) if self.textured > 0 else np.zeros_like(along)
        period = np.float32(self.size * rng.uniform(0.065, 0.085))
        pattern = kind.pattern(u / period + rng.random(dtype=np.float32), v / period + rng.random(dtype=np.float32))
        return np.float32(self.texture) * pattern * part

    def _photograph(self, canvas: Array, rng: Generator) -> NDArray[np.uint8]:
        """Light a canvas from one side, expose it, add sensor noise and quantise it, (S, S, 3)."""
        offset = (self.axis / self.size - np.float32(0.5)).astype(np.float32)
        angle, slope = rng.uniform(0, 2 * np.pi), self.light * rng.uniform(0, 2)
        field = np.float32(np.cos(angle)) * offset[None, :] + np.float32(np.sin(angle)) * offset[:, None]
        exposure = np.exp(self.light * rng.uniform(-1, 1) + 0.2 * self.light * rng.normal(0, 1, 3))
        lit = canvas * (1 + np.float32(slope) * field)[..., None] * exposure.astype(np.float32)
        grain = rng.standard_normal(lit.shape, dtype=np.float32) * np.float32(self.noise * rng.uniform(0.5, 1.5))
        return (np.clip(lit + grain, 0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8)

    def _smooth(self, rng: Generator, cells: int) -> Array:
        """Return smooth noise of roughly unit range, (S, S), from a coarse grid of cells."""
        coarse = rng.uniform(-1, 1, (cells + 1, cells + 1)).astype(np.float32)
        place = self.axis * np.float32(cells / self.size)
        weights = np.clip(1 - np.abs(place[:, None] - np.arange(cells + 1, dtype=np.float32)), 0, 1)
        return np.asarray(weights @ coarse @ weights.T, np.float32)


def _turned(x: Array, y: Array, angle: float) -> tuple[Array, Array]:
    """Rotate coordinates."""
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return c * x + s * y, c * y - s * x
