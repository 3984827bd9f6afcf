"""Equal prefixes mean equal training: every row of the shipped plans and every component, compared in pairs."""

from __future__ import annotations

import copy
import hashlib
import json
from itertools import combinations

import pytest
import torch

from dupl.config import catalogue, components
from dupl.config.fingerprint import canonical
from dupl.config.overrides import diff_values
from dupl.config.prefix import beginnings, common, prefix
from dupl.config.slots import slots_of
from dupl.engine.training.train import train
from dupl.errors import RunError, UserError
from dupl.plans.plan import load
from dupl.runs import layout
from dupl.runs.run import Run

T = 10  # two thousandths of the published schedule are one iteration, so that the starts of all rows stay apart
INTERVAL = 4  # of the evaluations

NAN = {"segmentation=UnguardedBalancedCrossEntropy"}  # as released: not a number where an image has no label

# Why two configs may train alike although their prefixes differ, by the part of the model in which they differ.
ALIKE = {
    "type": "two methods compute the same until terms begin that only one of them has",
    "idle_heads": "a value that only one of two methods has, at its default, which does nothing",
    "threshold": "two descents begin at the same value",
    "tau_l": "the low threshold matters first where a loss needs labels",
    "noise_filter": "the filter finds no noise in the few iterations of a network this small",
    "consistency": "no prediction of a network this small is confident, so the loss has no pixel",
    "weights": "they go with the losses, whose parts are listed here",
    "levels": "two ways to cut photos to 8 bits that happen to give the same labels",
    "patch_contrast": "its floor matters first where tau_h is below it",
    "segmentation": "two forms of L_seg are equal where an image has no label",
    "refine": "one config states the defaults of the other",
    "perturb": "one config states the defaults of the other",
    "own_view": "one config states the defaults of the other",
    "class_contrast": "one config states the null partner that the other leaves out",
    "dense_energy": "one config states the null partner that the other leaves out",
    "affinity": "one config states the null partner that the other leaves out",
    "dis_region": "one config states the null partner that the other leaves out",
    "averages": "one config states the null partner that the other leaves out",
    "detector": "one config states the null partner that the other leaves out",
    "class_teacher": "one config states the null partner that the other leaves out",
    "label_to_cam": "one config states the null partner that the other leaves out",
    "absent": "one config states the null partner that the other leaves out",
    "warm_start": "one config states the null partner that the other leaves out",
    "discrepancy": "one config states the defaults of the other",
    "cam_scales": "training computes CAMs first where a loss needs them, but every evaluation computes them",
}


def tiny_of(values, small):
    """A config at the size of the tiny recipe, with its own components and phases."""
    made, length = copy.deepcopy(values), values["schedule"]["iterations"]
    for key in ("backbone", "head"):
        made["model"]["network"][key] = small["model"]["network"][key]
    made["model"]["network"]["type"] = "SubNet"  # the network of AFA's paper has another backbone
    for slot in slots_of(made["model"]):
        part = made["model"].get(slot.name)
        component = components.find(part["type"]) if part else None
        if component is not None and "start" in component.section.fields:
            start = part.get("start", component.section.fields["start"].default)
            part["start"] = round(start * T / length)
        if part and part["type"] == "PerClassCosineDescent" and isinstance(part["final"], list):
            part["final"] = part["final"][7:13]
        if part and part.get("spread_from"):
            part["spread_from"] = round(part["spread_from"] * T / length)
        if part and "min_pixels" in part:
            part["min_pixels"] = 20
        if part and part["type"] == "ClassifierWarmStart":
            part["steps"] = 5
    for section in ("data", "schedule", "evaluation", "runtime"):
        made[section] = {**made[section], **small[section]} if section == "schedule" else small[section]
    for key in ("lr", "head_lr"):
        if key in values["schedule"]:
            made["schedule"][key] = values["schedule"][key]
    made["schedule"]["iterations"] = T
    made["evaluation"] = small["evaluation"] | {"interval": INTERVAL, "gallery": 0}
    return made


def rows_of_plans(small):
    found = {}
    for name in catalogue.names("ablations"):
        plan = load(name)
        for run in plan.expand(seeds=plan.seeds[:1]):
            found[f"{name} {run.row}"] = tiny_of(run.values, small)
    return found


def swapped(base):
    """The base with every shipped component in the place of its own, where the method takes it."""
    for slot in slots_of(base["model"]):
        for name in components.in_slot(slot.name):
            made = copy.deepcopy(base)
            fields = components.find(name).section.fields
            part = {"start": 5} if "start" in fields else {"steps": 5} if name == "ClassifierWarmStart" else {}
            made["model"][slot.name] = {"type": name} | part
            yield f"{slot.name}={name}", made


def state_of(runner):
    """A digest of weights and optimiser."""
    whole = hashlib.sha256()

    def add(value):
        if isinstance(value, dict):
            for key in sorted(value, key=str):
                whole.update(str(key).encode())
                add(value[key])
        elif isinstance(value, (list, tuple)):
            for item in value:
                add(item)
        elif isinstance(value, torch.Tensor):
            whole.update(value.detach().cpu().numpy().tobytes())
        else:
            whole.update(repr(value).encode())

    add(runner.model.state_dict())
    add(runner.optim_wrapper.state_dict())
    return whole.hexdigest()[:16]


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory):
    """Configs by name, each with the digest of its state after every iteration."""
    small = catalogue.load_values(tiny)
    base = tiny_of(load("table4_components").expand(seeds=[0])[-1].values, small)
    configs = rows_of_plans(small) | dict(swapped(base))
    different = {}
    for name, values in configs.items():
        different.setdefault(canonical(values), (name, values))
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dupl.engine.training.train.take_trial_steps", lambda *_: None)  # they change no number
        for name, values in different.values():
            states = []
            patch.setattr(
                "dupl.engine.training.checkpoint_hook.CheckpointHook.after_iteration",
                lambda self, runner, states=states: states.append(state_of(runner)),
            )
            folder = tmp_path_factory.mktemp("runs") / "run"
            try:
                train(catalogue.as_config(values), folder)
            except UserError as error:
                print(name, "refused:", error)
                continue
            except RunError:  # compared as far as it came
                assert name in NAN
            found[name] = values, states, recorded(Run(folder))
    return found


def recorded(run):
    """The scalars and the evaluations of a run, by iteration, without times."""
    found = {}
    for row in run.scalars():
        found.setdefault(row["iter"], []).append({k: v for k, v in row.items() if k not in ("seconds", "memory_GiB")})
    for iteration, folder in layout.trained_evaluations(run.path):
        for name in ("metrics.json", "per_class.csv", "quality.csv"):
            if (folder / name).is_file():
                text = (folder / name).read_text()
                kept = json.loads(text)["metrics"] if name == "metrics.json" else text
                found.setdefault(iteration, []).append({name: kept})
    return found


def test_equal_prefixes_mean_equal_training(trained):
    assert len(trained) > 30
    digests = {name: beginnings(values) for name, (values, *_) in trained.items()}
    explained, unexplained, further_than = 0, [], {}
    for one, other in combinations(trained, 2):
        (a, states_a, rows_a), (b, states_b, rows_b) = trained[one], trained[other]
        length = min(len(states_a), len(states_b))
        alike = min(length, common(digests[one], digests[other]))
        assert states_a[:alike] == states_b[:alike], f"{one} and {other}"
        for t in (t for t in rows_a.keys() | rows_b.keys() if t <= alike):
            assert rows_a.get(t) == rows_b.get(t), f"{one} and {other} at {t}"
        same = next((t for t in range(length) if states_a[t] != states_b[t]), length)
        if same > alike:  # safe: they could have shared more
            parts = {path.split(".")[1] for path in diff_values(prefix(a, same), prefix(b, same))}
            if further := parts - ALIKE.keys():
                unexplained.append(f"{one} and {other} train {same} iterations alike, not {alike}: {further}")
            explained += 1
            for part in parts:
                further_than[part] = further_than.get(part, 0) + 1
    assert not unexplained, "\n".join(unexplained[:10])
    for part, count in further_than.items():
        print(f"{count} pairs with unequal prefixes train alike: {part}: {ALIKE[part]}")
    assert explained
