"""Pixels per image as they stand in files."""

import pytest

from dupl.runs.pixel_counts import read_pixel_counts

HEADER = "map,image,class,TP,FP,FN\n"


def test_counts_are_read_as_they_stand(tmp_path):
    (tmp_path / "per_image.csv").write_text(f"{HEADER}seg/1,b,cat,1,2,3\nseg/1,a,dog,40000000000,0,6\n")
    found = read_pixel_counts(tmp_path)
    assert found.pixels.tolist() == [[1, 2, 3], [40000000000, 0, 6]]
    assert [found.images[k] for k in found.image_of] == ["b", "a"]
    assert [found.classes[k] for k in found.class_of] == ["cat", "dog"]


@pytest.mark.parametrize("cell", ["", "x", "5x", "5 6", "1.0", "nan", "1e3", "99999999999999999999"])
@pytest.mark.parametrize("last", [True, False])
def test_what_is_no_whole_number_is_refused(tmp_path, cell, last):
    row = f"1,2,{cell}" if last else f"{cell},2,3"
    (tmp_path / "per_image.csv").write_text(f"{HEADER}seg/1,a,cat,1,2,3\nseg/1,a,dog,{row}\n")
    with pytest.raises(ValueError, match=r"per_image\.csv is corrupt: a count is no whole number"):
        read_pixel_counts(tmp_path)
