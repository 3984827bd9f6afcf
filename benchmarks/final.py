"""Times the final protocol and its dense CRF beside the released scripts' way, on photos in VOC layout.

    python benchmarks/final.py RUN --images VOC --reference PATH
    python benchmarks/final.py RUN --images VOC --reference PATH --photos 24 --chunks 2

RUN is a trained run of VOC's 21 classes; both sides take its weights. The photos are divided into chunks, which both
sides work on in turn, each in processes of its own: first the protocol without CRF, of both students, then the CRF
alone, of the student that was better. A chunk's time includes reading photos and masks, writing what each side keeps,
and counting pixels; not included are imports, loading of weights, tables and pictures.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import multiprocessing
import os
import resource
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from final_maps import differing
from PIL import Image
from workers import Parent, Side, Worker, computed, machine

if TYPE_CHECKING:
    from dupl.data.voc import VOC

TARGET = 0.5  # of the released time, protocol and CRF together
EVALUATE = "tools/eval_seg_voc.py"  # of the released repository
PARTS = ("network", "maps", "CRF", "reading")
WHOLE = 64  # pixels: at scales 1, 1.25 and 1.5 a multiple of a patch of 16


class FinalSide(Side):
    """One way to evaluate, in its process; what is common to both is how it is measured."""

    def __init__(self) -> None:
        multiprocessing.set_start_method(None, force=True)  # the platform's own, as in a command's first process
        warnings.simplefilter("ignore")  # as the released script does

    def spent(self, method: str, *values: Any) -> tuple[float, float, Any]:
        """Wall seconds, CPU seconds of this process and its children, and the answer of a method."""
        cpu, begun = seconds_of_cpu(), time.perf_counter()
        answer = getattr(self, method)(*values)
        return time.perf_counter() - begun, seconds_of_cpu() - cpu, answer


def seconds_of_cpu() -> float:
    """Of this process and of those children that have ended."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


class Ours(FinalSide):
    """`dupl eval RUN --protocol final --student best`, without and then with its CRF.

    Args:
        run: A run's folder.
        data: Photos, masks and a list for each chunk in VOC layout.
        out: Where it keeps what the command keeps.
        backend: Of the CRF.
    """

    def __init__(self, run: str, data: str, out: str, backend: str) -> None:
        from dupl.data.classes import VOC_CLASSES
        from dupl.engine.restore import restore

        super().__init__()
        self.data, self.out, self.backend = data, Path(out), backend
        self.restored = restore(run, None, ["runtime.device=cpu"])
        if self.restored.classes() != VOC_CLASSES:
            raise SystemExit(f"{run} is no run of VOC's 21 classes")
        self.model = self.restored.model(VOC_CLASSES)

    def facts(self) -> dict[str, Any]:
        """Code, versions, threads and processes."""
        import torch

        from dupl.engine.evaluation.crf.pool import cores
        from dupl.engine.precision import capability, computes_bfloat16
        from dupl.runs import provenance

        code = provenance.code()
        versions = {k: v for k, v in provenance.versions().items() if v}
        facts = {"code": {"commit": code.commit, "dirty": code.dirty}, "versions": versions}
        cpu = torch.device("cpu")
        facts |= {"bf16": computes_bfloat16(cpu), "capability": capability(cpu)}
        return facts | {"threads": torch.get_num_threads(), "processes": cores()}

    def export(self, folder: str) -> dict[str, int]:
        """Write the weights in the released layout; the measures of the network."""
        import torch

        from dupl.method.released_layout import RENAME

        state = {}
        for key, value in self.model.state_dict().items():
            if key.startswith("students.nets."):
                student, inner = key.removeprefix("students.nets.").split(".", 1)
                for released, ours in RENAME:
                    plain = released.strip("^").replace("\\", "")
                    inner = plain + inner.removeprefix(ours) if inner.startswith(ours) else inner
                value = value[:, :, None, None] if inner.endswith("classifier.weight") else value
                state[f"branch{int(student) + 1}.{inner}"] = value
        torch.save(state, Path(folder) / "weights.pt")
        vit = self.model.students[0].backbone.vit
        grid = vit.patch_embed.grid_size[0]
        return {
            "patch_size": self.model.students[0].backbone.patch,
            "embed_dim": vit.embed_dim,
            "depth": len(vit.blocks),
            "num_heads": vit.blocks[0].attn.num_heads,
            "img_size": grid * self.model.students[0].backbone.patch,
        }

    def segment(self, chunk: str, precision: str) -> list[Any]:
        """The protocol without CRF, its label maps and logits kept; confusion matrices of both students."""
        return self._evaluate(chunk, precision, "best", False)

    def refine(self, chunk: str, precision: str, student: int) -> list[Any]:
        """The CRF of one student, from the kept logits; its confusion matrix."""
        return self._evaluate(chunk, precision, str(student + 1), True)

    def shares(self, chunk: str, student: int) -> dict[str, float]:
        """CPU seconds per photo by kind of work, in one process: a few photos of a chunk, the CRF of one student."""
        import torch

        from dupl.data.views import PhotoView
        from dupl.data.voc import VOC
        from dupl.engine.device import one_thread
        from dupl.engine.evaluation.crf import dense_crf
        from dupl.engine.evaluation.options import EvaluationOptions
        from dupl.engine.evaluation.protocol import resize
        from dupl.engine.evaluation.scaled_logits import over_scales

        settings = self.restored.config.evaluation.to_dict()
        protocol: Any = EvaluationOptions("final", (), True, self.backend).build(settings, len(self.model.students))
        photos, seconds = PhotoView(VOC(self.data, chunk)), dict.fromkeys(PARTS, 0.0)
        count, every = min(len(photos), 5), range(len(self.model.students))

        def timed(part: str, work: Callable[[], Any]) -> Any:
            begun = time.thread_time()
            answer = work()
            seconds[part] += (time.thread_time() - begun) / count
            return answer

        with one_thread(), torch.inference_mode():
            self.model.eval().precision = "off"
            for i in range(count):
                sample = timed("reading", lambda i=i: photos[i])
                image = sample["image"]
                logits = timed("network", lambda x=image: [protocol.scaled_logits(self.model, s, x) for s in every])
                maps = timed(
                    "maps",
                    lambda x=image, found=logits: [
                        over_scales([resize(x.shape[:2], scale) for scale in scales], protocol.over)[0].softmax(0)
                        for scales in found
                    ],
                )
                job = dense_crf.RefineJob(image, maps[student][None].numpy())
                timed("CRF", lambda job=job: dense_crf.refine(job, protocol.refine, self.backend))
        return seconds

    def _evaluate(self, chunk: str, precision: str, student: str, refine: bool) -> list[Any]:
        from dupl.data.voc import VOC
        from dupl.engine.evaluation.cache import LabelCache, LogitCache
        from dupl.engine.evaluation.evaluate import evaluate_by
        from dupl.engine.evaluation.final import FinalProtocol
        from dupl.engine.evaluation.options import EvaluationOptions

        settings = self.restored.config.evaluation.to_dict()
        options = EvaluationOptions("final", (student,), refine, self.backend)
        protocol = options.build(settings, len(self.model.students))
        assert isinstance(protocol, FinalProtocol)
        folder, made_of = self.out / f"{chunk}_{precision}", {"chunk": chunk, "precision": precision}
        protocol.caches = {name: LabelCache(folder / name / "labels", made_of) for name in protocol.parts}
        protocol.logits = LogitCache(folder / "logits", made_of)
        protocol.keep_logits = not refine
        self.model.precision = precision
        found = evaluate_by(protocol, self.model, VOC(self.data, chunk), settings)[protocol.name]
        return [tally.matrix for tally in found.tallies.values()]


@dataclass
class Phase:
    """One measured kind of work.

    Attributes:
        work: In words.
        wall: Seconds per photo of each chunk, by side.
        cpu: The same in seconds of CPU.
        photos: Of each chunk.
        counts: Confusion matrices by side, a list per chunk.
    """

    work: str
    wall: dict[str, list[float]] = field(default_factory=dict)
    cpu: dict[str, list[float]] = field(default_factory=dict)
    photos: list[int] = field(default_factory=list)
    counts: dict[str, list[Any]] = field(default_factory=dict)

    def add(self, side: str, photos: int, spent: tuple[float, float, Any]) -> None:
        """Note a chunk."""
        wall, cpu, matrices = spent
        self.wall.setdefault(side, []).append(wall / photos)
        self.cpu.setdefault(side, []).append(cpu / photos)
        self.counts.setdefault(side, []).append(matrices)

    def total(self, side: str) -> float:
        """Wall seconds of all chunks."""
        return sum(seconds * count for seconds, count in zip(self.wall[side], self.photos, strict=True))

    def scores(self, side: str) -> list[float]:
        """mIoU of each map over all chunks, in percent."""
        from dupl.runs.metrics import mean_iou

        return [mean_iou(np.sum(matrices, 0)) for matrices in zip(*self.counts[side], strict=True)]


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run all; the report."""
    chunks = lay_out(Path(options.images), options.split, options.photos, options.chunks, folder, options.whole)
    report: dict[str, Any] = {"date": time.strftime("%Y-%m-%d"), "machine": machine(), "split": options.split}
    report |= {"chunks": chunks, "cut": ", cut to whole patches," if options.whole else ""}
    with contextlib.ExitStack() as stack:
        data = str(folder / "data")
        ours = stack.enter_context(
            Parent("final:Ours", run=options.run, data=data, out=str(folder / "ours"), backend=options.crf_backend)
        )
        report |= ours("facts")
        precisions = computed(options.precision, report)
        sides = ["released"] * bool(options.reference) + precisions
        network = ours("export", str(folder))
        workers: dict[str, Worker] = dict.fromkeys(precisions, ours)
        if options.reference:
            arguments = dict(root=options.reference, network=network, folder=str(folder), jobs=options.jobs)
            workers["released"] = stack.enter_context(Parent("released_final:ReleasedFinal", **arguments))
            report["released_jobs"] = workers["released"]("jobs")
        plain = Phase("final protocol without CRF, both students", photos=list(chunks.values()))
        turns(plain, "segment", workers, sides, chunks, ())
        reference = "released" if options.reference else precisions[0]
        better = int(np.argmax(plain.scores(reference)))
        refined = Phase(f"CRF alone, student {better + 1}", photos=list(chunks.values()))
        turns(refined, "refine", workers, sides, chunks, (better,))
        report["shares"] = ours("shares", next(iter(chunks)), better)
        report["maps"] = list(differing(folder, list(chunks), sides, better + 1))
    report["phases"] = [plain, refined]
    return report


def turns(
    phase: Phase,
    method: str,
    workers: dict[str, Worker],
    sides: list[str],
    chunks: dict[str, int],
    more: tuple[int, ...],
) -> None:
    """Every side works on every chunk; who begins changes from chunk to chunk."""
    for number, (chunk, photos) in enumerate(chunks.items()):
        for side in sides[number % len(sides) :] + sides[: number % len(sides)]:
            given = (chunk, *more) if side == "released" else (chunk, side, *more)
            phase.add(side, photos, workers[side]("spent", method, *given))
            print(f"  {phase.work}, {chunk}, {side}: {phase.wall[side][-1]:.3f} s per photo", flush=True)


def lay_out(root: Path, split: str, photos: int | None, chunks: int, folder: Path, whole: bool) -> dict[str, int]:
    """Make a folder in VOC layout with a list for each chunk, for both sides; photos by chunk.

    Photos are dealt out in turn, so that the chunks are alike; of a part the chosen ones are spread over the list.
    """
    from dupl.data.voc import VOC

    source = VOC(str(root), split)
    if not source.has_masks:
        raise SystemExit(f"{root}: the photos of {split} have no masks")
    count = min(photos or len(source), len(source))
    places = np.linspace(0, len(source) - 1, count).round().astype(int).tolist()
    chosen = [source.names[i] for i in places]
    parts = {f"chunk{k}": chosen[k::chunks] for k in range(chunks)}
    if min(map(len, parts.values())) < 2:
        raise SystemExit(f"{count} photos are too few for {chunks} chunks: at least two each")
    lists = folder / "data/ImageSets/Segmentation"
    for place in (lists, folder / "data/JPEGImages", folder / "data/SegmentationClassAug"):
        place.mkdir(parents=True)
    for i in places:
        copy(source, i, folder / "data", whole)
    for name, ids in parts.items():
        (lists / f"{name}.txt").write_text("\n".join(ids) + "\n")
    tags = {name: np.zeros(source.K, np.uint8) for name in chosen}  # the released loader reads some, and uses none
    np.save(lists / "cls_labels_onehot.npy", np.array(tags, dtype=object))
    return {name: len(ids) for name, ids in parts.items()}


def copy(source: VOC, i: int, data: Path, whole: bool) -> None:
    """Put a photo and its mask into a folder, cut to whole patches at every scale if so asked."""
    name = source.names[i]
    photo, mask = data / f"JPEGImages/{name}.jpg", data / f"SegmentationClassAug/{name}.png"
    mask_of = source.mask(i)
    assert mask_of is not None
    ids = Image.fromarray(mask_of)
    if not whole:
        os.symlink(Path(source.where(i)).resolve(), photo)
        ids.save(mask)
        return
    box = (0, 0, ids.width // WHOLE * WHOLE, ids.height // WHOLE * WHOLE)
    Image.fromarray(source.image(i)).crop(box).save(photo, quality=95)
    ids.crop(box).save(mask)


def markdown(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    phases: list[Phase] = report["phases"]
    m, ours = report["machine"], [side for side in phases[0].wall if side != "released"]
    commit = report["code"]["commit"]
    code = f"commit {commit[:10]}{' with changes' if report['code']['dirty'] else ''}" if commit else "no checkout"
    versions = ", ".join(f"{k} {v}" for k, v in report["versions"].items())
    photos, chunks = sum(report["chunks"].values()), len(report["chunks"])
    lines = [
        f"{m['cpu']}, {m['cores']} cores, {report['threads']} threads; {versions}; {code}; {report['date']}.",
        f"{photos} photos of the list {report['split']}{report['cut']} in {chunks} chunks, in turn; median "
        f"(least–most) of photos per second; pairs are released / ours. Load before the run: {m['load_before']}. "
        f"The device {report['capability']}.",
        "",
        "| work | released | ours | seconds, ours / released | CPU s per photo | mIoU |",
        "|---|---|---|---|---|---|",
    ]
    for side in ours:
        note = "" if side == "off" else f" ({side})"
        lines += [_row(phase, side, note) for phase in phases]
        total = [sum(phase.total(who) for phase in phases) for who in ("released", side) if who in phases[0].wall]
        ratio = f"{total[1] / total[0]:.2f}x, at most {TARGET}x" if len(total) == 2 else "–"
        seconds = [f"{seconds:.0f} s" for seconds in total]
        lines.append(f"| in all{note} | {' | '.join(['–', *seconds][-2:])} | {ratio} | | |")
    whole = sum(report["shares"].values())
    parts = ", ".join(f"{part} {s:.3f} s ({100 * s / whole:.0f} %)" for part, s in report["shares"].items())
    lines += ["", f"Ours, CPU seconds per photo in one process: {parts}.", *report["maps"]]
    if "released_jobs" in report:
        lines += [
            "",
            f"CRF: {report['released_jobs']} process(es) of the released code, {report['processes']} of ours.",
        ]
    return "\n".join(lines) + "\n"


def _row(phase: Phase, side: str, note: str) -> str:
    theirs = "released" if "released" in phase.wall else None
    cells = [phase.work + note, *("–" if s is None else _speeds(phase.wall[s]) for s in (theirs, side))]
    ratio = phase.total(side) / phase.total(theirs) if theirs else math.nan
    cpu = [f"{statistics.median(phase.cpu[s]):.2f}" for s in (theirs, side) if s]
    scores = [", ".join(f"{score:.2f}" for score in phase.scores(s)) for s in (theirs, side) if s]
    cells += [f"{ratio:.2f}x" if theirs else "–", " / ".join(cpu), " / ".join(scores)]
    return f"| {' | '.join(cells)} |"


def _speeds(seconds: list[float]) -> str:
    speeds = [1 / s for s in seconds]
    return f"{statistics.median(speeds):.2f} ({min(speeds):.2f}–{max(speeds):.2f})"


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="a trained run of VOC's classes")
    parser.add_argument("--images", required=True, metavar="DIR", help="photos in VOC layout, with masks")
    parser.add_argument("--split", default="val", help="a list of that folder; default: val")
    parser.add_argument("--photos", type=int, help="only so many, spread over the list")
    parser.add_argument("--chunks", type=int, default=5)
    parser.add_argument("--reference", metavar="PATH", help="a checkout of the released repository")
    parser.add_argument(
        "--jobs", type=int, help="processes of the released CRF; its own rule, 0.8 of all cores, if not"
    )
    parser.add_argument(
        "--precision", nargs="+", choices=("off", "bf16"), default=["off"], help="ours; default: off (fp32)"
    )
    parser.add_argument("--crf-backend", choices=("torch", "pydensecrf"), default="torch", help="ours")
    parser.add_argument(
        "--whole",
        action="store_true",
        help="cut photos to sides of 64 pixels, whole patches at every scale: both sides then see the same pixels",
    )
    parser.add_argument("--json", metavar="OUT", type=Path)
    parser.add_argument("--markdown", metavar="OUT", type=Path)
    options = parser.parse_args(arguments)
    if options.reference and not (Path(options.reference) / EVALUATE).is_file():
        parser.error(
            f"--reference {options.reference}: no {EVALUATE} there; give a checkout of the released repository"
        )
    with tempfile.TemporaryDirectory() as folder:
        report = measure(options, Path(folder))
    text = markdown(report)
    print(text)
    if options.markdown:
        options.markdown.write_text(text, encoding="utf-8")
    if options.json:
        phases = [
            {"work": p.work, "photos": p.photos, "wall": p.wall, "cpu": p.cpu, "mIoU": {s: p.scores(s) for s in p.wall}}
            for p in report["phases"]
        ]
        options.json.write_text(json.dumps(report | {"phases": phases}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
