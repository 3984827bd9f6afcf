"""Run the released implementation from a checkout of its repository, without a line of it in ours.

Its training script cannot be imported: it wants GPUs, a launcher and data. So the script is parsed where it lies, and
the body of its training loop, branches by iteration and all, becomes a function. Left out are the fetching of data,
the progress bar, and logging and validation after the optimiser's step. On the CPU the device "cuda" is read as "cpu"
and ``.cuda()`` does nothing.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import importlib.util
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from workers import SCRIPT, Case, Side

TERMS = {"loss": "loss", "cls_loss": "L_cls", "ptc_loss": "L_ptc", "sim_loss": "L_dis"}
LATE_TERMS = {"seg_loss": "L_seg", "reg_loss": "L_reg"}  # placeholders before their start


class Script:
    """A training script that is read, cut and compiled, never run as a whole.

    Args:
        path: The script.
        device: "cpu", or "cuda" to leave the devices as they stand.
    """

    def __init__(self, path: Path, device: str) -> None:
        self.path = path
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        self.tree = tree if device != "cpu" else OnCpu().visit(tree)
        self.train, self.loop = self._training_loop()

    def _training_loop(self) -> tuple[ast.FunctionDef, ast.For]:
        for function in (n for n in self.tree.body if isinstance(n, ast.FunctionDef)):
            for node in function.body:
                if isinstance(node, ast.For) and {"backward", "step"} <= called(node):
                    return function, node
        raise SystemExit(f"{self.path} has no function with a training loop (.backward() and .step() in a for)")

    def imports(self) -> list[ast.stmt]:
        """Return the import statements of the script."""
        return [n for n in self.tree.body if isinstance(n, (ast.Import, ast.ImportFrom))]

    def arguments(self, names: dict[str, Any]) -> Any:
        """Return the defaults of the script's command line."""
        lines = [
            n for n in self.tree.body if isinstance(n, (ast.Assign, ast.Expr)) and "parser" in loaded([n]) | stored([n])
        ]
        self.execute(lines, names)
        return names["parser"].parse_args([])

    def step(self) -> tuple[list[ast.stmt], set[str]]:
        """Return the statements of one training step, and the names that the data loading would have set."""
        body = self.loop.body
        last = max(i for i, n in enumerate(body) if isinstance(n, ast.Expr) and "step" in called(n))
        kept: list[ast.stmt] = []
        fetched: set[str] = set()
        for node in body[: last + 1]:
            if "next" in called(node):
                fetched |= stored([node])
            elif "print_progress" not in called(node):
                kept.append(node)
        return kept, fetched

    def noise_filter(self) -> list[ast.stmt]:
        """Return the block of the step up to and including the loop that fits mixtures."""
        blocks = [
            block[: i + 1]
            for parent in ast.walk(self.loop)
            for block in (getattr(parent, field, None) for field in ("body", "orelse"))
            if isinstance(block, list) and parent is not self.loop
            for i, node in enumerate(block)
            if isinstance(node, ast.For) and "GaussianMixture" in called(node)
        ]
        if not blocks:
            raise SystemExit(f"{self.path} fits no GaussianMixture in a loop")
        return blocks[-1]

    def before(self, wanted: set[str], names: dict[str, Any]) -> list[ast.stmt]:
        """Return the assignments before the loop that define the wanted names, with all that they need in turn."""
        found: dict[int, ast.stmt] = {}
        ahead = self.train.body[: self.train.body.index(self.loop)]
        todo = list(wanted)
        while todo:
            name = todo.pop()
            lines = [i for i, n in enumerate(ahead) if isinstance(n, ast.Assign) and name in stored([n])]
            if not lines:
                raise SystemExit(f"{self.path}: its training step uses {name}, which nothing ahead of it sets")
            if lines[-1] not in found:
                found[lines[-1]] = ahead[lines[-1]]
                todo += free([ahead[lines[-1]]], names)
        return [found[i] for i in sorted(found)]

    def execute(self, lines: Sequence[ast.stmt], names: dict[str, Any]) -> None:
        """Run statements in a namespace."""
        module = ast.fix_missing_locations(ast.Module(list(lines), []))
        exec(compile(module, str(self.path), "exec"), names)

    def function(self, body: list[ast.stmt], parameters: Iterable[str], names: dict[str, Any]) -> Callable[..., Any]:
        """Compile statements as a function of keywords in a namespace; it returns its local variables."""
        return compiled(body, parameters, names, self.path)


def compiled(
    body: list[ast.stmt], parameters: Iterable[str], names: dict[str, Any], path: Path
) -> Callable[..., dict[str, Any]]:
    """Compile statements as a function; see ``Script.function``."""
    module = ast.parse(f"def cut(*, {', '.join(sorted(parameters))}):\n    return locals()")
    function = module.body[0]
    assert isinstance(function, ast.FunctionDef)
    function.body = [*body, *function.body]
    exec(compile(ast.fix_missing_locations(module), str(path), "exec"), names)
    cut: Callable[..., dict[str, Any]] = names.pop("cut")
    return cut


class OnCpu(ast.NodeTransformer):
    """Read the device "cuda" as "cpu" and ``x.cuda()`` as ``x``."""

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        """Replace the string "cuda"."""
        return ast.copy_location(ast.Constant("cpu"), node) if node.value == "cuda" else node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Replace ``x.cuda()``."""
        self.generic_visit(node)
        return node.func.value if isinstance(node.func, ast.Attribute) and node.func.attr == "cuda" else node


def _names(nodes: Iterable[ast.AST], kind: type[ast.expr_context]) -> set[str]:
    walk: Iterator[ast.AST] = (x for node in nodes for x in ast.walk(node))
    return {x.id for x in walk if isinstance(x, ast.Name) and isinstance(x.ctx, kind)}


def stored(nodes: Iterable[ast.AST]) -> set[str]:
    """Return the names that statements set."""
    return _names(nodes, ast.Store)


def loaded(nodes: Iterable[ast.AST]) -> set[str]:
    """Return the names that statements read."""
    return _names(nodes, ast.Load)


def called(node: ast.AST) -> set[str]:
    """Return the last names of the functions that a statement calls."""
    calls = (x.func for x in ast.walk(node) if isinstance(x, ast.Call))
    return {f.id if isinstance(f, ast.Name) else f.attr for f in calls if isinstance(f, (ast.Name, ast.Attribute))}


def free(nodes: list[ast.stmt], names: Iterable[str]) -> set[str]:
    """Return the names that statements read and neither set nor know."""
    return loaded(nodes) - stored(nodes) - set(names) - set(dir(builtins))


def open_checkout(root: Path, script: str = SCRIPT) -> None:
    """Make the packages of a checkout importable, with stand-ins for its imports that are not installed."""
    sys.path.insert(0, str(root))
    own = {f.stem for f in root.glob("*.py")}
    for folder in (f for f in root.iterdir() if f.is_dir() and any(f.glob("*.py"))):
        own.add(folder.name)
        if not (folder / "__init__.py").exists():  # or an installed package of that name would win
            package = ModuleType(folder.name)
            package.__path__ = [str(folder)]
            sys.modules[folder.name] = package
    for name in sorted(_imported(root, script)):
        top = name.partition(".")[0]
        if top not in own and (top in _missing or importlib.util.find_spec(top) is None):
            _missing.add(top)
            sys.modules.setdefault(name, StandIn(name))
    for name, kind in (("int", int), ("float", float), ("bool", bool), ("object", object)):
        if name not in np.__dict__:  # names that numpy has given up
            setattr(np, name, kind)


FOLDERS = ("model", "models", "utils", "datasets", "dataloaders")  # whose files are searched for imports
_missing: set[str] = set()


class StandIn(ModuleType):
    """A module whose every name is a callable that does nothing."""

    __path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_, **__: StandIn(f"{self.__name__}.{name}")


def _imported(root: Path, script: str) -> set[str]:
    """Return the dotted names of all modules that the files of a checkout import."""
    found: set[str] = set()
    for file in [root / script, *(f for d in FOLDERS for f in (root / d).rglob("*.py"))]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"), str(file))):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules = [node.module]
            else:
                continue
            for module in modules:
                parts = module.split(".")
                found |= {".".join(parts[: i + 1]) for i in range(len(parts))}
    return found


def in_float64(mixture: type) -> type:
    """Return scikit-learn's mixture fitted in float64; recent versions keep float32 means of float32 losses."""

    class Double(mixture):  # type: ignore[misc, valid-type]
        def fit(self, X: Any, y: Any = None) -> Any:
            return super().fit(X.astype(np.float64), y)

    return Double


def offer_transformer(case: Case, package: str = "model.backbone") -> str:
    """Make the reference offer a transformer of the case's size, and return the name by which a network takes it.

    Args:
        case: With the size.
        package: Of the reference's transformers, whose module ``vit`` has the class.
    """
    vit = importlib.import_module(f"{package}.vit")

    def encoder(pretrained: bool = False, aux_layer: int = -3) -> nn.Module:
        size = dict(embed_dim=case.dim, depth=case.depth, num_heads=case.heads)
        norm = partial(nn.LayerNorm, eps=1e-6)
        made: nn.Module = vit.VisionTransformer(
            patch_size=16, mlp_ratio=4, qkv_bias=True, norm_layer=norm, aux_layer=aux_layer, **size
        )
        return made

    name = "vit_of_the_case"
    setattr(importlib.import_module(package), name, encoder)
    return name


def accept_floats(evaluate: ModuleType) -> None:
    """Let the reference's score be a float, which recent scikit-learn returns and which has no ``item``."""
    score = evaluate.multilabel_score
    evaluate.multilabel_score = lambda *given: np.float64(score(*given))  # type: ignore[attr-defined]


class Released(Side):
    """The released implementation of a case.

    Args:
        root: A checkout of its repository.
        case: What to measure.
        device: "cpu" or "cuda".
        threads: Of torch; None: torch's choice.
        settings: Further values of its command line.
    """

    def __init__(
        self, root: str, case: Case, device: str, threads: int | None, settings: Mapping[str, Any] | None = None
    ) -> None:
        self.use(device, threads)
        warnings.simplefilter("ignore")  # as its script does
        checkout = Path(root).resolve()
        open_checkout(checkout)
        self.case, self.script = case, Script(checkout / SCRIPT, device)
        self.names: dict[str, Any] = {"__name__": "released_step"}
        self.script.execute(self.script.imports(), self.names)
        self.args = self.script.arguments(self.names)
        vars(self.args).update(
            samples_per_gpu=case.batch, crop_size=case.size, num_classes=case.classes, pretrained=False, lr=0.0
        )
        vars(self.args).update(settings or {})
        self.model = self._model().to(device)
        self.names |= {"model": self.model, "args": self.args, "device": torch.device(device), "local_rank": 0}
        body, fetched = self.script.step()
        assert isinstance(self.script.loop.target, ast.Name)
        inputs = (fetched & loaded(body)) | {self.script.loop.target.id}
        self.script.execute(self.script.before(free(body, self.names) - inputs, self.names), self.names)
        self.run_step = self.script.function(body, inputs, self.names)
        block = self.script.noise_filter()
        self.filter_inputs = free(block, self.names)
        self.run_filter = self.script.function(block, self.filter_inputs, self.names)
        accept_floats(self.names["evaluate"])
        self.mixture = self.names["GaussianMixture"]
        self.augment = self.names["imutils"].augment_data_strong
        self.noisy: list[np.ndarray] = []

    def _model(self) -> nn.Module:
        """Build the released network with a transformer of the case's size."""
        self.args.backbone = offer_transformer(self.case)
        network: nn.Module = self.names["siamese_network"](
            backbone=self.args.backbone, num_classes=self.case.classes, pretrained=False, aux_layer=self.args.aux_layer
        )
        return network.train()

    def layout(self) -> dict[str, tuple[int, ...]]:
        """Return the keys and shapes of the released weights."""
        return {k: tuple(v.shape) for k, v in self.model.state_dict().items()}

    def load(self, folder: str) -> None:
        """Load the weights and the batch that our side wrote."""
        wrong = self.model.load_state_dict(torch.load(f"{folder}/weights.pt"), strict=False)
        unused = [k for k in wrong.missing_keys if ".head." not in k]
        if unused or wrong.unexpected_keys:
            raise SystemExit(f"weights do not fit the released network: {unused} {wrong.unexpected_keys}")
        self.batch: dict[str, Any] = torch.load(f"{folder}/batch.pt")

    def load_parts(self, folder: str) -> None:
        """Load the inputs of the parts and the photos of the evaluation."""
        self.parts: dict[str, Tensor] = torch.load(f"{folder}/parts.pt")
        self.photos: list[tuple[Any, ...]] = torch.load(f"{folder}/photos.pt")

    def step(self, t: int, same_strong: bool = False) -> dict[str, float]:
        """Take a training step with the optimiser; return the loss terms.

        Args:
            t: Iteration, of 20,000.
            same_strong: Whether to take the given strong view instead of drawing one, and to fit mixtures in float64,
                as ours does: the step that is compared.
        """
        given = self.batch["strong"]
        self.names["GaussianMixture"] = in_float64(self.mixture) if same_strong else self.mixture
        self.names["imutils"].augment_data_strong = (lambda *_, **__: given.clone()) if same_strong else self.augment
        values = {
            "n_iter": t,
            "inputs": self.batch["image"],
            "cls_label": self.batch["tags"],
            "img_box": self.batch["box"],
        }
        local = self.run_step(**values)
        started = TERMS | (LATE_TERMS if t >= self.args.gmm_iters else {})
        if self.args.cam_iters <= t < self.args.gmm_iters:
            started["seg_loss"] = "L_seg"
        return {ours: float(local[theirs].detach().sum()) for theirs, ours in started.items()}

    def refine(self) -> None:
        """Refine a batch of both students with both thresholds."""
        parts, args = self.parts, self.args
        size = parts["photo"].shape[-2:]
        high = parts["tau_h"][:, None, None, None].expand(-1, 1, *size).contiguous()
        cams = (parts["cams_1"], parts["cams_2"])
        with torch.no_grad():
            self.refined = [
                self.names["cam_helper"].refine_cams_with_dynamic_thres(
                    self.names["par"],
                    parts["photo"],
                    cams=maps,
                    cls_labels=self.batch["tags"].to(maps),
                    high_thre_map=high,
                    low_thre=args.low_thre,
                    ignore_index=args.ignore_index,
                    img_box=self.batch["box"],
                )
                for maps in cams
            ]

    def labels(self) -> list[np.ndarray]:
        """Return the labels that ``refine`` made."""
        return [y.long().cpu().numpy() for y in self.refined]

    def filter(self, double: bool = False) -> None:
        """Filter a batch of both students, with ``double`` on losses in float64."""
        values: dict[str, Any] = {"h": self.case.size, "w": self.case.size}
        for i in (1, 2):
            logits = self.parts[f"segs_{i}"]
            values[f"segs_{i}"] = logits.double() if double else logits
            values[f"refined_pseudo_label_{i}"] = self.parts[f"label_{i}"].clone().float()
        lacking = self.filter_inputs - set(values)
        if lacking:
            raise SystemExit(f"the released noise filter needs {', '.join(sorted(lacking))}, which the harness lacks")
        local = self.run_filter(**{k: v for k, v in values.items() if k in self.filter_inputs})
        self.noisy = [
            ((local[f"refined_pseudo_label_{i}"] == 255) & (self.parts[f"label_{i}"] != 255)).cpu().numpy()
            for i in (1, 2)
        ]

    def filtered(self) -> list[np.ndarray]:
        """Return the pixels that ``filter`` discarded."""
        return self.noisy

    def evaluate(self) -> dict[str, float]:
        """Run the released validation on the given images; return mIoU in percent by our names."""
        scores: dict[str, float] = {}

        def keep(scores_: Any = None, name_list: Any = None, **given: Any) -> tuple[str, list[float]]:
            for name, score in zip(name_list, given.get("scores", scores_), strict=True):
                kind, _, student = name.rpartition("_")
                scores[f"{kind.lower()}/{student}/mIoU"] = 100 * float(score["miou"])
            return "", [0.0] * len(name_list)

        helper = self.names["train_helper"]
        path = Path(helper.__file__)
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        loop = next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "validate_siamase")
        loop = loop if self.device != "cpu" else OnCpu().visit(loop)
        names = {**vars(helper), "tqdm": lambda x, **_: x, "format_tabs": keep}
        exec(compile(ast.fix_missing_locations(ast.Module([loop], [])), str(path), "exec"), names)
        args = SimpleNamespace(**vars(self.args))
        names[loop.name](model=self.model, data_loader=self.photos, args=args, return_item=True)
        return scores
