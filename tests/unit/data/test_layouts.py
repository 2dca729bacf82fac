"""Every layout and convention, and what happens where place and ids disagree."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from drivable.curation.conversion import convert
from drivable.data import open_data, read_pair, select_split
from drivable.data.attributes import attributes_for
from drivable.data.encodings import COLORS_2018, CURRENT_IDS
from drivable.data.samples import open_array
from drivable.errors import ConfigError, DataError
from drivable.imaging.images import read_image

Make = Callable[..., Path]
MASKS = ("bdd100k-masks", "bdd100k-colormaps", "bdd100k-2018-ids", "bdd100k-2018-colors")
REMAP_2018 = np.array([1, 2, 0], dtype=np.uint8)


def write_2018(root: Path) -> None:
    """Write the current masks of ``root`` again as 2018's ids and colours."""
    for mask in sorted((root / "labels/drivable/masks/train").iterdir()):
        label_map = np.asarray(Image.open(mask))
        ids = root / "drivable_maps/labels/train" / f"{mask.stem}_drivable_id.png"
        colors = root / "drivable_maps/color_labels/train" / f"{mask.stem}_drivable_color.png"
        palette = np.array([[217, 83, 79], [91, 192, 222], [0, 0, 0]], dtype=np.uint8)
        for path, pixels in ((ids, REMAP_2018[label_map]), (colors, palette[label_map])):
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)


def test_current_and_2018_masks_are_the_same_labels(make_bdd100k: Make) -> None:
    root = make_bdd100k()
    write_2018(root)
    colormaps = root / "labels/drivable/colormaps/train"
    colormaps.mkdir(parents=True)
    for mask in (root / "labels/drivable/masks/train").iterdir():
        picture = Image.open(mask).convert("L")
        picture.putpalette([219, 94, 86, 86, 211, 219, 0, 0, 0])
        picture.save(colormaps / mask.name)
    readings = {name: [s.label.read() for s in open_data(root, name).all_samples] for name in MASKS}
    for name, label_maps in readings.items():
        assert len(label_maps) == 3
        for got, want in zip(label_maps, readings["bdd100k-masks"], strict=True):
            assert np.array_equal(got, want), name


def test_npy_pair(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 18, 32, 3), dtype=np.uint8)
    label_maps = np.full((5, 18, 32), 2, dtype=np.uint8)
    label_maps[:, 9:, :10] = 0
    np.save(tmp_path / "image_18_32.npy", images)
    np.save(tmp_path / "label_18_32.npy", label_maps)
    data = open_data(tmp_path)
    assert data.layout == "npy"
    image, label_map = read_pair(data.all_samples[3])
    assert np.array_equal(image, images[3])
    assert np.array_equal(label_map, label_maps[3])


def test_folder_with_its_own_classes(tmp_path: Path) -> None:
    for place in ("images", "masks"):
        (tmp_path / place).mkdir()
    Image.fromarray(np.zeros((20, 30, 3), dtype=np.uint8)).save(tmp_path / "images/a b.png")
    Image.fromarray(np.full((20, 30), 7, dtype=np.uint8)).save(tmp_path / "masks/a b.png")
    description = {"names": ["road", "other"], "colors": [[9, 9, 9], [0, 0, 0]], "background": "other"}
    (tmp_path / "labels.yaml").write_text(yaml.safe_dump(description | {"ids": {7: "road", 0: "other", 9: "ignore"}}))
    data = open_data(tmp_path)
    assert data.labels.names == ("road", "other")
    assert np.unique(data.all_samples[0].label.read()).tolist() == [0]
    (tmp_path / "labels.yaml").write_text(yaml.safe_dump(description | {"ids": {7: "raod"}}))
    with pytest.raises(DataError, match="'raod', which is no class; did you mean 'road'"):
        open_data(tmp_path)


def test_2018_ids_in_the_place_of_current_ones_are_refused(make_bdd100k: Make) -> None:
    root = make_bdd100k()
    for mask in (root / "labels/drivable/masks/train").iterdir():
        Image.fromarray(REMAP_2018[np.asarray(Image.open(mask))]).save(mask)
    with pytest.raises(DataError, match=r"direct 62%.*background is the largest class.*2018"):
        open_data(root)


def test_current_ids_in_the_place_of_2018_ones_are_refused(make_bdd100k: Make) -> None:
    root = make_bdd100k()
    target = root / "drivable_maps/labels/train"
    target.mkdir(parents=True)
    for mask in (root / "labels/drivable/masks/train").iterdir():
        shutil.copy(mask, target / f"{mask.stem}_drivable_id.png")
    with pytest.raises(DataError, match="background is the largest class"):
        open_data(root, "bdd100k-2018-ids")


def test_masks_of_0_and_255_are_refused(make_bdd100k: Make) -> None:
    root = make_bdd100k()
    for mask in (root / "labels/drivable/masks/train").iterdir():
        Image.fromarray(np.full((36, 64), 255, dtype=np.uint8)).save(mask)
    with pytest.raises(DataError, match="no pixel has a class"):
        open_data(root)


def test_missing_empty_and_unknown_folders(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such data folder"):
        open_data(tmp_path / "nowhere")
    with pytest.raises(DataError, match="empty"):
        open_data(tmp_path)
    (tmp_path / "stuff.txt").touch()
    with pytest.raises(DataError, match=r"not laid out as any known layout \(found: stuff.txt\)"):
        open_data(tmp_path)
    with pytest.raises(ConfigError, match="did you mean 'bdd100k-masks'"):
        open_data(tmp_path, "bdd100k-mask")


def test_a_folder_of_the_archives_own_is_entered(make_bdd100k: Make) -> None:
    root = make_bdd100k()
    assert open_data(root.parent).root == root


def test_a_mask_without_its_picture(make_bdd100k: Make) -> None:
    root = make_bdd100k()
    (root / "images/100k/train/b.jpg").unlink()
    data = open_data(root)
    with pytest.raises(DataError, match=r"b.png: mask without its picture \(1 such"):
        select_split(data, "train")


def test_a_picture_without_its_mask_is_not_used(make_bdd100k: Make) -> None:
    root = make_bdd100k()
    (root / "labels/drivable/masks/train/b.png").unlink()
    data = open_data(root)
    assert [sample.id for sample in select_split(data, "train")] == ["a", "c"]
    assert [path.stem for path in data.unlabelled] == ["b"]


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.full((36, 64), 3, dtype=np.uint8), r"unknown ids \[3\]; .* has \[0, 1, 2, 255\]"),
        (np.full((36, 64, 3), 2, dtype=np.uint8), "mask of mode RGB"),
        (np.full((36, 64), 2, dtype=np.uint16), "mask of mode I;16"),
    ],
)
def test_masks_that_are_none(tmp_path: Path, pixels: np.ndarray, message: str) -> None:
    Image.fromarray(pixels).save(tmp_path / "m.png")
    with pytest.raises(DataError, match=message):
        CURRENT_IDS.decode(tmp_path / "m.png")


def test_one_broken_mask_is_left_to_its_reader(make_bdd100k: Make) -> None:
    root = make_bdd100k()
    masks = sorted((root / "labels/drivable/masks/train").iterdir())
    masks[0].write_bytes(b"")
    assert len(open_data(root).all_samples) == 3
    for mask in masks[1:]:
        mask.write_bytes(b"")
    with pytest.raises(DataError, match=r"a\.png: not a picture"):
        open_data(root)


def test_an_unknown_colour_is_named(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4, 3), 77, dtype=np.uint8)).save(tmp_path / "m.png")
    with pytest.raises(DataError, match=r"unknown colours \[\[77, 77, 77\]\]"):
        COLORS_2018.decode(tmp_path / "m.png")


def test_a_mask_of_another_size(make_bdd100k: Make) -> None:
    root = make_bdd100k()
    Image.fromarray(np.full((18, 64), 2, dtype=np.uint8)).save(root / "labels/drivable/masks/train/b.png")
    with pytest.raises(DataError, match="b: the mask is 18x64 and the picture 36x64"):
        read_pair(open_data(root).all_samples[1])


def test_a_truncated_jpeg_is_named(make_bdd100k: Make) -> None:
    path = make_bdd100k() / "images/100k/train/b.jpg"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"b.jpg: broken picture.*--skip-broken"):
        read_pair(open_data(path.parents[3]).all_samples[1])


@pytest.mark.real
def test_all_conventions_of_the_real_pictures_agree(real_data: Path) -> None:
    root = real_data / "bdd100k-native"
    readings = [[s.label.read() for s in open_data(root, name).all_samples] for name in MASKS]
    assert all(len(label_maps) == 24 for label_maps in readings)
    for label_maps in readings[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(readings[0], label_maps, strict=True))


@pytest.mark.real
def test_real_2018_ids_are_refused_as_current_ones(real_data: Path, tmp_path: Path) -> None:
    source = real_data / "bdd100k-native"
    shutil.copytree(source / "images", tmp_path / "images")
    target = tmp_path / "labels/drivable/masks/val"
    target.mkdir(parents=True)
    for mask in (source / "drivable_maps/labels/val").iterdir():
        shutil.copy(mask, target / mask.name.replace("_drivable_id", ""))
    with pytest.raises(DataError, match="background is the largest class"):
        open_data(tmp_path)


def test_masks_whose_picture_folder_is_missing(make_bdd100k: Make) -> None:
    root = make_bdd100k()
    shutil.copytree(root / "labels/drivable/masks/train", root / "labels/drivable/masks/val")
    data = open_data(root)
    assert len(data.orphans) == 3
    # Who has one folder's pictures may use that one.
    assert len(select_split(data, "train")) == 3
    with pytest.raises(DataError, match="mask without its picture"):
        select_split(data, "val")
    with pytest.raises(DataError, match="mask without its picture"):
        select_split(data, "all")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ids": [0, 1]}, "ids must lead from mask values"),
        ({"ids": {300: "road"}}, "ids must lead from mask values"),
        ({"ids": {1: "raod"}}, "'raod', which is no class; did you mean 'road'"),
        ({"colors": [[0, 0, 0]]}, r"labels.yaml: labels: got 1 colours for 2 names"),
        ({"colours": []}, "unknown key 'colours'"),
    ],
)
def test_a_labels_yaml_that_is_none(tmp_path: Path, change: dict[str, object], message: str) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    described = {"names": ["road", "rest"], "colors": [[255, 0, 0], [0, 0, 0]], "background": "rest", **change}
    (tmp_path / "labels.yaml").write_text(yaml.safe_dump(described))
    with pytest.raises(DataError, match=message) as fault:
        open_data(tmp_path)
    assert "labels.yaml" in str(fault.value)


def test_classes_of_a_layout_are_renamed(make_bdd100k: Make) -> None:
    root = make_bdd100k()
    before = open_data(root).all_samples[0].label.read()
    described = {"names": ["road", "rest"], "colors": [[255, 0, 0], [0, 0, 0]], "background": "rest"}

    def write(classes: dict[str, str]) -> None:
        (root / "labels.yaml").write_text(yaml.safe_dump({**described, "classes": classes}))

    write({"direct": "road", "alternative": "ignore", "*": "rest"})
    data = open_data(root)
    assert data.labels.names == ("road", "rest")
    after = data.all_samples[0].label.read()
    assert [int((after == k).sum()) for k in (0, 1, 255)] == [int((before == k).sum()) for k in (0, 2, 1)]
    write({"direct": "road"})
    with pytest.raises(DataError, match="says nothing of alternative, background"):
        open_data(root)
    write({"street": "road", "*": "rest"})
    with pytest.raises(DataError, match="'street' is no class of layout bdd100k-masks"):
        open_data(root)


def test_names_that_begin_anew_in_each_folder(make_bdd100k: Make, tmp_path: Path) -> None:
    root = make_bdd100k()
    for place in ("images/100k", "labels/drivable/masks"):
        shutil.copytree(root / place / "train", root / place / "val")
        next((root / place / "val").glob("c.*")).unlink()
    data = open_data(root)
    assert [s.id for s in data.all_samples] == ["c", "train-a", "train-b", "val-a", "val-b"]
    assert len(select_split(data, "val")) == 2
    convert(data, tmp_path / "arrays", "npy")
    assert [s.id for s in select_split(open_data(tmp_path / "arrays"), "val")] == ["val-a", "val-b"]


@pytest.mark.parametrize("mode", ["RGBA", "I;16"])
def test_colour_masks_of_odd_modes(mode: str, tmp_path: Path) -> None:
    pixels = np.zeros((4, 6, 4), dtype=np.uint8) if mode == "RGBA" else np.zeros((4, 6), dtype=np.uint16)
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    with pytest.raises(DataError, match=f"mask of mode {mode}"):
        COLORS_2018.decode(tmp_path / "mask.png")
    if mode == "RGBA":
        pixels[..., 3] = 255  # Nothing shines through, so the colours say all.
        Image.fromarray(pixels).save(tmp_path / "mask.png")
        assert (COLORS_2018.decode(tmp_path / "mask.png") == 2).all()


def test_masks_of_any_colours(tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    Image.new("RGB", (4, 2)).save(tmp_path / "images/a.png")
    mask = np.zeros((2, 4, 3), dtype=np.uint8)
    mask[0] = (255, 0, 255)
    mask[1, :2] = (9, 9, 9)
    Image.fromarray(mask).save(tmp_path / "masks/a.png")
    described = {
        "names": ["road", "rest"],
        "colors": [[255, 0, 0], [0, 0, 0]],
        "mask_colors": [[[255, 0, 255], "road"], [[0, 0, 0], "rest"], [[9, 9, 9], "ignore"]],
    }
    (tmp_path / "labels.yaml").write_text(yaml.safe_dump(described))
    assert open_data(tmp_path).all_samples[0].label.read().tolist() == [[0] * 4, [255, 255, 1, 1]]
    (tmp_path / "labels.yaml").write_text(yaml.safe_dump({**described, "mask_colors": [[[1, 2], "road"]]}))
    with pytest.raises(DataError, match=r"mask_colors must be a list of \[\[R, G, B\], class\]"):
        open_data(tmp_path)


def test_grey_pictures_of_16_bits_are_scaled(tmp_path: Path) -> None:
    grey = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    assert np.array_equal(read_image(tmp_path / "grey.png")[..., 0], grey // 257)


ROAD = {"names": ["other", "road"], "colors": [[0, 0, 0], [219, 94, 86]], "background": "other"}


def make_folder(
    root: Path, ids: tuple[str, ...] = ("a", "b", "c"), split: str = "", values: tuple[int, int] = (0, 1)
) -> Path:
    """A data set in the layout ``folder``: the lower half is road."""
    images, masks = root / "images" / split, root / "masks" / split
    for folder in (images, masks):
        folder.mkdir(parents=True, exist_ok=True)
    for index, key in enumerate(ids):
        Image.new("RGB", (30, 20), (40 * index, 90, 90)).save(images / f"{key}.jpg")
        label_map = np.full((20, 30), values[0], dtype=np.uint8)
        label_map[10:] = values[1]
        Image.fromarray(label_map).save(masks / f"{key}.png")
    (root / "labels.yaml").write_text(yaml.safe_dump(ROAD))
    return root


def test_masks_of_0_and_255_need_a_word(tmp_path: Path) -> None:
    root = make_folder(tmp_path, values=(0, 255))
    with pytest.raises(
        DataError, match=r"all that it marks would be left out; .* ids: \{0: other, 255: road\}.*--ids 0-255"
    ):
        open_data(root)
    (root / "labels.yaml").write_text(yaml.safe_dump({**ROAD, "ids": {0: "other", 255: "road"}}))
    assert np.unique(open_data(root).all_samples[0].label.read()).tolist() == [0, 1]
    # Said in so many words it stands.
    (root / "labels.yaml").write_text(yaml.safe_dump({**ROAD, "ids": {0: "other", 255: "ignore"}}))
    assert np.unique(open_data(root).all_samples[0].label.read()).tolist() == [0, 255]
    (root / "labels.yaml").write_text(yaml.safe_dump(ROAD))
    data = open_data(root, ids="0-255")
    assert data.labels.names == ("drivable", "background")
    assert np.unique(data.all_samples[0].label.read()).tolist() == [0, 1]
    Image.fromarray(np.ones((20, 30), dtype=np.uint8)).save(root / "masks/b.png")
    assert len(open_data(root).all_samples) == 3  # 255 beside both classes is what it says.


def test_masks_of_1_and_255_need_a_word(tmp_path: Path) -> None:
    root = make_folder(tmp_path, values=(1, 255))
    with pytest.raises(DataError, match=r"the masks hold 1 and 255 alone.*left out; .* ids: \{1: road, 255: other\}$"):
        open_data(root)
    (root / "labels.yaml").write_text(yaml.safe_dump({**ROAD, "ids": {1: "road", 255: "other"}}))
    assert np.unique(open_data(root).all_samples[0].label.read()).tolist() == [0, 1]
    (root / "labels.yaml").write_text(yaml.safe_dump({**ROAD, "ids": {1: "road", 255: "ignore"}}))
    assert np.unique(open_data(root).all_samples[0].label.read()).tolist() == [1, 255]
    (root / "labels.yaml").write_text(yaml.safe_dump({**ROAD, "background": "road"}))
    with pytest.raises(DataError, match=r"ids: \{1: road, 255: other\}"):
        open_data(root)
    Image.fromarray(np.zeros((20, 30), dtype=np.uint8)).save(root / "masks/b.png")
    assert len(open_data(root).all_samples) == 3


def test_single_masks_of_0_and_255_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = make_folder(tmp_path, tuple("abcde"), values=(0, 1))
    open_data(root)
    assert not caplog.records
    for key in "bd":
        make_folder(root, (key,), values=(0, 255))
    assert len(open_data(root).all_samples) == 5
    assert "2 of 5 masks looked at hold 0 and 255 alone where others hold ids, 'b' first: read as other" in caplog.text
    caplog.clear()
    (root / "labels.yaml").write_text(yaml.safe_dump({**ROAD, "ids": {0: "other", 1: "road", 255: "ignore"}}))
    open_data(root)
    assert not caplog.records


def test_arrays_of_0_and_255_need_a_word(tmp_path: Path) -> None:
    np.save(tmp_path / "image_2_2.npy", np.zeros((3, 2, 2, 3), dtype=np.uint8))
    np.save(tmp_path / "label_2_2.npy", np.array([[[0, 255], [255, 255]]] * 3, dtype=np.uint8))
    (tmp_path / "labels.yaml").write_text(yaml.safe_dump(ROAD))
    with pytest.raises(DataError, match="ids: {0: other, 255: road}"):
        open_data(tmp_path)
    (tmp_path / "labels.yaml").write_text(yaml.safe_dump({**ROAD, "ids": {0: "other", 255: "road"}}))
    assert open_data(tmp_path).all_samples[0].label.read().tolist() == [[0, 1], [1, 1]]
    assert open_data(tmp_path, ids="0-255").all_samples[0].label.read().tolist() == [[1, 0], [0, 0]]


def test_ids_of_a_labels_yaml_are_obeyed_in_any_layout_of_masks(make_bdd100k: Make) -> None:
    root = make_bdd100k()
    (root / "labels.yaml").write_text(yaml.safe_dump({**ROAD, "ids": {0: "road", 1: "road", 2: "other"}}))
    data = open_data(root)
    assert (data.layout, data.labels.names) == ("bdd100k-masks", ("other", "road"))
    assert int((data.all_samples[0].label.read() == 1).sum()) == 18 * 32 + 18 * 16


@pytest.mark.parametrize("hidden", [".thumbnails", "@eaDir", ".@__thumb", "__MACOSX", "#recycle", "Thumbs"])
def test_folders_of_programs_are_no_splits(hidden: str, tmp_path: Path) -> None:
    root = make_folder(tmp_path)
    for place in ("images", "masks"):
        (root / place / hidden / "a.jpg").mkdir(parents=True)  # Synology makes a folder for each picture.
        Image.new("RGB", (3, 2)).save(root / place / hidden / "b.jpg")
    data = open_data(root)
    assert {split: len(samples) for split, samples in data.samples.items()} == {"": 3}
    assert data.unlabelled == ()
    make_folder(root, ("d",), "train")
    assert {split: len(samples) for split, samples in open_data(root).samples.items()} == {"": 3, "train": 1}


def test_folders_without_pictures_are_no_splits(tmp_path: Path) -> None:
    root = make_folder(tmp_path)
    (root / "images/notes").mkdir()
    (root / "images/notes/readme.txt").touch()
    (root / "masks/old").mkdir()
    assert list(open_data(root).samples) == [""]


def test_folders_of_programs_in_other_layouts(make_bdd100k: Make) -> None:
    root = make_bdd100k()
    for place in ("images/100k", "images/100k/train", "labels/drivable/masks"):
        shutil.copytree(root / "images/100k/train", root / place / "@eaDir", dirs_exist_ok=True)
        (root / place / ".@__thumb").mkdir()
    data = open_data(root)
    assert {split: len(samples) for split, samples in data.samples.items()} == {"train": 3}
    assert data.unlabelled == ()


def test_valid_in_layouts_that_know_their_splits(tmp_path: Path) -> None:
    for place in ("yolop/images/valid", "yolop/da_seg_annotations/valid", "segnet/valid", "segnet/validannot"):
        (tmp_path / place).mkdir(parents=True)
        pixels = np.zeros((4, 6), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / place / "a.png")
    for name, layout in (("yolop", "yolop"), ("segnet", "camvid-11")):
        data = open_data(tmp_path / name)
        assert data.layout == layout
        assert [sample.id for sample in select_split(data, "val")] == ["a"]


def test_two_pictures_or_masks_of_one_name_are_told(tmp_path: Path) -> None:
    root = make_folder(tmp_path)
    Image.new("RGB", (30, 20)).save(root / "images/b.png")
    with pytest.raises(DataError, match=r"images/b\.jpg and \S+images/b\.png: two files of one name, 'b'"):
        open_data(root)
    (root / "images/b.png").unlink()
    shutil.copy(root / "masks/b.png", root / "masks/b.PNG")
    with pytest.raises(DataError, match=r"masks/b\.PNG and \S+masks/b\.png: two files of one name"):
        open_data(root)


def test_suffixes_in_capitals(tmp_path: Path, make_bdd100k: Make) -> None:
    root = make_folder(tmp_path / "folder")
    (root / "masks/a.png").rename(root / "masks/a.PNG")
    (root / "images/b.jpg").rename(root / "images/b.JPG")
    bdd = make_bdd100k()
    write_2018(bdd)
    for place in (bdd / "labels/drivable/masks/train", bdd / "drivable_maps/labels/train"):
        for mask in list(place.iterdir()):
            mask.rename(mask.with_suffix(".PNG"))
    for data in (open_data(root), open_data(bdd), open_data(bdd, "bdd100k-2018-ids")):
        assert [sample.id for sample in data.all_samples] == ["a", "b", "c"]
        assert data.orphans == ()


@pytest.mark.parametrize(
    ("names", "background", "want"),
    [
        ("[0, 1]", "0", ("0", "1")),
        ("[yes, no]", "no", ("yes", "no")),
        ("[on, off]", "off", ("on", "off")),
        ("[null, ~]", "null", ("null", "~")),
        ("[1.0, 007]", "007", ("1.0", "007")),
        ("['0', \"no\"]", "no", ("0", "no")),
        ("[2018-01-01, 0x1f]", "0x1f", ("2018-01-01", "0x1f")),
    ],
)
def test_names_are_the_text_that_was_written(
    names: str, background: str, want: tuple[str, str], tmp_path: Path
) -> None:
    root = make_folder(tmp_path)
    head = f"\ufeffnames: {names}\ncolors: [[0, 0, 0], [0xff, 94, 86]]\nbackground: {background}\nignore_id: 255\n"
    (root / "labels.yaml").write_text(head, encoding="utf-8")
    data = open_data(root)
    assert (data.labels.names, data.labels.background) == (want, background)
    assert data.labels.colors == ((0, 0, 0), (255, 94, 86))
    (root / "labels.yaml").write_text(f"{head}ids: {{1: {want[0]}, 0: {want[1]}, 255: ignore}}\n")
    assert open_data(root).all_samples[0].label.read()[0, 0] == 1


@pytest.mark.parametrize("background", ["null", "~", "", "Null"])
def test_no_background(background: str, tmp_path: Path) -> None:
    root = make_folder(tmp_path)
    (root / "labels.yaml").write_text(f"names: [a, b]\ncolors: [[0, 0, 0], [1, 1, 1]]\nbackground: {background}\n")
    assert open_data(root).labels.background is None


@pytest.mark.parametrize(
    "text",
    [
        "names: abc\ncolors: [[0, 0, 0], [1, 1, 1], [2, 2, 2]]",
        "names: [a, b]\ncolors: [[.inf, 0, 0], [1, 1, 1]]",
        "names: [a, b]\ncolors: [[1e308, 0, 0], [1, 1, 1]]",
        "names: [a, b]\ncolors: [[-1, 0, 0], [1, 1, 1]]",
        "names: [a, b]\ncolors: [abc, def]",
        "names: [a, b]\ncolors: [[0, 0, 0], [1, 1, 1]]\nignore_id: .inf",
        "names: [a, b]\ncolors: [[0, 0, 0], [1, 1, 1]]\nignore_id: .nan",
        "names: [a, b]\ncolors: [[0, 0, 0], [1, 1, 1]]\nignore_id: -1",
        "names: [a, b]\ncolors: [[0, 0, 0], [1, 1, 1]]\nignore_id: [255]",
        "names: [a, [b]]\ncolors: [[0, 0, 0], [1, 1, 1]]",
        'names: [a, "b\\n\\e[31m"]\ncolors: [[0, 0, 0], [1, 1, 1]]',
        "names: [a, " + "b" * 100_000 + "]\ncolors: [[0, 0, 0], [1, 1, 1]]",
        "names: [" + ", ".join(f"c{k}" for k in range(3000)) + "]\ncolors: [[0, 0, 0]]",
        "names: [a, b]\ncolors: " + "[" * 300 + "]" * 300,
        "names: [a, b]\ncolors: [[0, 0, 0], [1, 1, 1]]\nids: {0: a, 00: b}",
        "names: [a, b]\ncolors: [[0, 0, 0], [1, 1, 1]]\nids: {.inf: a}",
        "names: [a, b]\ncolors: [[0, 0, 0], [1, 1, 1]]\nids: {? [1] : a}",
        "names: [a, b]\ncolors: [[0, 0, 0], [1, 1, 1]]\nmask_colors: [[[0, 0, .inf], a]]",
        "names: [a, b]\ncolors: [[0, 0, 0], [1, 1, 1]]\nclasses: {a: [b]}",
        "names: !!python/object/apply:os.system [true]",
        "&a [*a]",
    ],
)
def test_a_hostile_labels_yaml_is_one_line(text: str, tmp_path: Path) -> None:
    root = make_folder(tmp_path)
    (root / "labels.yaml").write_text(text)
    with pytest.raises(DataError, match=r"labels\.yaml: [^\n]{1,600}$"):
        open_data(root)


def test_arrays_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels = tmp_path / "image_2_2.npy", tmp_path / "label_2_2.npy"
    np.save(labels, np.full((3, 2, 2), 2, dtype=np.uint8))
    good = np.zeros((3, 2, 2, 3), dtype=np.uint8)

    def refused(match: str) -> None:
        open_array.cache_clear()
        with pytest.raises(DataError, match=rf"image_2_2\.npy: {match}"):
            open_data(tmp_path)

    np.save(images, np.array([[[[{}]]]], dtype=object), allow_pickle=True)
    refused("not a readable .npy array")
    with images.open("wb") as stream:
        np.savez(stream, good)
    refused("not a readable .npy array")
    np.save(images, good)
    content = images.read_bytes()
    images.write_bytes(content[:-1])
    refused("not a readable .npy array")
    images.write_bytes(content.replace(b"(3, 2, 2, 3)", b"(3, 2, 2,-3)"))
    refused("not a readable .npy array")
    images.write_bytes(content.replace(b"(3, 2, 2, 3), }     ", b"(3, 2, 2, 3" + b"0" * 5 + b"), }"))
    refused("not a readable .npy array")
    images.unlink()
    os.mkfifo(images)
    refused("not a readable .npy array: not a regular file")
    images.unlink()
    np.save(images, good)
    open_array.cache_clear()
    sample = open_data(tmp_path).all_samples[0]
    os.truncate(images, 130)  # While it is open; reading on would end the process.
    with pytest.raises(DataError, match="130 bytes left of 164"):
        sample.image.read()


def test_pictures_that_are_no_regular_files(tmp_path: Path) -> None:
    root = make_folder(tmp_path)
    for name in ("images/p.jpg", "masks/p.png"):
        os.mkfifo(root / name)
    (root / "images/z.jpg").symlink_to("/dev/zero")
    (root / "masks/z.png").symlink_to(root / "masks/z.png")
    data = open_data(root)
    assert [sample.id for sample in data.all_samples] == ["a", "b", "c", "p", "z"]
    for sample in data.all_samples[3:]:
        for read in (sample.image.read, sample.label.read):
            with pytest.raises(DataError, match=r"[pz]\.\w+: broken picture"):
                read()
    (root / "labels.yaml").unlink()
    os.mkfifo(root / "labels.yaml")
    with pytest.raises(DataError, match=r"labels\.yaml: not readable as YAML: not a regular file"):
        open_data(root)


@pytest.mark.parametrize(
    ("table", "want"),
    [
        ("\ufeffid,weather\r\na,clear\r\n", {"a": {"weather": "clear"}}),
        ("weather,id\nclear\nrainy,b\n", {"b": {"weather": "rainy"}}),
        ("id,weather\na,clear,more\n", {"a": {"weather": "clear"}}),
    ],
)
def test_tables_of_attributes(table: str, want: dict[str, dict[str, str]], tmp_path: Path) -> None:
    root = make_folder(tmp_path)
    (root / "attributes.csv").write_text(table, encoding="utf-8", newline="")
    assert open_data(root).attributes == want


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (b"id,weather\na,clear\na,rainy\n", "line 3: id 'a' stands there twice"),
        (b'id,weather\na,"clear\nb,rainy\n', "not a readable CSV"),
        (b"id,weather\na," + b"x" * 200_000, "not a readable CSV: field larger"),
        (b"id,weather\na," + b"x" * 20_000, "attribute 'weather': 20000 characters, more than 10000"),
        (b"id;weather\na;clear\n", "no column 'id'"),
        (b"id,weather\na,stra\xdfe\n", "attribute 'weather': expected text in UTF-8"),
        ("id,weather\na,clear\n".encode("utf-16"), "not a readable CSV"),
    ],
)
def test_tables_that_are_none(table: bytes, message: str, tmp_path: Path) -> None:
    root = make_folder(tmp_path)
    (root / "attributes.csv").write_bytes(table)
    with pytest.raises(DataError, match=rf"attributes\.csv.*{message}"):
        open_data(root)


@pytest.mark.parametrize("layout", ["folder", "npy"])
def test_attributes_of_other_images_are_told(layout: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = make_folder(tmp_path / "folder")
    if layout == "npy":
        convert(open_data(root), tmp_path / "npy", "npy")
        root = tmp_path / "npy"
    table = root / "attributes.csv"
    table.write_text("id,weather\nx.jpg,rainy\ny,clear\n")
    assert open_data(root).layout == layout
    (told,) = caplog.messages
    assert "2 of 2 ids of attributes.csv belong to no image, 'x.jpg' first; images are named like 'a'" in told
    caplog.clear()
    # Names of files are as good; a table of many more images than are here is usual.
    table.write_text("id,weather\na.jpg,rainy\nimages/b.PNG,clear\n" + "".join(f"{k},clear\n" for k in range(20)))
    attributes = open_data(root).attributes
    assert (attributes["a"], attributes["b"]) == ({"weather": "rainy"}, {"weather": "clear"})
    assert attributes_for(table, {"a", "b"})["a"] == {"weather": "rainy"}
    table.write_text("id,weather\na,rainy\n")
    assert open_data(root).attributes == {"a": {"weather": "rainy"}}
    assert caplog.messages == []


@pytest.mark.parametrize("layout", ["folder", "bdd100k-masks", "bdd100k-polygons", "yolop"])
def test_a_split_has_other_names_on_either_side(layout: str, tmp_path: Path, make_bdd100k: Make) -> None:
    convert(open_data(make_bdd100k(split="val")), tmp_path / "out", layout)
    found = sorted(path for path in (tmp_path / "out").rglob("*val*") if "images" not in path.parts)
    (place,) = found
    place.rename(place.with_name(place.name.replace("val", "valid")))
    data = open_data(tmp_path / "out", layout)
    assert {split: len(samples) for split, samples in data.samples.items()} == {"val": 3}
    assert (data.orphans, data.unlabelled) == ((), ())


@pytest.mark.parametrize("layout", ["folder", "bdd100k-masks", "yolop"])
def test_masks_that_are_no_png_are_told(
    layout: str, tmp_path: Path, make_bdd100k: Make, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "out"
    convert(open_data(make_bdd100k(split="val")), root, layout)
    masks = sorted(path for path in root.rglob("*.png"))
    for mask in masks[:2]:
        mask.rename(mask.with_suffix(".tif"))
    assert len(open_data(root, layout).all_samples) == 1
    assert "masks must be .png, and there are 2 of .tif; save them as PNG" in caplog.text
    masks[2].rename(masks[2].with_suffix(".JPG"))
    with pytest.raises(DataError, match=r"masks must be \.png, and there are 1 of \.jpg, 2 of \.tif"):
        open_data(root, layout)
