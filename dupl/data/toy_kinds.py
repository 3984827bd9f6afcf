"""The classes of the synthetic scenes: their shapes, patterns and usual grounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Field = Callable[[Array, Array], Array]
_TURN = np.float32(2 * np.pi)


# Shapes: signed distance to the outline, negative inside; x right, y down, within about the unit circle.


def _disc(x: Array, y: Array) -> Array:
    return np.hypot(x, y) - np.float32(0.9)


def _square(x: Array, y: Array) -> Array:
    return np.maximum(np.abs(x), np.abs(y)) - np.float32(0.78)


def _triangle(x: Array, y: Array) -> Array:
    return np.maximum(np.float32(0.866) * np.abs(x) - np.float32(0.5) * y, y) - np.float32(0.55)


def _ring(x: Array, y: Array) -> Array:
    return np.abs(np.hypot(x, y) - np.float32(0.72)) - np.float32(0.28)


def _cross(x: Array, y: Array) -> Array:
    long, short = np.float32(1.0), np.float32(0.38)
    x, y = np.abs(x), np.abs(y)
    return np.minimum(np.maximum(x - long, y - short), np.maximum(x - short, y - long))


def _star(x: Array, y: Array) -> Array:
    """Return the distance to a star of five points, which are folded onto one: from its edge, tip to notch."""
    fifth = 2 * np.pi / 5
    angle = np.abs((np.arctan2(x, -y) + fifth / 2) % fifth - fifth / 2)
    notch = 0.55 * np.exp(1j * fifth / 2)
    edge = (notch - 1) / abs(notch - 1) * -1j  # unit normal of the edge, pointing outward
    r = np.hypot(x, y)
    return ((r * np.cos(angle) - 1) * edge.real + r * np.sin(angle) * edge.imag).astype(np.float32)


# Patterns: values in [-1, 1] with period 1 in x and y.


def _bars(x: Array, y: Array) -> Array:
    return np.sin(_TURN * x)


def _layers(x: Array, y: Array) -> Array:
    return np.sin(_TURN * y)


def _slants(x: Array, y: Array) -> Array:
    return np.sin(_TURN * np.float32(0.7) * (x + y))


def _dots(x: Array, y: Array) -> Array:
    return np.sin(_TURN * x) * np.sin(_TURN * y)


def _checks(x: Array, y: Array) -> Array:
    return np.sign(np.sin(_TURN * x)) * np.sign(np.sin(_TURN * y))


def _zigzag(x: Array, y: Array) -> Array:
    return np.sin(_TURN * (y + np.abs(x % 1 - np.float32(0.5))))


def _bricks(x: Array, y: Array) -> Array:
    joint = np.minimum(np.abs((x + np.floor(2 * y) / 2) % 1 - np.float32(0.5)), np.abs((2 * y) % 1 - np.float32(0.5)))
    return np.clip(np.float32(8) * joint - np.float32(1), -1, 1)


@dataclass(frozen=True)
class SceneClass:
    """The look of one class, and its usual ground.

    Attributes:
        shape: Signed distance to its outline.
        pattern: Texture of a part of the object.
        tint: Colour (RGB) along which the texture varies; root mean square 1.
        ground: Base colour (RGB, 0..1) of its usual ground.
        ground_pattern: Texture of its usual ground.
    """

    shape: Field
    pattern: Field
    tint: tuple[float, float, float]
    ground: tuple[float, float, float]
    ground_pattern: Field


KINDS = {
    "disc": SceneClass(_disc, _bars, (1.4, -0.7, -0.7), (0.70, 0.60, 0.42), _layers),  # on sand
    "square": SceneClass(_square, _dots, (0.2, 1.2, -1.2), (0.36, 0.54, 0.30), _zigzag),  # on grass
    "triangle": SceneClass(_triangle, _checks, (-1.0, 0.1, 1.4), (0.30, 0.46, 0.62), _bars),  # on water
    "ring": SceneClass(_ring, _layers, (1.2, 0.2, -1.2), (0.60, 0.38, 0.32), _bricks),  # on bricks
    "cross": SceneClass(_cross, _zigzag, (-0.9, 1.4, 0.4), (0.54, 0.54, 0.56), _checks),  # on tiles
    "star": SceneClass(_star, _slants, (1.1, -1.1, 0.8), (0.48, 0.38, 0.58), _dots),  # on heather
}
