"""Runs the released evaluation script from a checkout of its repository, without a line of it in ours.

The script is parsed where it lies; its functions are compiled, with the device "cuda" read as "cpu". Photos, masks and
results pass through Pillow instead of imageio, progress bars and tables are left out.
"""

from __future__ import annotations

import ast
import contextlib
import io
import os
import sys
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from final import EVALUATE, FinalSide
from PIL import Image
from released import OnCpu, compiled, loaded, open_checkout, stored


class ReleasedFinal(FinalSide):
    """The released evaluation of a network.

    Args:
        root: A checkout of its repository.
        network: Measures of its transformer.
        folder: Of the data, the weights and what it writes.
        jobs: Processes of its CRF; None leaves that to it.
    """

    def __init__(self, root: str, network: dict[str, int], folder: str, jobs: int | None) -> None:
        super().__init__()
        checkout, self.folder = Path(root).resolve(), Path(folder)
        open_checkout(checkout)
        sys.modules["imageio"] = pictures()
        torch.cuda.device = lambda _: contextlib.nullcontext()  # type: ignore[assignment, misc]
        self.path = checkout / EVALUATE
        self.tree = OnCpu().visit(ast.parse(self.path.read_text(encoding="utf-8"), str(self.path)))
        self.names: dict[str, Any] = {"__name__": "released_evaluation"}
        body = self.tree.body
        kinds = (ast.Import, ast.ImportFrom, ast.FunctionDef)
        self._execute([n for n in body if isinstance(n, kinds)])
        self._execute(
            [n for n in body if isinstance(n, (ast.Assign, ast.Expr)) and "parser" in loaded([n]) | stored([n])]
        )
        self.args = self.names["args"] = self.names["parser"].parse_args([])
        lists = self.folder / "data/ImageSets/Segmentation"
        vars(self.args).update(data_folder=str(self.folder / "data"), list_folder=str(lists))
        self.names["tqdm"] = lambda items, **_: items
        self.names["format_tabs"] = lambda *_, **__: ""
        if jobs:
            self.names["os"] = Cores(jobs)
        self.scores, self.counted = self.names["evaluate"].scores, list[Any]()
        self.names["evaluate"].scores = self._score
        self.model = self._model(network)

    def _execute(self, lines: list[ast.stmt]) -> None:
        module = ast.fix_missing_locations(ast.Module(lines, []))
        exec(compile(module, str(self.path), "exec"), self.names)

    def _model(self, network: dict[str, int]) -> Any:
        """Its network on its own transformer, with the exported weights."""
        import model.backbone as backbones
        from model.backbone.vit import VisionTransformer

        norm = partial(torch.nn.LayerNorm, eps=1e-6)
        backbones.vit_of_the_run = lambda pretrained=False, aux_layer=-3: VisionTransformer(
            mlp_ratio=4, qkv_bias=True, norm_layer=norm, aux_layer=aux_layer, **network
        )
        built = self.names["siamese_network"](
            backbone="vit_of_the_run", num_classes=self.args.num_classes, pretrained=False, aux_layer=-3
        )
        wrong = built.load_state_dict(torch.load(self.folder / "weights.pt"), strict=False)
        if wrong.unexpected_keys or any(".head." not in key for key in wrong.missing_keys):
            raise SystemExit(f"weights do not fit the released network: {wrong}")
        return built.eval()

    def jobs(self) -> int:
        """Processes of its CRF."""
        count = self.names["os"].cpu_count()
        return int(count * 0.8)

    def segment(self, chunk: str) -> list[Any]:
        """Its multi-scale pass over a chunk, logits on the disk; confusion matrices of both students."""
        self._use(chunk)
        (validate,) = (n for n in self.tree.body if isinstance(n, ast.FunctionDef) and n.name == "validate")
        loader = [n for n in validate.body if stored([n]) & {"val_dataset", "val_loader"}]
        local = compiled(loader, ["args"], self.names, self.path)(args=self.args)
        with contextlib.redirect_stdout(io.StringIO()):
            self.names["_validate"](model=self.model, data_loader=local["val_loader"], args=self.args)
        return self._matrices()

    def refine(self, chunk: str, student: int) -> list[Any]:
        """Its CRF over a chunk, from those logits; the confusion matrix."""
        self._use(chunk)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            self.names["crf_proc"](f"branch{student + 1}")
        return self._matrices()

    def _use(self, chunk: str) -> None:
        """Point it at a list, and make the folders that its main part makes."""
        self.counted.clear()
        out = self.folder / "released"
        folders = dict(
            logits_dir=out / "logits" / chunk, segs_dir=out / "segs" / chunk, segs_rgb_dir=out / "rgb" / chunk
        )
        vars(self.args).update(infer_set=chunk, **{name: str(path) for name, path in folders.items()})
        for path in (*folders.values(), folders["logits_dir"] / "branch1", folders["logits_dir"] / "branch2"):
            path.mkdir(parents=True, exist_ok=True)

    def _score(self, truths: Any, predictions: Any, **given: Any) -> Any:
        self.counted.append((truths, predictions))
        return self.scores(truths, predictions, **given)

    def _matrices(self) -> list[Any]:
        """What it counted, as confusion matrices."""
        from dupl.runs.tallies import confusion

        classes = self.args.num_classes
        return [
            sum(confusion(np.asarray(t), np.asarray(p), classes) for t, p in zip(truths, predictions, strict=True))
            for truths, predictions in self.counted
        ]


class Cores:
    """The module ``os``, with such a number of cores that 0.8 of them are as many as asked for."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def cpu_count(self) -> float:
        """Return that number."""
        return (self.jobs + 0.5) / 0.8


def pictures() -> ModuleType:
    """What the script asks of imageio, by Pillow: label ids stay ids."""
    module = ModuleType("imageio")
    vars(module).update(imread=read, imsave=write)
    return module


def read(path: str) -> np.ndarray:
    """Return a picture's array."""
    with Image.open(path) as picture:
        return np.array(picture)


def write(path: str, array: np.ndarray) -> None:
    """Write an array as a picture."""
    Image.fromarray(array).save(path)
