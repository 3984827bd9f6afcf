"""Run the released training loop and ours side by side on the same batches, and prints how far they are apart.

    python benchmarks/lockstep.py --reference PATH --images VOC --weights FILE
    ... --vary model.network.backbone.fit=round model.levels=round    # and what each of these values changes

Both take 64 optimiser steps through all three phases, on photos. Before each step our weights are set to the released
ones, so that a difference is that of one step; each side keeps its own optimiser. With --free they are not, and the
differences grow. Nothing of the release is copied: its script is parsed where it lies (``released.py``).
"""

from __future__ import annotations

import argparse
import dataclasses
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ours import installed_init
from released import Released, in_float64
from torch import Tensor
from torch.utils.data import DataLoader
from workers import CASES, SCRIPT, machine

from dupl.config import catalogue, overrides
from dupl.data.views import TrainView
from dupl.data.voc import VOC
from dupl.engine import build
from dupl.engine.memory import keep_memory
from dupl.engine.training.finite_guard import FiniteGuard
from dupl.engine.training.loop import PositionSampler
from dupl.engine.training.optimizer import WarmupPoly, build_optimizer
from dupl.engine.training.step import train_step
from dupl.engine.weights import convert
from dupl.method.perturb import StrongPerturbation
from dupl.method.pixels import denormalise
from dupl.structures import IGNORE, IMAGE_MEAN, IMAGE_STD, Clock

CASE = dataclasses.replace(CASES["tiny"], size=160, batch=2)
PHASES = ("L_cls, L_ptc, L_dis", "+ L_seg", "+ ANF, L_reg")
TERMS = ("loss", "L_cls", "L_ptc", "L_dis", "L_seg", "L_reg")


@dataclasses.dataclass
class Step:
    """What one side did in one step.

    Attributes:
        terms: Terms of the loss.
        grads: Gradients by our names of the parameters.
        moved: The changes of the parameters.
        rate: Learning rate of the backbone.
        labels: Pseudo-labels of each student before the noise filter, (B, H, W); empty before they are made.
        noisy: What the noise filter discards of them.
    """

    terms: dict[str, float]
    grads: dict[str, Tensor]
    moved: dict[str, Tensor]
    rate: float
    labels: list[Tensor]
    noisy: list[Tensor]


class ReleasedLoop:
    """The released loop on batches that are handed in, without its loader."""

    def __init__(self, options: argparse.Namespace) -> None:
        T, phase = options.steps, options.steps // 4
        settings = dict(max_iters=T, cam_iters=phase, gmm_iters=2 * phase, warmup_iters=phase // 2, lr=options.lr)
        case = dataclasses.replace(CASE, size=options.size, batch=options.batch)
        self.side = Released(options.reference, case, "cpu", options.threads, settings)
        self.model, self.names = self.side.model, self.side.names
        self.made: list[Tensor] = []
        self._spy("refine_cams_with_dynamic_thres")
        self.names["GaussianMixture"] = in_float64(self.side.mixture)

    def _spy(self, name: str) -> None:
        helper = self.names["cam_helper"]
        original = getattr(helper, name)

        def spy(*given: Any, **named: Any) -> Tensor:
            label: Tensor = original(*given, **named)
            self.made.append(label.clone())
            return label

        setattr(helper, name, spy)

    def start_from(self, state: dict[str, Tensor]) -> None:
        """Take our weights."""
        own = self.model.state_dict()
        for key, value in own.items():
            for name in convert({key: value}, set(state)):
                if name in state:
                    value.copy_(state[name].reshape(value.shape))

    def ours(self, named: dict[str, Tensor], expected: set[str]) -> dict[str, Tensor]:
        """Rename tensors of its parameters to our names and shapes."""
        return {k: v for k, v in convert(dict(named), expected).items() if k in expected}

    def weights(self, expected: set[str]) -> dict[str, Tensor]:
        """Return a copy of its weights by our names."""
        return self.ours({k: v.detach().clone() for k, v in self.model.state_dict().items()}, expected)

    def step(self, t: int, batch: dict[str, Any], expected: set[str]) -> tuple[Step, Tensor]:
        """Take a step; also return its strong view before flip and scale, uint8 (B, 3, H, W)."""
        self.made.clear()
        before = self.weights(expected)
        values = {"n_iter": t, "inputs": batch["image"], "cls_label": batch["tags"], "img_box": batch["box"]}
        local = self.side.run_step(**values)
        given = {"loss": "loss", "cls_loss": "L_cls", "ptc_loss": "L_ptc", "sim_loss": "L_dis"}
        # In the first iteration of a phase its new terms are computed, and weighed with 0.
        given |= {"seg_loss": "L_seg"} if t > self.side.args.cam_iters else {}
        given |= {"reg_loss": "L_reg"} if t > self.side.args.gmm_iters else {}
        terms = {ours: float(local[theirs].detach().sum()) for theirs, ours in given.items()}
        grads = {k: p.grad.clone() for k, p in self.model.named_parameters() if p.grad is not None}
        after = self.weights(expected)
        labels = [y.long() for y in self.made]
        filtered = [local[f"refined_pseudo_label_{i + 1}"].long() for i in range(len(labels))]
        noisy = [(y != IGNORE) & (z == IGNORE) for y, z in zip(labels, filtered, strict=True)]
        rate = self.names["optim"].param_groups[0]["lr"]
        strong = (denormalise(local["inputs_aug"].flip(-1)) * 255).round().to(torch.uint8)
        moved = {k: after[k] - before[k] for k in after}
        return Step(terms, self.ours(grads, expected), moved, rate, labels, noisy), strong


class GivenColours(StrongPerturbation):
    """The strong augmentation with given colours; flip and scale are its own."""

    given: Iterator[Tensor]

    def colour(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        """Return the next given image."""
        return next(self.given)


class OurLoop:
    """Our recipe ``voc/dupl_released`` with the loop's own step, optimiser and schedule."""

    def __init__(self, options: argparse.Namespace, *further: str) -> None:
        T, phase = options.steps, options.steps // 4
        case = CASES["tiny"]
        changes = [
            f"model.network.backbone.name={case.backbone}",
            f"model.network.backbone.weights={options.weights}",
            "model.network.backbone.pretrained=False",
            f"model.threshold.start={phase}",
            f"model.segmentation.start={phase}",
            f"model.noise_filter.start={2 * phase}",
            f"model.consistency.start={2 * phase + 1}",
            f"model.noise_filter.init={installed_init()}",
            f"data.augment.crop={options.size}",
            f"schedule.iterations={T}",
            f"schedule.lr={options.lr}",
            f"schedule.warmup={phase // 2}",
            *further,
        ]
        self.config = overrides.apply(catalogue.load("voc/dupl_released"), overrides.parse(changes))
        self.model: Any = build.build_model(self.config, 21, torch.device("cpu")).train()
        strong = self.config.model.perturb.to_dict()
        strong.pop("type")
        self.model.perturb = GivenColours(**strong)
        schedule = self.config.schedule.to_dict()
        self.optimizer = build_optimizer(self.model, schedule, 1)
        how = {k: schedule[k] for k in ("warmup", "warmup_ratio", "power")}
        self.rates = WarmupPoly(self.optimizer, T=T, **how)
        self.guard, self.T = FiniteGuard(), T
        self.labels: list[Any] = []
        make = self.model.make_labels

        def spy(*given: Any) -> Any:
            self.labels = make(*given) or []
            return self.labels or None

        self.model.make_labels = spy
        self.noisy: list[Tensor] = []
        filter_noise = self.model.noise_filter.noisy

        def record(losses: Tensor, labels: Tensor) -> Tensor:
            self.noisy.append(filter_noise(losses, labels))
            return self.noisy[-1]

        self.model.noise_filter.noisy = record

    def batches(self, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
        """Yield batches of photos with the weak augmentation, normalised as the released loader does."""
        view = TrainView(VOC(options.images, options.split), self.config.data.augment.to_dict(), 0)
        order = PositionSampler(len(view), options.batch, 0)
        mean, std = (torch.tensor(c)[:, None, None] for c in (IMAGE_MEAN, IMAGE_STD))
        for batch in DataLoader(view, options.batch, sampler=order):
            yield batch | {"image": (denormalise(batch["image"]) - mean) / std}

    def step(self, t: int, batch: dict[str, Any], strong: Tensor) -> Step:
        """Take a step with the given colours of the strong view."""
        self.model.perturb.given = iter(strong)
        self.labels, self.noisy = [], []
        before = {k: p.detach().clone() for k, p in self.model.named_parameters()}
        rate = self.optimizer.param_groups[0]["lr"]
        grads: dict[str, Tensor] = {}
        step = self.optimizer.optimizer.step

        def keep(*given: Any, **named: Any) -> Any:
            grads.update({k: p.grad.clone() for k, p in self.model.named_parameters() if p.grad is not None})
            return step(*given, **named)

        self.optimizer.optimizer.step = keep
        terms = train_step(self.model, {**batch, "clock": Clock(t, self.T)}, self.optimizer, self.guard)
        self.optimizer.optimizer.step = step
        self.rates.step()
        moved = {k: p.detach() - before[k] for k, p in self.model.named_parameters()}
        labels = [label.y for label in self.labels]
        noisy = [n.view_as(labels[0]) for n in self.noisy] or [torch.zeros_like(y, dtype=torch.bool) for y in labels]
        return Step({k: float(v) for k, v in terms.items() if k in TERMS}, grads, moved, rate, labels, noisy)


def relative(one: Tensor, other: Tensor) -> float:
    """Return the length of the difference over that of the first; 0 where both are 0."""
    length = float(one.norm())
    return float((one - other).norm()) / length if length else float(other.norm() > 0)


@dataclasses.dataclass
class Apart:
    """How far two steps are apart."""

    terms: dict[str, float]
    grads: list[float]
    moved: list[float]
    rate: float
    labels: tuple[int, int]
    noisy: tuple[int, int, int]

    @classmethod
    def of(cls, theirs: Step, ours: Step) -> Apart:
        """Compare a released step with ours."""
        terms = {
            k: abs(ours.terms[k] - v) / max(abs(v), 1e-12) if v != ours.terms[k] else 0.0
            for k, v in theirs.terms.items()
        }
        grads = [relative(g, ours.grads[k].view_as(g)) for k, g in theirs.grads.items() if k in ours.grads]
        moved = [relative(m, ours.moved[k].view_as(m)) for k, m in theirs.moved.items()]
        pairs = list(zip(theirs.labels, ours.labels, strict=True))
        labels = sum(int((a != b).sum()) for a, b in pairs), sum(a.numel() for a, _ in pairs)
        masks = list(zip(theirs.noisy, ours.noisy, strict=True))
        noisy = tuple(sum(int(f(a, b).sum()) for a, b in masks) for f in (_first, _second, torch.logical_xor))
        return cls(terms, grads, moved, abs(theirs.rate - ours.rate), labels, noisy)  # type: ignore[arg-type]


def _first(a: Tensor, _: Tensor) -> Tensor:
    return a


def _second(_: Tensor, b: Tensor) -> Tensor:
    return b


def table(found: list[Apart], steps: int) -> list[str]:
    """Return the comparison by phase as Markdown."""
    quarter = steps // 4
    parts = [found[:quarter], found[quarter : 2 * quarter], found[2 * quarter :]]
    lines = ["| largest difference in the phase | " + " | ".join(PHASES) + " |", "|---|---|---|---|"]

    def line(title: str, cells: list[str]) -> None:
        lines.append(f"| {title} | " + " | ".join(cells) + " |")

    line("steps", [str(len(part)) for part in parts])
    for name in TERMS:
        values = [[step.terms[name] for step in part if name in step.terms] for part in parts]
        line(f"{name}, relative", [f"{max(v):.1e}" if v else "–" for v in values])
    medians = [[float(np.median(step.grads)) for step in part] for part in parts]
    line("gradients, relative: median of the parameters", [f"{max(v):.1e}" for v in medians])
    line("gradients, relative: largest of the parameters", [f"{max(max(s.grads) for s in part):.1e}" for part in parts])
    moves = [[float(np.median(step.moved)) for step in part] for part in parts]
    line("change of the weights, relative: median of the parameters", [f"{max(v):.1e}" for v in moves])
    line("learning rate", [f"{max(s.rate for s in part):.1g}" for part in parts])
    line("pseudo-labels: pixels that differ, of all", [_sum(part, "labels") for part in parts])
    line("filtered pixels: released, ours, differing", [_sum(part, "noisy") for part in parts])
    return lines


def table_of_values(varied: dict[str, list[Apart]], steps: int) -> list[str]:
    """Return what each other value changes, over the steps of the last two phases, as Markdown."""
    terms = [name for name in TERMS if name not in ("L_cls", "L_dis")]
    lines = [
        "| value | " + " | ".join(f"{name}, mean (largest)" for name in terms) + " | gradients, median | "
        "pseudo-labels that differ | filtered pixels that differ |",
        "|---" * (len(terms) + 4) + "|",
    ]
    for change, found in varied.items():
        part = found[steps // 4 :]
        values = [[step.terms[name] for step in part if name in step.terms] for name in terms]
        cells = [f"{100 * np.mean(v):.2g} % ({100 * max(v):.2g} %)" if v else "–" for v in values]
        different, pixels = np.sum([step.labels for step in part], 0)
        filtered, _, apart = np.sum([step.noisy for step in part], 0)
        cells += [f"{np.median([np.median(step.grads) for step in part]):.1e}", f"{100 * different / pixels:.3f} %"]
        lines.append(f"| `{change}` | " + " | ".join(cells) + f" | {apart:,} of {filtered:,} |")
    return lines


def _sum(part: list[Apart], name: str) -> str:
    return ", ".join(f"{n:,}" for n in np.sum([getattr(step, name) for step in part], 0))


def main(arguments: list[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", metavar="PATH", required=True, help="a checkout of the released repository")
    parser.add_argument("--images", metavar="DIR", required=True, help="photos in VOC layout")
    parser.add_argument("--split", default="train", help="a list of that folder; default: train")
    parser.add_argument("--weights", metavar="FILE", required=True, help="ImageNet weights of DeiT-tiny")
    parser.add_argument("--steps", type=int, default=64, help="a quarter each for the first two phases; default: 64")
    parser.add_argument("--size", type=int, default=CASE.size, help=f"crop in pixels; default: {CASE.size}")
    parser.add_argument("--batch", type=int, default=CASE.batch, help=f"images of a step; default: {CASE.batch}")
    parser.add_argument("--lr", type=float, default=6e-5, help="default: 6e-5")
    parser.add_argument("--threads", type=int, help="of torch; default: its own choice")
    parser.add_argument("--free", action="store_true", help="do not set our weights to the released ones")
    parser.add_argument("--vary", nargs="+", default=[], metavar="PATH=VALUE", help="also ours with one other value")
    parser.add_argument("--markdown", metavar="OUT", type=Path)
    options = parser.parse_args(arguments)
    if not (Path(options.reference) / SCRIPT).is_file():
        parser.error(f"--reference {options.reference}: no {SCRIPT} there; give a checkout of the released repository")
    keep_memory()
    random.seed(0)  # the released strong view draws from it
    theirs, ours = ReleasedLoop(options), OurLoop(options)
    others = {change: OurLoop(options, change) for change in options.vary}
    expected = set(ours.model.state_dict())
    trained = {k for k, p in ours.model.named_parameters() if p.requires_grad}
    theirs.start_from(ours.model.state_dict())
    found: list[Apart] = []
    varied: dict[str, list[Apart]] = {change: [] for change in others}
    begun = time.monotonic()
    for t, batch in zip(range(options.steps), ours.batches(options), strict=False):
        for loop in (ours, *others.values()) if not options.free else ():
            loop.model.load_state_dict(theirs.weights(expected), strict=False)
        released, strong = theirs.step(t, batch, trained)
        for change, other in others.items():
            varied[change].append(Apart.of(released, other.step(t, batch, strong)))
        apart = Apart.of(released, ours.step(t, batch, strong))
        found.append(apart)
        told = ", ".join(f"{k} {v:.1e}" for k, v in apart.terms.items())
        grads, seconds = f"{np.median(apart.grads):.1e}", time.monotonic() - begun
        print(f"step {t}: {told}; gradients {grads}; filtered {apart.noisy}; {seconds:.0f} s", flush=True)
    lines = [
        f"{options.steps} steps of DeiT-tiny, {options.size} px, batch {options.batch}, "
        f"{'each side on its own' if options.free else 'from the same weights in each step'}; "
        f"{machine()['cpu']}, {torch.get_num_threads()} threads; torch {torch.__version__}, {installed_init()}.",
        "",
        *table(found, options.steps),
    ]
    if others:
        lines += ["", *table_of_values(varied, options.steps)]
    print("\n".join(["", *lines]))
    if options.markdown is not None:
        options.markdown.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
