"""Runs the released implementation of CoSA from a checkout of its repository, without a line of it in ours.

Its training script is cut as DuPL's is (see ``released.py``). The extension that filters for its dense energy is
that of ToCo (see ``released_toco.py``).
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from released import Script, free, loaded, offer_transformer, open_checkout
from released_toco import extension
from torch import Tensor, nn
from workers import Case, Side

SCRIPT = "main.py"
TERMS = {"loss": "loss", "seg_loss": "L_seg", "cam_loss": "L_s2c", "reg_loss": "L_energy"}
UNUSED = ("cam_queue", "camaux_queue", "ema_lowthre", "ema_highthre", "ema_auxlowthre", "ema_auxhighthre")  # of its GMM


class ReleasedCoSA(Side):
    """The released implementation of a case.

    Args:
        root: A checkout of its repository.
        lattice: A checkout of the repository of its extension; None: our lattice in its place.
        case: What to measure.
        device: "cpu" or "cuda".
        threads: Of torch; None: torch's choice.
    """

    def __init__(self, root: str, lattice: str | None, case: Case, device: str, threads: int | None) -> None:
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
        self.args = self._arguments()
        self.model, average = self._model().to(device), self._model().to(device)
        self.average = average
        self.names |= dict.fromkeys(UNUSED) | {"args": self.args, "model_AN": average, "device": torch.device(device)}
        body, fetched = self.script.step()
        inputs = (fetched & loaded(body)) | {self.script.loop.target.id}  # type: ignore[attr-defined]
        groups = self.model.get_param_groups()  # type: ignore[operator]
        self.names |= {"param_groups": groups, "model_ON": self.model}
        self.script.execute(self.script.before(free(body, self.names) - inputs, self.names), self.names)
        self.run_step = self.script.function(body, inputs, self.names)

    def _arguments(self) -> Any:
        """Its defaults, with the values of the published log."""
        parser = argparse.ArgumentParser(parents=[self.names["get_parser_voc"]()])
        args, _ = self.names["handle_defaults_voc"](parser.parse_args(["case"]))
        case = self.case
        vars(args).update(
            batch_size=case.batch,
            crop_size=case.size,
            num_classes=case.classes,
            pretrained=False,
            lr=0.0,
            low_thre=0.2,
            max_iters=32000,
        )
        return args

    def _model(self) -> nn.Module:
        """Its network on its own transformer of the case's size."""
        self.args.backbone = offer_transformer(self.case, "models.vit")
        made: nn.Module = self.names["build_model"](self.args)
        return made.train()

    def layout(self) -> dict[str, tuple[int, ...]]:
        """Keys and shapes of the weights of one network."""
        return {k: tuple(v.shape) for k, v in self.model.state_dict().items()}

    def save(self, file: str) -> None:
        """Write random weights as its script does, with the values of its command line."""
        torch.save({"s_or_t": "s", "model": self.model.state_dict(), "epoch": 1, "args": self.args}, file)

    def load(self, folder: str) -> None:
        """Take the weights and the batch that our side wrote."""
        for net, name in ((self.model, "online"), (self.average, "average")):
            wrong = net.load_state_dict(torch.load(f"{folder}/{name}.pt"), strict=False)
            unused = [k for k in wrong.missing_keys if ".head." not in k]
            if unused or wrong.unexpected_keys:
                raise SystemExit(f"weights do not fit the released network: {unused} {wrong.unexpected_keys}")
        self.batch: dict[str, Tensor] = torch.load(f"{folder}/batch.pt")

    def step(self, t: int) -> dict[str, float]:
        """One training step, the optimiser's included; the loss terms."""
        given = self.batch
        values = dict(
            n_iter=t,
            img_name=None,
            wimg=given["image"],
            simg=given["strong"],
            cls_label=given["tags"],
            img_box=given["box"],
        )
        local = self.run_step(**{k: v for k, v in values.items() if k in self._parameters()})
        self.made = [local[name].long().cpu().numpy() for name in ("refine_mask_label", "refine_mask_label_aux")]
        terms = {ours: float(local[theirs].detach().sum()) for theirs, ours in TERMS.items()}
        terms["L_cls"] = float(local["cls_loss"].detach() + local["cls_loss_aux"].detach())
        return terms

    def labels(self) -> list[NDArray[np.int64]]:
        """Labels of both CAMs of the last step."""
        return self.made

    def _parameters(self) -> set[str]:
        return set(self.run_step.__kwdefaults__ or {}) | set(self.run_step.__code__.co_varnames)

    def gradients(self, t: int) -> dict[str, NDArray[np.float32]]:
        """Gradients of a step by the name of the weight."""
        self.step(t)
        return {n: p.grad.cpu().numpy() for n, p in self.model.named_parameters() if p.grad is not None}

    def predict(self, images: Tensor) -> tuple[NDArray[np.float32], ...]:
        """Scores, logits and CAMs of images, by its functions."""
        self.model.eval()
        with torch.no_grad():
            scores, _, _, logits, _, _ = self.model(images)
            cams, _, _ = self.names["seg_helper"].multi_scale_camseg(self.model, images, self.args.pseudo_scales)
        self.model.train()
        return tuple(x.numpy() for x in (scores, logits, cams))
