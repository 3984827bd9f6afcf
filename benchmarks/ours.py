"""Our side of a benchmark: a recipe, ``voc/dupl_released`` unless said, on the network, crop and batch of a case."""

from __future__ import annotations

import importlib.metadata
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode
from workers import Case, Side

from dupl.config import catalogue, overrides
from dupl.data.base import ImageSet
from dupl.data.classes import VOC_CLASSES
from dupl.data.toy import Toy
from dupl.data.views import TrainView, normalize
from dupl.data.voc import VOC
from dupl.engine.build import build_model
from dupl.engine.evaluation.evaluate import evaluate
from dupl.engine.memory import keep_memory
from dupl.engine.precision import capability, computes_bfloat16
from dupl.engine.preprocess import to_device
from dupl.engine.training.finite_guard import FiniteGuard
from dupl.engine.training.loop import PositionSampler
from dupl.engine.training.optimizer import build_optimizer
from dupl.engine.training.step import train_step
from dupl.method.cam import Present
from dupl.method.pixels import denormalise, normalise
from dupl.method.released_layout import convert
from dupl.method.view import View
from dupl.runs import provenance
from dupl.structures import IGNORE, Clock

LAST = 0.7  # of the iterations: in the last phase
# What a breakdown of the step times: attributes of the model, by what it prints.
PARTS = {
    "forward of both students": "forward_students",
    "CAM passes": "compute_cams",
    "refinement, pseudo-labels": "make_labels",
    "noise filter (ANF)": "noise_filter",
    "strong view and its forward": "strong_forward",
    "L_cls": "classification",
    "L_ptc": "patch_contrast",
    "L_dis": "discrepancy",
    "logits to pixels": "log_probabilities",
    "L_seg": "segmentation",
    "L_reg": "consistency",
}


class Held(ImageSet):
    """Photos, tags and masks in memory."""

    has_masks = True

    def __init__(self, source: ImageSet, count: int, classes: int) -> None:
        self.classes = VOC_CLASSES if classes == len(VOC_CLASSES) else tuple(f"class {i}" for i in range(classes))
        chosen = [i for i in range(min(len(source), 4 * count)) if source.mask(i) is not None][:count]
        self.items = [(source.image(i), self._widen(source.tags(i)), source.mask(i)) for i in chosen]
        self.names = [source.names[i] for i in chosen]

    def _widen(self, tags: NDArray[np.float32]) -> NDArray[np.float32]:
        wide = np.zeros(self.K, np.float32)
        wide[: min(len(tags), self.K)] = tags[: self.K]
        return wide

    def image(self, i: int) -> NDArray[np.uint8]:
        """Return image i, RGB, (H, W, 3)."""
        return self.items[i][0]

    def tags(self, i: int) -> NDArray[np.float32]:
        """Return 0/1 for each foreground class, (K,)."""
        return self.items[i][1]

    def mask(self, i: int) -> NDArray[np.uint8] | None:
        """Return the labels of image i, (H, W)."""
        return self.items[i][2]


class Ours(Side):
    """Our implementation of a case.

    Args:
        case: What to measure.
        device: "cpu" or "cuda".
        threads: Of torch; None: torch's choice.
        images: A folder in VOC layout; None: toy scenes.
        split: A list of that folder.
        weights: ImageNet weights of the backbone in timm's layout; None: random.
        compiled: A backend of torch.compile for the networks' blocks.
        recipe: Of DuPL.
    """

    def __init__(
        self,
        case: Case,
        device: str,
        threads: int | None,
        images: str | None = None,
        split: str = "train",
        weights: str | None = None,
        compiled: str | None = None,
        recipe: str = "voc/dupl_released",
    ) -> None:
        self.use(device, threads)
        if device == "cpu":
            keep_memory()  # as training and evaluation do
        torch.manual_seed(0)
        self.case = case
        self.source: ImageSet = VOC(images, split) if images else Toy(size=case.size)
        self.config = catalogue.load(recipe)
        T = int(self.config.schedule.iterations)
        self.clock = Clock(round(LAST * T), T)  # in the last phase
        self.model = self._model(weights, compiled).train()
        # Rate 0: the optimiser does all its arithmetic, and every repetition starts from the same weights.
        schedule = {**self.config.schedule, "lr": 0.0}
        self.optimizer = build_optimizer(self.model, schedule, 1)
        self.guard = FiniteGuard()
        self.ops = self.model.perturb.ops
        self.batch = self._batch()
        self._teach_heads()

    def _model(self, weights: str | None, compiled: str | None) -> Any:
        case = self.case
        changes: list[str] = [
            f"model.network.backbone.name={case.backbone}",
            f"model.network.backbone.weights={weights}",
            "model.network.backbone.pretrained=False",
            f"model.noise_filter.init={installed_init()}",
        ]
        if case.classes != len(VOC_CLASSES):
            changes.append("model.threshold.final=[0.55]")
        if case.students == 1:
            changes += ["model.students.type=SingleStudent", "model.discrepancy={'type': 'NoDiscrepancy'}"]
        config = overrides.apply(self.config, overrides.parse(c for c in changes if not c.endswith("=None")))
        config.model.network.backbone.options = dict(embed_dim=case.dim, depth=case.depth, num_heads=case.heads)
        config.runtime.update(precision="off", compile=compiled)
        return build_model(config, case.classes, torch.device(self.device))

    def _batch(self) -> dict[str, Any]:
        """Make a batch of photos squashed to the crop, each with as many classes as the case says, its own ones first.

        They are normalised as the released loader does it, so that both sides truncate the same levels. In every second
        image the lowest eighth counts as padding.
        """
        case, draw = self.case, np.random.default_rng(0)
        images, tags, boxes = [], np.zeros((case.batch, case.classes - 1), np.float32), []
        for row in range(case.batch):
            i = row % len(self.source)
            photo = Image.fromarray(self.source.image(i)).resize((case.size, case.size), Image.Resampling.BILINEAR)
            levels = torch.from_numpy(np.array(photo)).permute(2, 0, 1).float()
            images.append(normalise(levels[None] / 255)[0])
            own = np.flatnonzero(self.source.tags(i))
            others = np.setdiff1d(draw.permutation(case.classes - 1), own, assume_unique=True)
            tags[row, np.concatenate([own, others])[: case.present]] = 1
            boxes.append([0, case.size - (row % 2) * case.size // 8, 0, case.size])
        batch = {
            "image": torch.stack(images),
            "tags": torch.from_numpy(tags),
            "box": torch.tensor(boxes),
            "seed": torch.arange(case.batch),
            "name": [str(row) for row in range(case.batch)],
        }
        return batch

    @torch.no_grad()
    def _teach_heads(self) -> None:
        """Fit each last layer to the pseudo-labels that teach it, and make half of the pixels more certain than 0.9.

        So the losses are those of the last phase: small where the students' labels agree, large where they do not.
        With random logits no pixel is sure, L_reg is empty, and the released step leaves out its backward pass.
        """
        model, clock = self.model, self.clock
        batch = to_device({**self.batch, "clock": clock}, torch.device(self.device))
        images, tags, present = (batch[k] for k in ("images", "tags", "present"))
        views, outputs = [View(images, batch["boxes"])] * len(model.students), model.forward_students(images)
        cams = model.compute_cams(views, present, outputs, clock)
        labels = model.make_labels(views, cams, present, model.threshold(clock, tags), clock)
        targets = model.students.exchange([label.y for label in labels])
        for net, output, target in zip(model.students, outputs, targets, strict=True):
            hidden = output.features
            for layer in list(net.head)[:-1]:
                hidden = layer(hidden)  # (B, C, h, w)
            small = F.interpolate(target[:, None].float(), size=hidden.shape[2:], mode="nearest").long().flatten()
            rows = hidden.permute(0, 2, 3, 1).flatten(0, 2)[small != IGNORE].double()
            wanted = F.one_hot(small[small != IGNORE], self.case.classes).double()
            square = rows.T @ rows
            square.diagonal().add_(1e-3 * square.diagonal().mean() + 1e-12)
            weight = torch.linalg.solve(square, rows.T @ wanted).T.float()[..., None, None]
            net.head[-1].weight.copy_(_confident(weight, F.conv2d(hidden, weight)))

    def facts(self) -> dict[str, Any]:
        """Return code, versions, threads and device."""
        import sklearn.metrics  # the evaluation would import it within its first measurement

        code = provenance.code()
        return {
            "code": {"commit": code.commit, "dirty": code.dirty},
            "versions": {k: v for k, v in provenance.versions().items() if v} | {"scikit-learn": sklearn.__version__},
            "threads": torch.get_num_threads(),
            "gpu": None if self.device == "cpu" else torch.cuda.get_device_name(),
            "bf16": computes_bfloat16(torch.device(self.device)),
            "capability": capability(torch.device(self.device)),
        }

    def step(self, t: int | None = None, precision: str = "off", same_strong: bool = False) -> dict[str, float]:
        """Take a training step as the engine does; return the loss terms.

        Args:
            t: Iteration of the recipe; None: one of the last phase.
            precision: "off", "cam" or "bf16".
            same_strong: Whether to leave the colours of the strong view as they are.
        """
        self.model.precision = precision
        self.model.perturb.ops = 0 if same_strong else self.ops
        clock = self.clock if t is None else Clock(t, self.clock.T)
        terms = train_step(self.model, {**self.batch, "clock": clock}, self.optimizer, self.guard)
        return {k: float(v) for k, v in terms.items() if k == "loss" or k.startswith("L_")}

    def flops(self) -> float:
        """Count the operations of matrix products and convolutions in a step of the last phase, backward included."""
        with FlopCounterMode(display=False) as counter:
            self.step()
        return float(counter.get_total_flops())

    def best_rate(self, precision: str, repeats: int = 10) -> float:
        """Return the FLOP/s of one large matrix product in float32 or, with "bf16", bfloat16; the best of some."""
        side = 2048 if self.device == "cpu" else 8192
        a, b = torch.randn(
            2, side, side, device=self.device, dtype=torch.bfloat16 if precision == "bf16" else torch.float32
        )
        seconds = []
        for _ in range(repeats):
            self.settle()
            begun = time.perf_counter()
            a @ b
            self.settle()
            seconds.append(time.perf_counter() - begun)
        return float(2 * side**3 / min(seconds))

    def syncs(self, precision: str) -> int:
        """Count how often a step makes the host wait for the GPU."""
        self.model.precision = precision
        torch.cuda.set_sync_debug_mode("warn")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            train_step(self.model, {**self.batch, "clock": self.clock}, self.optimizer, self.guard)
        torch.cuda.set_sync_debug_mode("default")
        return sum("synchroniz" in str(w.message) for w in caught)

    def load(self, workers: int, seconds: float = 10.0) -> float:
        """Return the images per second of the training loader, with the recipe's augmentation at the case's crop."""
        view = TrainView(self.source, {**self.config.data.augment.to_dict(), "crop": self.case.size}, 0, False)
        order = PositionSampler(len(view), self.case.batch, 0, 0, 1)
        batches = iter(DataLoader(view, self.case.batch, sampler=order, num_workers=workers))
        for _ in range(max(1, 3 * workers)):  # what was fetched ahead
            next(batches)
        begun, count = time.perf_counter(), 0
        while (passed := time.perf_counter() - begun) < seconds:
            count += len(next(batches)["image"])
        return count / passed

    def breakdown(self, repeats: int, precision: str = "off") -> dict[str, float]:
        """Return the median seconds of each part of a step in the last phase."""
        rounds = []
        for _ in range(repeats):
            watch = Watch(self.settle)
            changed = [(self.model, name, watch.on(self.model, name, part)) for part, name in PARTS.items()]
            wrapped = [("backward", "backward"), ("optimiser", "step"), ("optimiser", "zero_grad")]
            changed += [(self.optimizer, name, watch.on(self.optimizer, name, part)) for part, name in wrapped]
            begun = time.perf_counter()
            self.step(precision=precision)
            self.settle()
            total = time.perf_counter() - begun
            for owner, name, undo in changed:
                undo(owner, name)
            rounds.append({**watch.seconds, "rest": total - sum(watch.seconds.values()), "whole step": total})
        return {k: float(np.median([r.get(k, 0.0) for r in rounds])) for k in rounds[0]}

    def export(self, folder: str, layout: dict[str, tuple[int, ...]]) -> None:
        """Write weights in the released layout and the batch."""
        state, expected = self.model.state_dict(), set(self.model.state_dict())
        weights = {}
        for key, shape in layout.items():
            for ours in convert({key: torch.empty(shape)}, expected):
                weights[key] = state[ours].reshape(shape)
        torch.save(weights, Path(folder) / "weights.pt")
        strong = normalise(denormalise(self.batch["image"], self.model.levels)).flip(-1)
        given = {k: self.batch[k].to(self.device) for k in ("image", "tags", "box")}
        torch.save({**given, "strong": strong.to(self.device)}, Path(folder) / "batch.pt")

    def prepare_parts(self, folder: str) -> None:
        """Make the inputs of the parts and of the evaluation, and write them for the released side."""
        torch.manual_seed(1)
        model, clock = self.model, self.clock
        images, tags = (self.batch[k].to(self.device) for k in ("image", "tags"))
        self.present = Present.of(self.batch["tags"]).to(torch.device(self.device))
        self.boxes, self.tau_h = self.batch["box"].to(self.device), model.threshold(clock, tags)
        with torch.no_grad():
            model.precision = "off"
            self.views = [View(images, self.boxes)] * len(model.students)
            self.maps = model.compute_cams(self.views, self.present, model.forward_students(images), clock)
        own = [self._losses(images.shape[-1]) for _ in model.students]
        self.logits, self.own = [p for p, _ in own], [y for _, y in own]
        self.log_P = [p.log_softmax(1) for p in self.logits]  # as the step has them for L_seg already
        out: dict[str, Tensor] = {"photo": denormalise(images, self.model.levels), "tau_h": self.tau_h}
        for s, maps in enumerate(self.maps):
            dense = maps.main.new_zeros(len(images), tags.shape[1], *maps.main.shape[2:])
            index = self.present.index[..., None, None].expand_as(maps.main)
            out[f"cams_{s + 1}"] = dense.scatter_add_(1, index, maps.main)
            out[f"segs_{s + 1}"], out[f"label_{s + 1}"] = self.logits[s], self.own[s]
        torch.save(out, Path(folder) / "parts.pt")
        self.held = Held(self.source, self.case.images, self.case.classes)
        photos = []
        for i, name in enumerate(self.held.names):
            image, mask = normalize(self.held.image(i))[None], torch.from_numpy(self.held.mask(i)).long()[None]
            photos.append((name, image, mask, torch.from_numpy(self.held.tags(i))[None]))
        torch.save(photos, Path(folder) / "photos.pt")

    def _losses(self, size: int) -> tuple[Tensor, Tensor]:
        """Make logits and labels whose losses are of two kinds: a quarter of the plane contradicts the labels."""
        batch, grid = self.case.batch, max(4, size // 16)

        def blobs(channels: int) -> Tensor:
            coarse = torch.randn(batch, channels, grid // 3 + 1, grid // 3 + 1)
            return F.interpolate(coarse, size=(size, size), mode="bilinear", align_corners=False).to(self.device)

        foreground = self.present.label(blobs(self.present.index.shape[1]).argmax(1))
        labels = torch.where(blobs(1)[:, 0] > 0, foreground, 0)
        labels[blobs(1)[:, 0] > 0.8] = IGNORE
        denied = blobs(1)[:, 0] > 0.45
        said = torch.where(denied, (labels + 1) % self.case.classes, labels).clamp(max=self.case.classes - 1)
        logits = torch.randn(batch, self.case.classes, grid, grid).to(self.device)
        logits = F.interpolate(logits, size=(size, size), mode="bilinear", align_corners=False)
        return logits + 4 * F.one_hot(said, self.case.classes).permute(0, 3, 1, 2), labels

    def refine(self) -> None:
        """Refine a batch of both students with both thresholds."""
        self.refined = self.model.make_labels(self.views, self.maps, self.present, self.tau_h, self.clock)

    def labels(self) -> list[NDArray[np.int64]]:
        """Return the labels that ``refine`` made."""
        return [y.y.cpu().numpy() for y in self.refined]

    def filter(self) -> None:
        """Filter a batch of both students."""
        self.noisy = [self.model.noise_filter(p, y, self.clock) for p, y in zip(self.log_P, self.own, strict=True)]
        self.trusted = [y.masked_fill(n, IGNORE) for y, n in zip(self.own, self.noisy, strict=True)]

    def filtered(self) -> list[NDArray[np.bool_]]:
        """Return the pixels that ``filter`` discarded."""
        return [n.cpu().numpy() for n in self.noisy]

    def evaluate(self, precision: str = "off") -> dict[str, float]:
        """Evaluate the photos as during training; return mIoU in percent."""
        self.model.precision = precision
        settings = {**self.config.evaluation.to_dict(), "size": self.case.size}
        metrics = evaluate(self.model, self.held, settings).metrics
        return {k: v for k, v in metrics.items() if k.endswith("mIoU") and k.split("/")[1].isdigit()}


def installed_init() -> str:
    """Return the noise filter's init of the installed scikit-learn, which the released side calls."""
    major, minor = (int(part) for part in importlib.metadata.version("scikit-learn").split(".")[:2])
    return "sklearn-1.3" if (major, minor) >= (1, 3) else "sklearn-1.0"


def _confident(weight: Tensor, logits: Tensor) -> Tensor:
    """Scale the weights of a last layer so that half of the pixels of logits (B, C, h, w) are more certain than 0.9."""
    logits = F.interpolate(logits, scale_factor=4, mode="bilinear", align_corners=False)
    low, high = -10.0, 20.0  # powers of two
    for _ in range(30):
        middle = (low + high) / 2
        sure = bool((logits * 2**middle).softmax(1).amax(1).median() > 0.9)
        low, high = (low, middle) if sure else (middle, high)
    return weight * 2**high


class Watch:
    """Time calls by part; a part's time excludes that of parts inside it.

    Args:
        settle: Waits for the device.
    """

    def __init__(self, settle: Callable[[], None]) -> None:
        self.settle, self.seconds, self.inner = settle, dict[str, float](), [0.0]

    def on(self, owner: Any, name: str, part: str) -> Callable[[Any, str], None]:
        """Put a watch on an attribute of an object; return a function that removes it."""
        actual = getattr(owner, name, None)
        if actual is None:
            return lambda *_: None
        stored = owner.__dict__.get(name)
        owner.__dict__[name] = Watched(self, actual, part)

        def undo(owner: Any, name: str) -> None:
            if stored is None:
                del owner.__dict__[name]
            else:
                owner.__dict__[name] = stored

        return undo


class Watched:
    """A callable whose calls are timed; all other attributes are those of the callable."""

    def __init__(self, watch: Watch, actual: Any, part: str) -> None:
        self.__dict__.update(_watch=watch, _actual=actual, _part=part)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._actual, name)

    def __call__(self, *values: Any, **arguments: Any) -> Any:
        """Call the callable and add its time."""
        watch: Watch = self._watch
        watch.settle()
        begun = time.perf_counter()
        watch.inner.append(0.0)
        answer = self._actual(*values, **arguments)
        watch.settle()
        took = time.perf_counter() - begun
        watch.seconds[self._part] = watch.seconds.get(self._part, 0.0) + took - watch.inner.pop()
        watch.inner[-1] += took
        return answer
