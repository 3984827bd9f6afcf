"""Measure how far small steps of the data path are from those of the released code, which uses Pillow for them.

    python benchmarks/deviations.py --images VOC
    python benchmarks/deviations.py --images VOC --split val --weights FILE    # ImageNet weights of DeiT-tiny

It prints, for photos of a folder in VOC layout: the colour operations of the strong view, on tensors and by Pillow;
cropping by resizing only the box that is shown, and by resizing the photo and cutting; and the 8-bit levels that the
released arithmetic makes lower. With weights it prints how many pixels of the final protocol's label maps the two
values of ``Backbone.fit`` change, for heads whose last layer is fitted to the masks of train.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from dupl.config import catalogue, overrides
from dupl.data.transforms import WeakAugment
from dupl.data.views import normalize
from dupl.data.voc import VOC
from dupl.engine import build
from dupl.engine.evaluation.final import FinalProtocol
from dupl.engine.evaluation.selection import MapSelection
from dupl.method.base import Method
from dupl.method.perturb import COLOUR
from dupl.method.pixels import denormalise, normalise
from dupl.structures import IGNORE

Picture = Image.Image
PILLOW: dict[str, Callable[[Picture, float], Picture]] = {
    "AutoContrast": lambda image, _: ImageOps.autocontrast(image),
    "Equalize": lambda image, _: ImageOps.equalize(image),
    "Posterize": lambda image, v: ImageOps.posterize(image, max(1, int(v))),
    "Color": lambda image, v: ImageEnhance.Color(image).enhance(v),
    "Contrast": lambda image, v: ImageEnhance.Contrast(image).enhance(v),
    "Brightness": lambda image, v: ImageEnhance.Brightness(image).enhance(v),
    "Sharpness": lambda image, v: ImageEnhance.Sharpness(image).enhance(v),
}
Values = NDArray[np.int64]


def colours(photos: list[NDArray[np.uint8]], magnitude: float = 10) -> dict[str, Values]:
    """Return the absolute differences of each colour operation, on tensors and by Pillow."""
    found: dict[str, list[Values]] = {name: [] for name in PILLOW}
    for photo in photos:
        tensor = torch.from_numpy(photo).permute(2, 0, 1)
        for name, by_pillow in PILLOW.items():
            operation, low, high = COLOUR[name]
            strength = low + (high - low) * magnitude / 30
            one = np.asarray(by_pillow(Image.fromarray(photo), strength)).astype(int)
            other = operation(tensor, strength).permute(1, 2, 0).numpy().astype(int)
            found[name].append(abs(one - other).ravel())
    return {name: np.concatenate(values) for name, values in found.items()}


def crops(photos: list[NDArray[np.uint8]], size: int) -> Values:
    """Return the absolute differences of crops whose box alone is resized, and cut from the resized photo."""
    augment, found = WeakAugment(crop=size, jitter=0, gray=0, blur=0), []
    for i, photo in enumerate(photos):
        placement = augment.draw(photo.shape[:2], np.random.default_rng(i))
        (top, left), (y0, y1, x0, x1) = placement.corner, placement.box
        whole = Image.fromarray(photo).resize(placement.scaled[::-1], Image.Resampling.BILINEAR)
        part = np.asarray(whole)[top : top + y1 - y0, left : left + x1 - x0].astype(int)
        shown = placement.image(photo)[y0:y1, x0:x1].astype(int)
        found.append(abs(shown - (part[:, ::-1] if placement.flip else part)).ravel())
    return np.concatenate(found)


def levels(photos: list[NDArray[np.uint8]]) -> Values:
    """Return by how many levels the released arithmetic lowers the values of photos."""
    found = []
    for photo in photos:
        images = normalise(torch.from_numpy(photo).permute(2, 0, 1)[None] / 255)
        lower = denormalise(images) - denormalise(images, "truncate")
        found.append((lower * 255).round().long().numpy().ravel())
    return np.concatenate(found)


@torch.no_grad()
def probe(weights: str, source: VOC, photos: int = 100) -> Method:
    """Build DeiT-tiny with ImageNet weights, and fit the last layer of each student's head to masks.

    Args:
        weights: ImageNet weights in timm's layout.
        source: Photos with masks.
        photos: Number of photos, spread over the list.
    """
    changes = ["model.network.backbone.name=deit_tiny_patch16_224.fb_in1k", f"model.network.backbone.weights={weights}"]
    config = overrides.apply(catalogue.load("voc/dupl_released"), overrides.parse(changes))
    model = build.build_model(config, 21, torch.device("cpu")).eval()
    rows: list[list[Tensor]] = [[] for _ in model.students]
    wanted = []
    for i in range(0, len(source), max(1, len(source) // photos)):
        image = normalize(source.image(i))[None]
        mask = torch.from_numpy(source.mask(i))[None, None].float()
        for student, net in enumerate(model.students):
            hidden = torch.nn.Sequential(*list(net.head)[:-1])(net.backbone(image)[0])  # (1, C, h, w)
            label = F.interpolate(mask, size=hidden.shape[2:], mode="nearest").long().flatten()
            rows[student].append(hidden.flatten(2)[0].T[label != IGNORE].double())
        wanted.append(F.one_hot(label[label != IGNORE], 21).double())
    for net, found in zip(model.students, rows, strict=True):
        x, y = torch.cat(found), torch.cat(wanted)
        square = x.T @ x
        square.diagonal().add_(1e-3 * square.diagonal().mean())
        net.head[-1].weight.copy_(torch.linalg.solve(square, x.T @ y).T.float()[..., None, None])
    return model


def final_maps(photos: list[NDArray[np.uint8]], model: Method) -> tuple[list[float], float]:
    """Return the percentage of pixels of each photo that ``fit`` changes in the final protocol, and of foreground."""
    protocol, shares, foreground = FinalProtocol({}, MapSelection.of([], 2)), [], []
    for photo in photos:
        maps = {}
        for fit in ("round", "drop"):
            for net in model.students:
                net.backbone.fit = fit
            maps[fit] = torch.stack([p.argmax(0) for p in protocol.probabilities(model, photo)[:2]])
        shares.append(100 * float((maps["round"] != maps["drop"]).float().mean()))
        foreground.append(100 * float((maps["drop"] > 0).float().mean()))
    return shares, float(np.mean(foreground))


def row(name: str, differences: Values) -> str:
    """Return a row of the table."""
    return f"| {name} | {100 * np.mean(differences > 0):.2f} % | {differences.max()} |"


def main(arguments: list[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", metavar="DIR", required=True, help="photos in VOC layout")
    parser.add_argument("--split", default="train", help="a list of that folder; default: train")
    parser.add_argument("--photos", type=int, default=100, help="spread over the list; default: 100")
    parser.add_argument("--size", type=int, default=448, help="crop in pixels; default: 448")
    parser.add_argument("--weights", metavar="FILE", help="compare the final protocol, from ImageNet weights")
    options = parser.parse_args(arguments)
    source = VOC(options.images, options.split)
    photos = [source.image(i) for i in range(0, len(source), max(1, len(source) // options.photos))]
    if options.weights:
        shares, foreground = final_maps(photos, probe(options.weights, VOC(options.images, "train")))
        spread = f"median {np.median(shares):.2f} %, {min(shares):.2f} to {max(shares):.2f} %"
        print(f"final protocol without CRF, {len(photos)} photos, {foreground:.0f} % of the pixels foreground:")
        print(f"pixels that fit changes: {spread}")
        return
    print(f"{len(photos)} photos, crops of {options.size} px\n")
    print("| step | values that differ | by at most, levels |\n|---|---|---|")
    for name, differences in colours(photos).items():
        print(row(f"{name}, tensor and Pillow", differences))
    print(row("crop: box resized, photo resized and cut", crops(photos, options.size)))
    print(row("levels: rounded, truncated as released", levels(photos)))


if __name__ == "__main__":
    main()
