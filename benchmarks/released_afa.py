"""The released side of the benchmark of AFA: its own training step, read from its checkout and never copied."""

from __future__ import annotations

import ast
import logging
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from released import Script, StandIn, free, loaded, open_checkout
from torch import Tensor, nn
from workers import Case, Side

SCRIPT = "scripts/dist_train_voc.py"
CONFIG = "configs/voc_attn_reg.yaml"
TERMS = {"loss": "loss", "cls_loss": "L_cls", "seg_loss": "L_seg", "aff_loss": "L_aff"}
LABELS = ("refined_pseudo_label", "refined_aff_label")


class ConvModule(nn.Module):
    """Stand-in for mmcv's layer: a convolution without bias, a batch norm, ReLU; with its names."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, norm_cfg: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, h, w)."""
        y: Tensor = self.bn(self.conv(x))
        return y.relu()


def offer_packages() -> None:
    """Make its layer of mmcv importable, and stand-ins for what its step does not use."""
    layers = StandIn("mmcv.cnn")
    layers.ConvModule = ConvModule  # type: ignore[attr-defined]
    unused = ("mmcv", "datasets", "datasets.voc", "torch.utils.tensorboard")
    sys.modules |= {name: StandIn(name) for name in unused} | {"mmcv.cnn": layers}


def nested(values: Any) -> Any:
    """Turn dicts into namespaces."""
    return SimpleNamespace(**{k: nested(v) for k, v in values.items()}) if isinstance(values, dict) else values


class ReleasedAFA(Side):
    """The released implementation of a case.

    Args:
        root: A checkout of its repository.
        lattice: Not used: its dense energy is commented out.
        case: What to measure.
        device: "cpu" or "cuda".
        threads: Of torch; None: torch's choice.
    """

    def __init__(self, root: str, lattice: str | None, case: Case, device: str, threads: int | None) -> None:
        self.use(device, threads)
        warnings.simplefilter("ignore")
        logging.disable()
        checkout = Path(root).resolve()
        open_checkout(checkout, SCRIPT)
        offer_packages()
        self.case, self.script = case, Script(checkout / SCRIPT, device)
        self.names: dict[str, Any] = {"__name__": "released_step"}
        self.script.execute(self.script.imports(), self.names)
        functions = [n for n in self.script.tree.body if isinstance(n, ast.FunctionDef)]
        self.script.execute(functions, self.names)
        args = self.script.arguments(self.names)
        cfg = nested(yaml.safe_load((checkout / CONFIG).read_text()))
        cfg.dataset.crop_size, cfg.train.samples_per_gpu, cfg.optimizer.learning_rate = case.size, case.batch, 0.0
        cfg.scheduler.warmup_ratio = float(cfg.scheduler.warmup_ratio)  # 1e-6 is a string to YAML 1.1
        cfg.cam.high_thre, cfg.cam.low_thre = args.high_thre, args.low_thre
        self.cfg = cfg
        self.model: Any = self.names["WeTr"](
            case.backbone, num_classes=case.classes, embedding_dim=256, stride=cfg.backbone.stride, pooling=args.pooling
        )
        self.model.encoder.reset_drop_path(0.0)
        self.model.decoder.dropout.p = 0.0
        self.model.to(device).train()
        self.names |= {"wetr": self.model, "cfg": cfg, "args": args, "device": torch.device(device)}
        body, fetched = self.script.step()
        inputs = (fetched & loaded(body)) | {self.script.loop.target.id, "bkg_cls"}  # type: ignore[attr-defined]
        self.script.execute(self.script.before(free(body, self.names) - inputs, self.names), self.names)
        self.names["par"].to(device)
        self.run_step = self.script.function(body, inputs, self.names)
        self.inputs = inputs

    def layout(self) -> dict[str, tuple[int, ...]]:
        """Keys and shapes of the weights."""
        state = self.model.state_dict()
        return {k: tuple(v.shape) for k, v in state.items() if not k.endswith("num_batches_tracked")}

    def save(self, file: str) -> None:
        """Write random weights as its script does."""
        torch.save({f"module.{k}": v for k, v in self.model.state_dict().items()}, file)

    def load(self, folder: str) -> None:
        """Take the weights and the batch that our side wrote."""
        wrong = self.model.load_state_dict(torch.load(f"{folder}/weights.pt"), strict=False)
        missing = [k for k in wrong.missing_keys if not k.endswith("num_batches_tracked")]
        if missing or wrong.unexpected_keys:
            raise SystemExit(f"weights do not fit the released network: {missing} {wrong.unexpected_keys}")
        self.batch: dict[str, Tensor] = torch.load(f"{folder}/batch.pt")

    def step(self, t: int) -> dict[str, float]:
        """One training step, the optimiser's included; the loss terms."""
        given = self.batch
        values = dict(
            n_iter=t,
            img_name=None,
            inputs=given["image"],
            cls_labels=given["tags"],
            img_box=given["box"].tolist(),
            bkg_cls=torch.ones(len(given["image"]), 1),
        )
        local = self.run_step(**{k: v for k, v in values.items() if k in self.inputs})
        self.made = [local[name].long().cpu().numpy() for name in LABELS]
        return {ours: float(local[theirs].detach()) for theirs, ours in TERMS.items()}

    def labels(self) -> list[NDArray[np.int64]]:
        """Labels of the CAMs and of the propagated CAMs of the last step."""
        return self.made

    def gradients(self, t: int) -> dict[str, NDArray[np.float32]]:
        """Gradients of a step by the name of the weight."""
        self.step(t)
        return {n: p.grad.cpu().numpy() for n, p in self.model.named_parameters() if p.grad is not None}

    def predict(self, images: Tensor) -> tuple[NDArray[np.float32], ...]:
        """Scores, logits and CAMs of images, by its functions."""
        self.model.eval()
        images = images.to(self.device)
        with torch.no_grad():
            scores, logits, *_ = self.model(images)
            cams = self.names["multi_scale_cam"](self.model, images, self.cfg.cam.scales)
        self.model.train()
        return tuple(x.cpu().numpy() for x in (scores, logits, cams))
