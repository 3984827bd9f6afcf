"""Pictures: pixel values at known places, sizes, legends, files that are whole or not there."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dupl.errors import UserError
from dupl.palette import colormap
from dupl.report.figures import figure_sheet, image_row, legend, paint
from dupl.report.figures import picture_page as page_module
from dupl.report.figures.image_row import ImageRow
from dupl.report.figures.matplotlib_theme import spread_labels
from dupl.report.figures.page_layout import fit_image, page_layout
from dupl.report.figures.paint import heatmap, overlay
from dupl.report.figures.picture_files import save_palette_png
from dupl.report.figures.picture_page import picture_page
from dupl.report.figures.training_curves import series_info
from dupl.report.figures.training_curves_file import curve

CLASSES = ("background", "disc", "square", "ring")
GREY = np.full((24, 24, 3), 100, np.uint8)


def quarters(top_left=0, top_right=0, bottom_left=0, bottom_right=0, side=24):
    labels = np.zeros((side, side), np.uint8)
    half = side // 2
    labels[:half, :half], labels[:half, half:] = top_left, top_right
    labels[half:, :half], labels[half:, half:] = bottom_left, bottom_right
    return labels


def a_row(students=2, **changes):
    labels = quarters(1, 0, 255, 0)
    values = dict(
        name="scene",
        image=GREY,
        truth=quarters(1),
        cams=[np.linspace(0, 1, 576, dtype=np.float32).reshape(24, 24)] * students,
        cam_labels=[quarters(0, 0, 1, 1)] * students,
        pseudo=[labels] * students,
        noisy=[quarters(0, 0, 0, 1).astype(bool)] * students,
        prediction=[quarters(2)] * students,
        tags=("disc",),
    )
    return ImageRow(**(values | changes))


def words(rows, classes=CLASSES):
    return [entry.text for entry in legend.legend(rows, classes)]


def swatches(rows):
    return {entry.text: entry.swatch for entry in legend.legend(rows, CLASSES)}


def is_noise(picture):
    return (picture == paint.NOISE).all(-1) | (picture == paint.NOISE_STRIPE).all(-1)


# overlay


def test_overlay_blends_the_palette_and_leaves_the_background():
    before = GREY.copy()
    out = overlay(GREY, quarters(1, 2), alpha=0.5)
    assert out.dtype == np.uint8 and out.shape == GREY.shape
    assert out[5, 5].tolist() == [114, 50, 50]  # disc is (128, 0, 0)
    assert out[5, 18].tolist() == [50, 114, 50]  # square is (0, 128, 0)
    assert (out[12:] == 100).all()
    assert np.array_equal(GREY, before)


def test_overlay_hatches_undecided_pixels_in_two_greys():
    out = overlay(GREY, quarters(0, 0, 0, 255))[12:, 12:].reshape(-1, 3)
    assert (out[:, 0] == out[:, 1]).all() and (out[:, 0] == out[:, 2]).all()
    assert np.unique(out).tolist() == [119, 186]  # 0.75 * (125 | 215) + 0.25 * 100
    assert 0.2 < (out[:, 0] == 186).mean() < 0.5


def test_overlay_parts_regions_by_one_line_inside_them():
    line = (overlay(GREY, quarters(1, 2)) == 255).all(-1)
    assert line[11, :].all() and not line[12:].any()  # to the background below
    assert line[:12, 12].all() and not line[:11, 11].any()  # one line between the two, not one in each
    assert not line[:11, 0].any()  # none along the edge of the photo


def test_overlay_parts_a_region_from_undecided_pixels():
    line = (overlay(GREY, quarters(1, 255)) == 255).all(-1)
    assert line[:12, 11].all() and not line[:, 12:].any()


def test_overlay_writes_names_where_there_is_room():
    image, labels = np.full((200, 200, 3), 100, np.uint8), quarters(1, 0, 0, 2, side=200)
    labels[150:154, :4] = 3  # too small for a name
    plain, named = overlay(image, labels), overlay(image, labels, CLASSES)
    changed = (plain != named).any(-1)
    assert changed[:100, :100].any() and changed[100:, 100:].any()
    assert not changed[:100, 100:].any() and not changed[100:, :100].any()
    assert (overlay(image, labels, CLASSES[:1]) == plain).all()  # labels without a name are no error


def test_lines_grow_with_the_photo():
    labels = quarters(1, side=1200)
    assert paint.edges(labels)[100].sum() == 3


def test_overlay_refuses_another_size():
    with pytest.raises(ValueError, match="24, 24, 3"):
        overlay(GREY, np.zeros((24, 25), np.uint8))


def test_noise_covers_labels_in_colours_of_no_class():
    noisy = quarters(1, 1).astype(bool)
    out = paint.paint(GREY, quarters(1, 255, 1, 255), noisy=noisy)
    assert is_noise(out)[:12].all() and not is_noise(out)[12:].any()
    for colour in (paint.NOISE, paint.NOISE_STRIPE):
        assert (out == colour).all(-1).any()
        assert not (colormap()[1:] == colour).all(-1).any()


def test_void_of_the_truth_is_filled_and_not_hatched():
    out = paint.paint(GREY, quarters(1, 255), void=paint.VOID)
    assert (out[:12, 12:] == (224, 224, 192)).all()
    assert not (out[:11, :12] == 255).all(-1).any()  # void is a border itself


# heatmap


def test_heatmap_leaves_the_photo_at_zero_and_glows_at_one():
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    cam = np.zeros((8, 8), np.float32)
    cam[:, 4:6], cam[:, 6:] = 0.1, 1
    out = heatmap(image, cam, alpha=1.0)
    assert out.dtype == np.uint8 and (out[:, :4] == image[:, :4]).all()
    assert (out[:, 6:] == (252, 255, 164)).all()  # the end of inferno
    assert np.abs(out[:, 4:6].astype(int) - image[:, 4:6]).max() < 60  # low values: mostly photo


def test_heatmap_rises_in_lightness():
    out = heatmap(np.zeros((1, 64, 3), np.uint8), np.linspace(0, 1, 64, dtype=np.float32)[None])
    assert (np.diff(out[0] @ [0.2126, 0.7152, 0.0722]) > -1.0).all()


def test_heatmap_clips_and_ignores_nan():
    cam = np.array([[-3, np.nan, 5]], np.float32)
    image = np.full((1, 3, 3), 50, np.uint8)
    out = heatmap(image, cam, alpha=1.0)
    assert (out[0, :2] == 50).all() and out[0, 2].tolist() == [252, 255, 164]
    with pytest.raises(ValueError, match="does not go with"):
        heatmap(image, cam.T)


# label files


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 2, 16, 256]))
def test_palette_png_reads_back(tmp_path_factory, seed, height, width, values):
    ids = np.random.default_rng(seed).integers(0, values, (height, width)).astype(np.uint8)
    ids[0, 0] = 255
    path = tmp_path_factory.mktemp("masks") / "new folder" / "mask.png"
    save_palette_png(ids, path)
    with Image.open(path) as picture:
        assert picture.mode == "P"
        assert (np.array(picture) == ids).all()
        assert (np.array(picture.convert("RGB")) == colormap()[ids]).all()


def test_palette_png_replaces_a_file_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "mask.png"
    save_palette_png(quarters(1), path)
    before = path.read_bytes()
    seen = []

    def fail(draft, target):
        seen.append((os.path.dirname(draft), os.path.getsize(draft), os.fspath(target)))
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        save_palette_png(quarters(2), path)
    assert seen[0][0] == str(tmp_path) and seen[0][1] > 0 and seen[0][2] == str(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["mask.png"]


@pytest.mark.parametrize("labels", [np.zeros((4, 4), np.int64), np.zeros((4, 4, 3), np.uint8)])
def test_palette_png_refuses_what_holds_no_labels(tmp_path, labels):
    with pytest.raises(ValueError, match="uint8"):
        save_palette_png(labels, tmp_path / "mask.png")
    assert not os.listdir(tmp_path)


# pictures of one image


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("truth", np.zeros((24, 25), np.uint8)),
        ("cams", [np.zeros((12, 12), np.float32)]),
        ("cam_labels", [None, np.zeros((3, 3), np.uint8)]),
        ("pseudo", [np.zeros((24, 24), np.int64)]),
        ("noisy", [np.zeros((24, 24), np.uint8)]),
        ("prediction", [np.zeros((24, 24), np.float32)]),
        ("image", np.zeros((24, 24), np.uint8)),
    ],
)
def test_a_row_refuses_arrays_that_do_not_fit(field, value):
    with pytest.raises(ValueError, match=f"scene: .*{field}"):
        a_row(**{field: value})


def test_small_images_are_enlarged_pixel_by_pixel():
    image = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)
    out = image_row.row_picture(a_row(image=image), "Image", 0, (96, 96))
    assert (out == image.repeat(4, 0).repeat(4, 1)).all()


def test_pictures_show_what_is_known_at_the_size_they_are_seen():
    row, size = a_row(), (96, 96)
    truth = image_row.row_picture(row, "Truth", 0, size)
    tinted = np.rint(100 * (1 - image_row.STRONG) + image_row.STRONG * np.array([128, 0, 0]))
    assert truth[20, 20].tolist() == tinted.tolist()
    assert truth[60, 60].tolist() == [100] * 3
    pseudo = image_row.row_picture(row, "Pseudo-label", 1, size)
    assert is_noise(pseudo[48:, 48:]).all() and not is_noise(pseudo[:48]).any()
    assert set(np.unique(pseudo[48:, :48])) == {119, 186}
    prediction = image_row.row_picture(row, "Prediction", 0, size)
    assert prediction[20, 20, 1] > prediction[20, 20, 0]
    cam = image_row.row_picture(row, "CAM", 0, size)
    assert (cam[48] == 255).all() and not (cam[50] == 255).all(-1).any()  # the threshold's outline, 1 px
    assert cam[0, 0].tolist() == [100] * 3
    unlined = image_row.row_picture(replace(row, cam_labels=None), "CAM", 0, size)
    assert not (unlined == 255).all(-1).any()


@pytest.mark.parametrize("kind", ["Truth", "CAM", "Pseudo-label", "Prediction"])
def test_pictures_of_nothing_are_none(kind):
    row = a_row(students=1, truth=None)
    assert image_row.row_picture(row, kind, 1, (48, 48)) is None
    assert image_row.row_picture(row, "Image", 0, (48, 48)) is not None


def test_noise_is_optional():
    row = a_row(noisy=[])
    assert not is_noise(image_row.row_picture(row, "Pseudo-label", 0, (48, 48))).any()
    assert "filtered as noise (none here)" in words([row])


# the legend


def test_legend_lists_only_what_occurs():
    assert words([a_row()]) == [
        "disc",
        "square",
        "background (not painted)",
        "undecided",
        "filtered as noise",
        "CAM from 0 to 1",
        "threshold of the CAM",
    ]
    row = a_row(truth=quarters(3, 255), cam_labels=None, prediction=[])
    assert [word for word in words([row]) if word in ("void", "ring", "square", "threshold of the CAM")] == [
        "ring",
        "void",
    ]


def test_legend_says_where_marks_are_not_to_be_seen():
    row = a_row(pseudo=[quarters(1)], noisy=[np.zeros((24, 24), bool)])
    assert "undecided (none here)" in words([row]) and "filtered as noise (none here)" in words([row])
    bare = a_row(pseudo=[], noisy=[], cams=[], cam_labels=None, prediction=[])
    assert words([bare]) == ["disc", "background (not painted)"]


def test_legend_leaves_out_a_class_that_noise_hides():
    row = a_row(truth=None, pseudo=[quarters(3)], noisy=[quarters(3) == 3], prediction=[])
    assert "ring" not in words([row])


def test_legend_names_labels_beyond_the_classes():
    assert "label 9" in words([a_row(prediction=[quarters(9)])])


def test_swatches_look_like_the_pictures():
    found = swatches([a_row(truth=quarters(1, 255))])
    tinted = np.rint(legend.GREY * (1 - image_row.STRONG) + image_row.STRONG * colormap()[1])
    assert (found["disc"] == tinted).all()
    assert is_noise(found["filtered as noise"]).all()
    assert len(np.unique(found["undecided"])) == 2
    assert (found["void"] == paint.VOID).all()
    assert found["CAM from 0 to 1"][0, 0].tolist() == [legend.GREY] * 3


# the page


def page(tmp_path, panels, title="A title", caption="A caption"):
    path = tmp_path / "pictures" / "page.png"
    picture_page(panels, CLASSES, path, title, caption)
    with Image.open(path) as picture:
        assert picture.format == "PNG" and picture.mode == "RGB"
        return np.array(picture)


def test_page_has_its_pictures_where_the_layout_puts_them(tmp_path):
    row = a_row()
    seen = page(tmp_path, [row])
    layout = page_layout([row])
    assert [(c.kind, c.student) for c in layout.columns] == [
        ("Image", None),
        ("Truth", None),
        *((kind, student) for kind in ("CAM", "Pseudo-label", "Prediction") for student in (0, 1)),
    ]
    assert seen.shape[1] == layout.width and 1600 <= layout.width <= 2000
    assert layout.cell == 24 * 8 + 2  # eightfold, and a frame
    for column in layout.columns:
        expected = image_row.row_picture(row, column.kind, column.student or 0, (192, 192))
        bottom = seen.shape[0] - page_module.MARGIN
        left = column.left + 1
        shown = seen[bottom - 193 : bottom - 1, left : left + 192]
        assert (shown == expected).all(), column


def test_page_without_masks_or_second_student_drops_the_columns(tmp_path):
    row = a_row(students=1, truth=None)
    kinds = [column.kind for column in page_layout([row]).columns]
    assert kinds == ["Image", "CAM", "Pseudo-label", "Prediction"]
    assert page(tmp_path, [row]).shape[1] >= 1600


def test_page_leaves_a_grey_box_for_a_single_missing_picture(tmp_path):
    panels = [a_row(), a_row(students=1, truth=None)]
    assert (page(tmp_path, panels) == figure_sheet.EMPTY).all(-1).sum() > 3 * 150 * 192


def test_page_takes_any_size_and_shape(tmp_path):
    def sized(height, width):
        labels = np.ones((height, width), np.uint8)
        none = np.zeros((height, width), bool)
        image, cam = np.full((height, width, 3), 90, np.uint8), np.ones((height, width), np.float32)
        return ImageRow(f"{height} x {width}", image, labels, [cam], [None], [labels], [none], [labels], ("disc",))

    panels = [sized(64, 64), sized(1200, 1600), sized(30, 900), sized(900, 30), sized(1, 1), sized(224, 160)]
    layout = page_layout(panels)
    for row in panels:
        width, height = fit_image(row.image, layout.room)
        assert 1 <= width <= layout.cell - 2 and 1 <= height <= 4 / 3 * layout.room + 1
    assert page(tmp_path, panels).shape[1] == layout.width


def test_uniform_portraits_are_as_large_as_there_is_room_for():
    tall = a_row(0, image=np.zeros((800, 400, 3), np.uint8), truth=np.zeros((800, 400), np.uint8), cam_labels=None)
    layout = page_layout([tall])
    assert fit_image(tall.image, layout.room) == (280, 560) and layout.cell == 282


def test_page_repeats_the_column_titles(tmp_path):
    one = page(tmp_path, [a_row()] * 10).shape[0]
    more = page(tmp_path, [a_row()] * 11).shape[0]
    forty = page(tmp_path, [a_row()] * 40).shape[0]
    head, row = 74, 194 + page_module.ROW_GAP
    assert more - one == head + row
    assert forty == one + 30 * row + 3 * head


def test_page_copes_with_any_text(tmp_path):
    text = "x" * 300 + "\n\t\x00 <b>$\\frac{$ & é % {} " * 20
    row = a_row(name=text, tags=("disc", "not a class"), notes=text)
    plain, wordy = page(tmp_path, [a_row()], "", ""), page(tmp_path, [row], text, text)
    assert wordy.shape[1] == plain.shape[1] and wordy.shape[0] > plain.shape[0] + 500


def test_page_of_nothing_is_an_error(tmp_path):
    with pytest.raises(UserError, match="no images to draw"):
        picture_page([], CLASSES, tmp_path / "page.png", "title", "")
    assert not os.listdir(tmp_path)


@given(st.text(max_size=60), st.integers(30, 300))
def test_wrapped_text_fits_and_loses_nothing(text, width):
    face = figure_sheet.font(14)
    lines = figure_sheet.wrapped(text, face, width)
    assert all(face.getlength(line) <= width for line in lines)
    printable = "".join(c if c.isprintable() else " " for c in text)
    assert "".join("".join(lines).split()) == "".join(printable.split())


# the curve

ROWS = [
    {"iter": 100, "cam/1/mIoU": 20.0, "cam/2/mIoU": 18.0, "seg/1/mIoU": 0.5},
    {"iter": 150, "L_cls": 0.3},
    {"iter": 200, "cam/1/mIoU": 30.0, "cam/2/mIoU": None, "seg/1/mIoU": float("nan")},
]
NAMES = {"CAM 1": "cam/1/mIoU", "CAM 2": "cam/2/mIoU", "Seg 1": "seg/1/mIoU", "best": "cam/best/mIoU"}


def test_series_leave_out_what_is_no_number():
    found = series_info(ROWS, NAMES)
    assert [line.points for line in found] == [((100, 20.0), (200, 30.0)), ((100, 18.0),), ((100, 0.5),), ()]
    assert [line.student for line in found] == [1, 2, 1, 0]
    assert found[0].family == found[1].family != found[2].family


def test_curve_is_a_picture_with_a_hue_per_student_and_dashed_marks(tmp_path):
    path = tmp_path / "new" / "curve.png"
    curve(ROWS, NAMES, path, "Title $1 \\frac{", "mIoU in % $", {"L_seg starts": 120, "ANF $\\x": 130})
    with Image.open(path) as picture:
        assert picture.size == (1800, 1000)
        image = np.array(picture.convert("RGB")).astype(int)
    blue = (image[..., 2] > image[..., 0] + 80).sum()
    orange = (image[..., 0] > image[..., 2] + 80).sum()
    assert blue > 3000 and orange > 500
    unmarked = tmp_path / "unmarked.png"
    curve(ROWS, NAMES, unmarked, "Title", "mIoU")
    assert unmarked.read_bytes() != path.read_bytes()
    again = tmp_path / "again.png"
    curve(ROWS, NAMES, again, "Title", "mIoU")
    assert again.read_bytes() == unmarked.read_bytes()


@pytest.mark.parametrize("rows", [[], [{"iter": 5, "loss": 1.0}], [{"iter": 5, "cam/1/mIoU": None}]])
def test_curve_without_values_is_an_error(tmp_path, rows):
    with pytest.raises(UserError, match="cam/1/mIoU"):
        curve(rows, NAMES, tmp_path / "curve.png", "title", "mIoU")
    assert not os.listdir(tmp_path)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_spread_keeps_labels_apart_and_in_order(heights):
    places = spread_labels(sorted(heights), 0.05)
    assert len(places) == len(heights)
    assert all(b - a >= 0.05 - 1e-9 for a, b in zip(places, places[1:], strict=False))
    assert np.mean(places) == pytest.approx(np.mean(heights))


def test_spread_moves_nothing_that_has_room():
    assert spread_labels([0.1, 0.3, 0.31, 0.9], 0.05) == pytest.approx([0.1, 0.28, 0.33, 0.9])


# the house's rules


def test_importing_and_drawing_touch_no_global_state(tmp_path):
    code = f"""
import sys
from dupl.report.figures import picture_page, training_curves_file
assert not {{"matplotlib", "torch", "scipy"}} & set(sys.modules), "imported too early"
import matplotlib
before = matplotlib.rcParams.copy()
training_curves_file.curve([{{"iter": 1, "a": 2.0}}], {{"a": "a"}}, {str(tmp_path / "curve.png")!r}, "t", "y")
assert not {{"matplotlib.pyplot", "torch"}} & set(sys.modules), "pyplot or torch came along"
assert matplotlib.rcParams.copy() == before
"""
    subprocess.run([sys.executable, "-c", code], check=True)
