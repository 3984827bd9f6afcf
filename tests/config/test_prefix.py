import pytest

from dupl.config import catalogue
from dupl.config.check import RECIPE
from dupl.config.fingerprint import canonical
from dupl.config.overrides import apply
from dupl.config.prefix import beginnings, first_effects, forks, prefix
from dupl.config.prefix import common as common_of

BASE = {  # iterations 0 to 99; L_seg from 20, ANF from 50, L_reg from 60
    "schedule.iterations": 100,
    "model.segmentation.start": 20,
    "model.noise_filter.start": 50,
    "model.consistency.start": 60,
}


def config(**changes):
    changes = {name.replace("__", "."): value for name, value in changes.items()}
    return apply(catalogue.load_values("voc/dupl"), BASE | changes, RECIPE)


def common(one, other):
    alike = common_of(beginnings(one), beginnings(other))
    for t in range(1, 101):  # the digests say the same as the parts themselves
        assert (canonical(prefix(one, t)) == canonical(prefix(other, t))) == (t <= alike)
    return alike


OFF = {
    "ANF": {"model__noise_filter": {"type": "TrustAll"}},
    "L_reg": {"model__consistency": {"type": "NoConsistency"}},
    "DTA": {"model__threshold": {"type": "FixedThreshold", "value": 0.7}},
    "L_dis": {"model__discrepancy": {"type": "NoDiscrepancy"}},
    "L_ptc": {"model__patch_contrast": {"type": "NoPatchContrast"}},
    "refinement": {"model__refine": {"type": "NoRefinement"}},
}


@pytest.mark.parametrize(
    ("part", "alike"),
    [("ANF", 50), ("L_reg", 60), ("refinement", 20), ("DTA", 0), ("L_dis", 0), ("L_ptc", 0)],
)
def test_a_component_switched_off_makes_no_difference_before_it_acts(part, alike):
    full, without = config(), config(**OFF[part])
    assert common(full, without) == common(without, full) == alike


def test_a_start_counts_from_the_earlier_of_two():
    assert common(config(), config(model__noise_filter__start=30)) == 30
    assert common(config(), config(model__segmentation__start=40)) == 20


def test_a_component_acts_no_earlier_than_the_one_that_it_depends_on():
    early = config(model__noise_filter__start=0)
    assert common(early, config(**OFF["ANF"])) == 20  # there are no labels to filter before L_seg starts
    assert common(early, config(model__noise_filter__start=10)) == 20
    assert forks(early) == [20, 60]


def test_weights_and_arguments_of_a_component_count_from_its_start():
    assert common(config(), config(model__noise_filter__gamma=0.5)) == 50
    assert common(config(), config(model__weights__reg=0.3)) == 60
    assert common(config(), config(model__weights__seg=0.3)) == 20
    assert common(config(), config(model__weights__dis=0.3)) == 0
    assert common(config(), config(model__perturb__magnitude=5)) == 60


def test_an_argument_that_acts_before_the_start_counts_from_the_first_iteration():
    def descent(**arguments):
        return config(model__threshold={"type": "PerClassCosineDescent", "start": 40} | arguments)

    assert common(descent(), descent(final=0.3)) == 40
    assert common(descent(), descent(initial=0.8)) == 0
    assert common(descent(), descent(start=30)) == 30


LATE = {"model__patch_contrast__start": 30, "model__segmentation__start": 20}  # no loss needs CAMs before 20


def test_a_threshold_on_cams_acts_once_a_loss_needs_them():
    assert common(config(**LATE), config(**LATE, **OFF["DTA"])) == 20
    assert common(config(**LATE), config(**LATE, model__threshold__final=0.3)) == 20

    def descent(**arguments):
        return config(**LATE, model__threshold={"type": "PerClassCosineDescent", "start": 40} | arguments)

    assert common(descent(), descent(initial=0.8)) == 20
    assert common(descent(), descent(final=0.3)) == 40
    assert forks(config(**LATE)) == [20, 30, 50, 60]


def test_values_of_the_model_count_once_a_component_uses_them():
    assert common(config(), config(model__levels="truncate")) == 20
    assert common(config(), config(model__aux_labels_until=5)) == 20
    assert common(config(), config(model__tau_l=0.3)) == 0
    assert common(config(**LATE), config(**LATE, model__tau_l=0.3)) == 20
    assert common(config(**LATE), config(**LATE, model__cam_scales=[1.0])) == 0  # evaluations compute CAMs too


def test_a_method_that_is_not_known_acts_as_a_whole():
    own, other = config(), config(**OFF["ANF"])
    own["model"]["type"] = other["model"]["type"] = "MyOwnMethod"
    assert common(own, other) == 0
    assert forks(own) == []


def test_a_method_of_your_own_that_lists_no_slots_acts_as_a_whole():
    from dupl.method.dupl import DuPL
    from dupl.registry import COMPONENTS

    @COMPONENTS.register_module(force=True)
    class FiltersFromTheFirstIteration(DuPL):
        """It may use its noise filter whenever it likes."""

    own, other = config(), config(**OFF["ANF"])
    own["model"]["type"] = other["model"]["type"] = "FiltersFromTheFirstIteration"
    assert common(own, other) == 0
    FiltersFromTheFirstIteration.SLOTS = DuPL.SLOTS  # it says that its slots act as those of DuPL do
    assert common(own, other) == 50
    COMPONENTS.module_dict.pop("FiltersFromTheFirstIteration")


def test_a_null_partner_with_arguments_acts_from_the_first_iteration():
    fixed = {"type": "FixedThreshold", "value": 0.7}
    assert common(config(model__threshold=fixed), config(model__threshold=fixed | {"value": 0.5})) == 0


@pytest.mark.parametrize("change", [{"schedule__iterations": 99}, {"schedule__lr": 1e-3}, {"runtime__seed": 1}])
def test_length_schedule_and_seed_count_from_the_first_iteration(change):
    assert common(config(), config(**change)) == 0


def test_what_cannot_change_a_result_does_not_count():
    assert common(config(), config(runtime__workers=1)) == 100


def test_configs_that_differ_in_what_never_acts_are_alike_to_the_end():
    assert common(config(model__noise_filter__start=100), config(**OFF["ANF"])) == 100
    assert forks(config(model__noise_filter__start=100)) == [20, 60]


def test_a_class_that_is_not_known_acts_from_the_first_iteration():
    own = config()
    own["model"]["consistency"] = {"type": "MyOwnConsistency", "start": 60}
    assert common(config(), own) == 0


def test_a_prefix_leaves_the_config_as_it_is():
    full = config()
    prefix(full, 10)
    assert full == config()


def test_prefixes_of_growing_length_say_more_and_more():
    full, sizes = config(), []
    for t in (0, 20, 21, 50, 51, 60, 61, 100):
        sizes.append(len(str(prefix(full, t))))
    assert sizes == sorted(sizes)
    assert "noise_filter" not in prefix(full, 50)["model"]
    assert prefix(full, 51)["model"]["noise_filter"]["start"] == 50


def test_values_have_their_first_effect_where_their_component_begins():
    full = config()
    assert first_effects(full, ["model.noise_filter.gamma", "model.noise_filter.eta"]) == [50]
    assert first_effects(full, ["model.noise_filter.gamma", "model.weights.reg"]) == [50, 60]
    assert first_effects(full, ["model.threshold.final", "schedule.lr", "model.weights.dis"]) == []
