"""The schema: what it allows, and the one line for each kind of fault."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path

import pytest

from dupl.config.check import RECIPE, Checker
from dupl.config.components import find, in_slot, shipped
from dupl.config.describe import REQUIRED, describe
from dupl.config.kinds import In, Kind, Share, contains, in_all, in_words, kinds_of
from dupl.config.reader import read

CHECKOUT = Path(__file__).parents[2]
RECIPES = [p for p in sorted((CHECKOUT / "experiments").rglob("*.py")) if "_base_" not in p.parts]
TOY = read(CHECKOUT / "experiments" / "demo" / "toy.py").values


def faults(**changes) -> list[str]:
    """What is wrong with demo/toy after changes by dotted path (a double underscore for a dot); None removes."""
    values = copy.deepcopy(TOY)
    for path, value in changes.items():
        *above, key = path.split("__")
        node = values
        for part in above:
            node = node[part]
        if value is REMOVED:
            del node[key]
        else:
            node[key] = value
    return [str(fault) for fault in RECIPE.faults(values)]


REMOVED = object()


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: str(p.relative_to(CHECKOUT)))
def test_what_we_ship_fits(path):
    assert list(RECIPE.faults(read(path).values)) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(scheduel={}), "scheduel is unknown; did you mean schedule?"),
        (dict(custom_hooks=[]), "custom_hooks is unknown; did you mean custom_imports?"),
        (dict(xyz=1), "xyz is unknown; there are model, data, schedule, evaluation, runtime, hooks, custom_imports "
                      "(begin the name of a helper with _)"),
        (dict(schedule__weigth_decay=0.1), "schedule.weigth_decay is unknown; did you mean weight_decay?"),
        (dict(evaluation__cam_treshold=0.1), "evaluation.cam_treshold is unknown; did you mean cam_threshold?"),
        (dict(evaluation__final__scale=[1]), "evaluation.final.scale is unknown; did you mean scales?"),
        (dict(evaluation__crf__sigma=1), "evaluation.crf.sigma is unknown; there are iterations, sxy, compat, "
                                         "bilateral_sxy, srgb, bilateral_compat"),
        (dict(evaluation__subset__class_names=[]), "evaluation.subset.class_names is unknown; did you mean classes?"),
        (dict(runtime__sed=1), "runtime.sed is unknown; did you mean seed?"),
        (dict(runtime__track__picture=1), "runtime.track.picture is unknown; did you mean pictures?"),
        (dict(data__augment__grey=1), "data.augment.grey is unknown; did you mean gray?"),
        (dict(data__train__sise=1), "data.train.sise is unknown to Toy; did you mean size?"),
        (dict(model__noise_filter__gama=0.9), 
         "model.noise_filter.gama is unknown to MixtureFilter; did you mean gamma?"),
        (dict(model__network__backbone__nam="x"), "model.network.backbone.nam is unknown; did you mean name?"),
        (dict(model__weights__dys=1), "model.weights.dys is unknown; did you mean dis?"),
        (dict(model__precision="bf16"), None),
        (dict(schedule__lr="fast"), "schedule.lr is 'fast': give a number above 0"),
        (dict(schedule__iterations=10.0), "schedule.iterations is 10.0: give a whole number of iterations, at least 1"),
        (dict(schedule__iterations=True),
         "schedule.iterations is True: give a whole number of iterations, at least 1"),
        (dict(schedule__images_per_loss="all"),
         "schedule.images_per_loss is 'all': give a whole number of images, at least 1"),
        (dict(schedule__per_gpu=2),
         "schedule.per_gpu is gone: use schedule.images_per_loss (docs/reference/upgrade.md)"),
        (dict(schedule__accumulate=2),
         "schedule.accumulate is gone: use schedule.images_per_loss (docs/reference/upgrade.md)"),
        (dict(schedule__allow_other_batch=True), "schedule.allow_other_batch is gone: use schedule.batch_size and "
                                                 "schedule.images_per_loss (docs/reference/upgrade.md)"),
        (dict(runtime__amp="auto"), "runtime.amp is gone: use runtime.precision (docs/reference/upgrade.md)"),
        (dict(runtime__threads=0), "runtime.threads is 0: give a whole number of threads, at least 1"),
        (dict(schedule=[1]), "schedule is [1]: give a dict"),
        (dict(schedule__betas=[0.9]), "schedule.betas is [0.9]: give a list of 2 items, each a number in [0, 1)"),
        (dict(schedule__betas=[0.9, 1.0]), "schedule.betas.1 is 1.0: give a number in [0, 1)"),
        (dict(schedule__lr=0), "schedule.lr is 0: give a number above 0"),
        (dict(runtime__seed=-1), "runtime.seed is -1: give a whole number in [0, 4294967295]"),
        (dict(runtime__seed=2**32), "runtime.seed is 4294967296: give a whole number in [0, 4294967295]"),
        (dict(evaluation__final=dict(scales=[])),
         "evaluation.final.scales is []: give a list of at least 1, each a number above 0"),
        (dict(model__cam_scales=[]), "model.cam_scales is []: give a list of at least 1, each a number above 0"),
        (dict(model__refine__dilations=[]),
         "model.refine.dilations is []: give a list of at least 1, each a whole number of px, at least 1"),
        (dict(runtime__precision="bf-16"),
         "runtime.precision is 'bf-16': give \"off\", \"cam\", \"bf16\" or \"fp16\"; did you mean bf16?"),
        (dict(runtime__precision="auto"),
         "runtime.precision is 'auto': give \"off\", \"cam\", \"bf16\" or \"fp16\""),
        (dict(evaluation__final__scales=[1.0, 0]), "evaluation.final.scales.1 is 0: give a number above 0"),
        (dict(evaluation__cam_threshold=1.5), "evaluation.cam_threshold is 1.5: give a number in [0, 1]"),
        (dict(model__noise_filter__gamma=1), "model.noise_filter.gamma is 1: give a number in (0, 1)"),
        (dict(model__noise_filter__fit_on="al"), "model.noise_filter.fit_on is 'al': give \"all\" or \"foreground\"; "
                                                 "did you mean all?"),
        (dict(data__augment__hue=0.7), "data.augment.hue is 0.7: give a number in [0, 0.5]"),
        (dict(data__val__size=8), "data.val.size is 8: give a whole number of px, at least 16"),
        (dict(schedule__lr=REMOVED), "schedule needs lr (learning rate of the backbone after the warm-up (AdamW))"),
        (dict(runtime=REMOVED),
         "the file needs runtime (where and how a run computes, and what it reports)"),
        (dict(model__discrepancy=REMOVED), None),
        (dict(data__train=dict(split="train")), None),
        (dict(model__threshold__type="CosineDescnt"), "model.threshold.type is 'CosineDescnt', which is no threshold; "
                                                      "did you mean CosineDescent?"),
        (dict(model__threshold__type="TrustAll"), "model.threshold.type is 'TrustAll', which belongs elsewhere: choose "
                                                  "from CosineDescent, FixedThreshold, PerClassCosineDescent"),
        (dict(model__threshold=dict(initial=0.7)), "model.threshold needs a type: choose from CosineDescent, "
                                                   "FixedThreshold, PerClassCosineDescent"),
        (dict(data__train__type="Tooy"), "data.train.type is 'Tooy', which is no data set; did you mean Toy?"),
        (dict(hooks=[dict(priority=1)]), 'hooks.0 needs a type, such as dict(type="NAME")'),
        (dict(data__test=dict(type="Toy", cout=1)), "data.test.cout is unknown to Toy; did you mean count?"),
        (dict(data__train=dict(type="Part", of=dict(type="Toy", sise=3), held=True, share=0.1)),
         "data.train.of.sise is unknown to Toy; did you mean size?"),
    ],
)  # fmt: skip
def test_one_line_for_each_fault(changes, message):
    found = faults(**changes)
    assert len(found) >= 1 and "\n" not in found[0]
    if message is not None:
        assert found[0] == message


def test_arguments_that_the_builder_gives_are_no_keys():
    assert faults(model__precision="bf16")[0].startswith("model.precision is unknown to DuPL")
    assert faults(model__students__num_classes=3)[0].startswith("model.students.num_classes is unknown")


def test_what_is_allowed():
    assert faults(data__val=None, model__weights=None, evaluation__subset=None, schedule__images_per_loss=4) == []
    assert faults(data__test=None, hooks=[dict(type="EMAHook", momentum=0.1)], runtime__compile="inductor") == []
    assert faults(schedule__betas=(0.9, 0.99), schedule__lr=1, model__threshold=dict(type="FixedThreshold")) == []
    assert faults(runtime__track=REMOVED, evaluation__crf=REMOVED, model__own_view=REMOVED) == []
    network = {key: value for key, value in TOY["model"]["network"].items() if key != "type"}
    assert faults(model__network=network) == [], "a network is a SubNet where nothing else is said"


def test_types_that_are_not_known_pass_where_modules_of_your_own_are_named():
    own = dict(type="Mine", anything=object())
    assert len(faults(model__threshold=own)) == 1
    assert faults(model__threshold=own, custom_imports=dict(imports=["mine"])) == []
    assert len(faults(model__treshold=own, custom_imports=dict(imports=["mine"]))) == 1


def test_a_registered_class_of_your_own_is_checked_by_its_signature():
    from dupl.method.component import Component
    from dupl.registry import COMPONENTS

    class Bound(Component):
        def __init__(self, bound: float, mode="x", *, how: Nowhere = None) -> None:  # noqa: F821
            super().__init__()

    COMPONENTS.register_module(module=Bound)
    try:
        assert faults(model__noise_filter=dict(type="Bound", bound=1, mode=[], how=3)) == []
        assert faults(model__noise_filter=dict(type="Bound", bnd=1))[0].endswith("to Bound; did you mean bound?")
    finally:
        del COMPONENTS.module_dict["Bound"]


class TestKinds:
    def test_intervals(self):
        assert [contains("(0, 1]", x) for x in (0, 0.5, 1, 1.1)] == [False, True, True, False]
        assert not contains("[0, inf)", float("inf")) and not contains("[0, inf)", float("nan"))
        assert [in_words(text) for text in ("[1, inf)", "(0, inf)", "[0, 1)", "")] == [
            "at least 1", "above 0", "in [0, 1)", ""]  # fmt: skip
        assert In("[0, 1]") == In("[0, 1]", "")

    def test_words(self):
        kinds = find("PerClassCosineDescent").section.fields["final"].kinds
        assert in_all(kinds) == "a number in [0, 1], a list, each a number in [0, 1], or a dict"

    def test_an_annotation_that_means_nothing_here(self):
        with pytest.raises(TypeError, match="no kind of value is known"):
            kinds_of(set[int])


class TestCatalogue:
    def test_it_is_what_the_code_says(self):
        """Where it differs: python tools/config_reference.py."""
        command = [sys.executable, str(CHECKOUT / "tools" / "config_reference.py"), "--check"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=CHECKOUT)
        assert done.returncode == 0, done.stderr[-2000:]

    def test_every_argument_has_a_kind_and_a_meaning(self):
        for name, component in shipped().items():
            for field in component.section.fields.values():
                assert field.doc, f"{name}.{field.name} has no meaning"
                assert "any" not in [kind.name for kind in field.kinds], f"{name}.{field.name} may be anything"

    def test_every_slot_of_the_model_has_its_components(self):
        for field in shipped()["DuPL"].section.fields.values():
            for kind in field.kinds:
                assert kind.name != "component" or in_slot(kind.target), field.name

    def test_ranges_are_those_that_the_classes_hold_themselves_to(self):
        from dupl.registry import COMPONENTS

        for name, key, value in [
            ("MixtureFilter", "gamma", 1.0),
            ("MixtureFilter", "eta", -0.1),
            ("MixtureFilter", "fit_on", "none"),
            ("CosineDescent", "final", 1.1),
            ("FixedThreshold", "value", -0.1),
            ("ConfidentConsistency", "confidence", 1.1),
            ("StrongPerturbation", "magnitude", 31),
            ("OwnView", "hue", 0.6),
            ("NoDiscrepancy", "start", -1),
        ]:
            assert list(Checker().section({key: value}, find(name).section, "x"))
            with pytest.raises(ValueError):
                COMPONENTS.get(name)(**{key: value})


def test_a_signature_that_passes_arguments_on_has_those_of_its_base():
    assert describe(type("Sub", (Base,), {"__init__": passing})).fields.keys() == {"extra", "a"}
    assert describe(Base).fields["a"].default is REQUIRED
    assert describe(Base).fields["a"].doc == "First, over two lines: really."


class Base:
    """A class.

    Args:
        a: First, over
            two lines: really.
    """

    def __init__(self, a: int) -> None: ...


def passing(self, extra: int = 3, **kwargs) -> None: ...


def test_an_annotation_that_only_type_checkers_know_does_not_hide_the_others():
    class Own:
        def __init__(self, rate: Share, part: OnlyForTypeCheckers | None = None) -> None: ...  # noqa: F821

    section = describe(Own)
    assert section.fields["part"].kinds == (Kind("any"),)
    (fault,) = Checker().section({"rate": 2, "part": 3}, section, "model.own")
    assert str(fault) == "model.own.rate is 2: give a number in [0, 1]"
