"""Runs the released implementation of ToCo from a checkout of its repository, without a line of it in ours.

Its training script is cut as DuPL's is (see ``released.py``). The extension that filters for its dense energy is built
from a checkout of the repository that it comes from, with g++, or replaced by our lattice where none is given.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from released import Script, accept_floats, free, loaded, offer_transformer, open_checkout
from torch import Tensor, nn
from workers import Case, Side

from dupl.method.permutohedral import PermutohedralFilter, bilateral_features

SCRIPT = "scripts/dist_train_voc_seg_neg.py"
LATTICE = "pytorch/wrapper/bilateralfilter"  # of the repository of the extension
TERMS = {
    "loss": "loss",
    "ptc_loss": "L_ptc",
    "ctc_loss": "L_ctc",
    "seg_loss": "L_seg",
    "reg_loss": "L_energy",
}


class ReleasedToCo(Side):
    """The released implementation of a case.

    Args:
        root: A checkout of its repository.
        lattice: A checkout of the repository of its extension; None: our lattice in its place.
        case: What to measure.
        device: "cpu" or "cuda".
        threads: Of torch; None: torch's choice.
        crop: Side of the local crops.
    """

    def __init__(
        self, root: str, lattice: str | None, case: Case, device: str, threads: int | None, crop: int = 96
    ) -> None:
        self.use(device, threads)
        warnings.simplefilter("ignore")
        checkout = Path(root).resolve()
        open_checkout(checkout, SCRIPT)
        sys.modules["bilateralfilter"] = extension(lattice)
        if device == "cpu":
            Tensor.cuda = lambda self, *_, **__: self  # type: ignore[method-assign,assignment]
        self.case, self.script = case, Script(checkout / SCRIPT, device)
        self.names: dict[str, Any] = {"__name__": "released_step"}
        self.script.execute(self.script.imports(), self.names)
        self.args = self.script.arguments(self.names)
        vars(self.args).update(
            spg=case.batch,
            crop_size=case.size,
            num_classes=case.classes,
            pretrained=False,
            lr=0.0,
            local_crop_size=crop,
        )
        self.model = self._model().to(device)
        self.names |= {"model": self.model, "args": self.args, "device": torch.device(device)}
        body, fetched = self.script.step()
        inputs = (fetched & loaded(body)) | {self.script.loop.target.id}  # type: ignore[attr-defined]
        self.script.execute(self.script.before(free(body, self.names) - inputs, self.names), self.names)
        self.run_step = self.script.function(body, inputs, self.names)
        accept_floats(self.names["evaluate"])
        self.choose = self.names["crop_from_roi_neg"]

    def _model(self) -> nn.Module:
        """Its network on its own transformer of the case's size."""
        self.args.backbone = offer_transformer(self.case)
        made: nn.Module = self.names["network"](
            backbone=self.args.backbone,
            num_classes=self.case.classes,
            pretrained=False,
            init_momentum=self.args.momentum,
            aux_layer=self.args.aux_layer,
        )
        return made.train()

    def layout(self) -> dict[str, tuple[int, ...]]:
        """Keys and shapes of its weights."""
        return {k: tuple(v.shape) for k, v in self.model.state_dict().items()}

    def save(self, file: str) -> None:
        """Write random weights as its script does."""
        torch.save(self.model.state_dict(), file)

    def load(self, folder: str) -> None:
        """Take the weights and the batch that our side wrote."""
        wrong = self.model.load_state_dict(torch.load(f"{folder}/weights.pt"), strict=False)
        unused = [k for k in wrong.missing_keys if ".head." not in k and not k.endswith("weight_g")]
        if unused or wrong.unexpected_keys:
            raise SystemExit(f"weights do not fit the released network: {unused} {wrong.unexpected_keys}")
        self.batch: dict[str, Tensor] = torch.load(f"{folder}/batch.pt")

    def step(self, t: int, same_crops: bool = False) -> dict[str, float]:
        """One training step, the optimiser's included; the loss terms.

        Args:
            t: Iteration, of 20,000.
            same_crops: Whether to cut at the given places instead of drawing them.
        """
        self.names["crop_from_roi_neg"] = self._cut_at_places if same_crops else self.choose
        given = self.batch
        local = self.run_step(
            n_iter=t,
            inputs=given["image"],
            cls_label=given["tags"],
            img_box=given["box"],
            crops=[given["image"], given["other_view"], given["local_source"]],
        )
        terms = {ours: float(local[theirs].detach().sum()) for theirs, ours in TERMS.items()}
        terms["L_cls"] = float(local["cls_loss"].detach() + local["cls_loss_aux"].detach())
        return terms

    def gradients(self, t: int) -> dict[str, NDArray[np.float32]]:
        """Gradients of a step with the given places to cut, by the name of the weight."""
        self.step(t, same_crops=True)
        return {n: p.grad.cpu().numpy() for n, p in self.model.named_parameters() if p.grad is not None}

    def predict(self, images: Tensor) -> tuple[NDArray[np.float32], ...]:
        """Scores, logits, CAMs and auxiliary CAMs of images, by its evaluation."""
        self.model.eval()
        with torch.no_grad():
            scores, logits, _, _ = self.model(images)
            cams, aux = self.names["multi_scale_cam2"](self.model, images, self.args.cam_scales)
        self.model.train()
        return tuple(x.numpy() for x in (scores, logits, cams, aux))

    def _cut_at_places(self, images: Tensor, roi_mask: Tensor, crop_num: int, crop_size: int) -> Any:
        """Its own choice, with a permutation that begins with the given places."""
        half, draw, turn = crop_size // 2, torch.randperm, iter(range(len(images)))

        def permutation(count: int) -> Tensor:
            i = next(turn)
            inner = roi_mask[i, half : roi_mask.shape[1] - half, half : roi_mask.shape[2] - half] <= 1
            if int(inner.sum()) < crop_num:
                inner = torch.ones_like(inner)
            place = inner.flatten().cumsum(0) - 1
            rows, columns = self.batch["places"][i].unbind(1)
            wanted = rows * inner.shape[1] + columns
            if not bool(inner.flatten()[wanted].all()):
                raise SystemExit("a given place to cut is none of the released candidates: the CAMs differ")
            first = place[wanted]
            rest = torch.ones(count, dtype=torch.bool)
            rest[first] = False
            return torch.cat([first, rest.nonzero()[:, 0]])

        torch.randperm = permutation  # type: ignore[assignment]
        try:
            return self.choose(images=images, roi_mask=roi_mask, crop_num=crop_num, crop_size=crop_size)
        finally:
            torch.randperm = draw  # type: ignore[assignment]


def extension(lattice: str | None) -> ModuleType:
    """The module of the released extension: built from its sources, or with our lattice."""
    module = ModuleType("bilateralfilter")
    module.bilateralfilter = None  # type: ignore[attr-defined]
    if lattice is None:
        module.bilateralfilter_batch = _ours  # type: ignore[attr-defined]
        return module
    source, folder = Path(lattice).resolve() / LATTICE, tempfile.mkdtemp()
    library = Path(folder) / "bilateralfilter.so"
    files = [str(source / name) for name in ("bilateralfilter.cpp", "permutohedral.cpp")]
    subprocess.run(["g++", "-O3", "-fopenmp", "-shared", "-fPIC", "-o", str(library), *files], check=True)
    symbols = subprocess.run(["nm", "-D", str(library)], check=True, capture_output=True, text=True).stdout.split()
    function = ctypes.CDLL(str(library))[next(name for name in symbols if "bilateralfilter_batch" in name)]

    def batch(*given: Any) -> None:
        arrays, sizes, widths = given[:3], given[3:7], given[7:]
        pointers = [a.ctypes.data_as(ctypes.POINTER(ctypes.c_float)) for a in arrays]
        flat = [x for pair in zip(pointers, (a.size for a in arrays), strict=True) for x in pair]
        function(*flat, *map(int, sizes), *map(ctypes.c_float, widths))

    module.bilateralfilter_batch = batch  # type: ignore[attr-defined]
    return module


def _ours(
    images: NDArray[np.float32],
    maps: NDArray[np.float32],
    out: NDArray[np.float32],
    N: int,
    K: int,
    H: int,
    W: int,
    sigma_rgb: float,
    sigma_xy: float,
) -> None:
    """The extension's function by our lattice."""
    for n in range(N):
        image = torch.from_numpy(images.reshape(N, 3, H, W)[n]).permute(1, 2, 0)
        rows = torch.from_numpy(maps.reshape(N, K, H * W)[n].T.copy())
        found = PermutohedralFilter(bilateral_features(image, sigma_xy, sigma_rgb), normalise=False)(rows)
        out.reshape(N, K, H * W)[n] = found.T.numpy()
