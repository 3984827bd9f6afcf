"""What the public functions return for models and images, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import dupl


def state(model) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_a_kind_or_a_form_that_is_none(tmp_path):
    with pytest.raises(dupl.UserError, match="kind is 'plans'; give one of experiments, ablations, sweeps"):
        dupl.list_recipes("plans")
    with pytest.raises(dupl.UserError, match="form is 'mdx'; give one of md, latex, csv"):
        dupl.ablation_table("demo_table4", tmp_path).render("mdx")
    with pytest.raises(
        dupl.UserError, match=r"there is no store nowhere: dupl\.ablate\('demo_table4'\) trains the runs"
    ):
        dupl.ablation_table("demo_table4", "nowhere")


def test_arguments_of_another_kind():
    with pytest.raises(dupl.UserError, match="overrides is 3; give values by path"):
        dupl.load_recipe("demo/toy", 3)
    with pytest.raises(dupl.UserError, match="launcher yes: choose from none, pytorch, slurm, mpi"):
        dupl.train("demo/toy", "nowhere", launcher="yes")
    with pytest.raises(dupl.UserError, match=r"give what dupl\.read_run\('runs/a'\) returns"):
        dupl.last_gallery("runs/a")


class TestModels:
    def test_from_recipe_is_the_model_of_the_recipe(self, tiny):
        one, other = state(dupl.DuPL.from_recipe(tiny)), state(dupl.build_model(tiny))
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)

    def test_another_seed_is_another_model(self, tiny):
        one, other = state(dupl.DuPL.from_recipe(tiny)), state(dupl.DuPL.from_recipe(tiny, {"runtime.seed": 5}))
        assert any(not torch.equal(one[name], other[name]) for name in one)

    def test_a_recipe_of_another_method(self):
        with pytest.raises(dupl.UserError, match="demo/supervised is a recipe of Supervised, not of DuPL"):
            dupl.DuPL.from_recipe("demo/supervised")

    def test_a_recipe_that_was_loaded_stays_as_it_is(self):
        recipe = dupl.load_recipe("demo/toy")
        before = recipe.schedule.lr
        assert dupl.load_recipe(recipe, **{"schedule.lr": 0.5}).schedule.lr == 0.5
        assert recipe.schedule.lr == before

    def test_keywords_win_over_the_mapping(self):
        assert dupl.load_recipe("demo/toy", {"schedule.lr": 0.1}, **{"schedule.lr": 0.2}).schedule.lr == 0.2


class TestPredict:
    @pytest.fixture
    def photo(self) -> np.ndarray:
        return np.random.default_rng(0).integers(0, 256, (40, 52, 3), np.uint8)

    def test_a_file_a_pil_image_and_an_array_are_the_same_photo(self, trained, photo, tmp_path):
        Image.fromarray(photo).save(tmp_path / "a.png")
        found = dupl.predict(trained, [photo, Image.fromarray(photo), tmp_path / "a.png"])
        for one in found[1:]:
            assert np.array_equal(one.mask, found[0].mask)
            assert np.array_equal(one.scores, found[0].scores)
            assert one.tags == found[0].tags

    def test_shapes_types_and_ranges(self, trained, photo):
        (found,) = dupl.predict(trained, photo, tags=["disc", "cross"])
        assert (found.mask.shape, found.mask.dtype) == ((40, 52), np.uint8)
        assert (found.scores.shape, found.scores.dtype) == ((6,), np.float32)
        assert list(found.cams) == ["disc", "cross"] or set(found.cams) == {"disc", "cross"}
        assert all((cam.shape, cam.dtype) == ((40, 52), np.float32) for cam in found.cams.values())
        assert all(cam.min() >= 0 and cam.max() < 1 for cam in found.cams.values())
        assert found.classes[0] == "background" and len(found.classes) == 7

    def test_a_checkpoint_in_its_runs_folder_and_with_a_recipe(self, trained, tiny, photo, tmp_path):
        best = trained / "checkpoints" / "best.pth"
        (whole,), (alone,) = dupl.predict(trained, photo), dupl.predict(best, photo)
        assert np.array_equal(whole.mask, alone.mask)
        elsewhere = tmp_path / "weights.pth"
        elsewhere.write_bytes(best.read_bytes())
        (moved,) = dupl.predict(elsewhere, photo, recipe=tiny)
        assert np.array_equal(whole.mask, moved.mask)
        with pytest.raises(dupl.UserError, match="lies in no run's folder"):
            dupl.predict(elsewhere, photo)

    @pytest.mark.parametrize(
        ("image", "more", "message"),
        [
            (np.zeros((8, 8, 3), np.float32), {}, r"an image is float32 \(8, 8, 3\): give RGB as uint8"),
            (np.zeros((8, 8), np.uint8), {}, r"an image is uint8 \(8, 8\)"),
            (np.zeros((0, 8, 3), np.uint8), {}, r"an image is uint8 \(0, 8, 3\)"),
            ("nowhere.png", {}, "nowhere.png"),
            (np.zeros((8, 8, 3), np.uint8), {"tags": ["dog"]}, "no class 'dog'"),
            (np.zeros((8, 8, 3), np.uint8), {"student": "3"}, "student 3: this model has "),
        ],
    )
    def test_what_is_refused(self, trained, image, more, message):
        with pytest.raises(dupl.UserError, match=message):
            dupl.predict(trained, image, **more)
