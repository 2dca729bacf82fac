"""What is written is read back the same, by every writer."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from drivable.curation.conversion import WRITERS, convert
from drivable.curation.destination import place_for
from drivable.curation.pack import pack
from drivable.data import open_data, open_labels, select_split
from drivable.errors import ConfigError, DataError, OutputError

Make = Callable[..., Path]
LAYOUTS = {
    "bdd100k-masks": "bdd100k-masks",
    "bdd100k-polygons": "bdd100k-polygons",
    "coco-rle": "bdd100k-rles",
    "npy": "npy",
    "folder": "folder",
}


@pytest.fixture
def source(make_bdd100k: Make) -> Path:
    """Four pictures with an ignored region, attributes and a split."""
    root = make_bdd100k(ids=("a", "b", "c", "d"), split="val")
    for mask in (root / "labels/drivable/masks/val").iterdir():
        label_map = np.array(Image.open(mask))
        label_map[:4, 5:9] = 255
        label_map[20, 3] = 1
        Image.fromarray(label_map).save(mask)
    (root / "attributes.csv").write_text("id,weather,timeofday\na,rainy,night\nb,clear,\n")
    (root / "splits/mine").mkdir(parents=True)
    (root / "splits/mine/test.txt").write_text("b\nc\n")
    return root


@pytest.mark.parametrize("target", LAYOUTS)
def test_round_trip(target: str, source: Path, tmp_path: Path) -> None:
    before = open_data(source)
    assert convert(before, tmp_path / "out", target) == []
    after = open_data(tmp_path / "out")
    assert after.layout == LAYOUTS[target]
    assert [s.id for s in after.all_samples] == ["a", "b", "c", "d"]
    for old, new in zip(before.all_samples, after.all_samples, strict=True):
        assert np.array_equal(old.label.read(), new.label.read())
        assert np.array_equal(old.image.read(), new.image.read())
    assert after.attributes == {"a": {"weather": "rainy", "timeofday": "night"}, "b": {"weather": "clear"}}
    assert [s.id for s in select_split(after, "mine/test")] == ["b", "c"]
    assert [s.id for s in select_split(after, "val")] == ["a", "b", "c", "d"]


def test_yolop_merges_the_classes(source: Path, tmp_path: Path) -> None:
    convert(open_data(source), tmp_path / "out", "yolop")
    mask = np.asarray(Image.open(tmp_path / "out/da_seg_annotations/val/a.png"))
    label_map = open_data(source).all_samples[0].label.read()
    assert np.array_equal(mask, np.where(label_map < 2, 255, 0))
    read = open_data(tmp_path / "out")
    assert read.layout == "yolop"
    assert np.array_equal(read.all_samples[0].label.read(), np.where(label_map < 2, 0, 1))
    assert (tmp_path / "out/images/val/a.jpg").read_bytes() == (source / "images/100k/val/a.jpg").read_bytes()


def test_coco_itself_reads_the_run_lengths(source: Path, tmp_path: Path) -> None:
    convert(open_data(source), tmp_path / "out", "coco-rle")
    coco = COCO(tmp_path / "out/labels/drivable/rles/drivable_val.json")
    label_map = open_data(source).all_samples[0].label.read()
    for annotation in coco.loadAnns(coco.getAnnIds(imgIds=[1])):
        class_id = {"direct": 0, "alternative": 1, "unknown": 255}[coco.loadCats(annotation["category_id"])[0]["name"]]
        assert np.array_equal(coco.annToMask(annotation), label_map == class_id)


def test_labels_against_themselves_score_one(source: Path, tmp_path: Path) -> None:
    convert(open_data(source), tmp_path / "out", "coco-rle")
    truth = COCO(tmp_path / "out/labels/drivable/rles/drivable_val.json")
    answers = truth.loadRes([annotation | {"score": 0.9} for annotation in truth.dataset["annotations"]])
    scores = COCOeval(truth, answers, "segm")
    scores.evaluate()
    scores.accumulate()
    scores.summarize()
    assert scores.stats[0] == pytest.approx(1)


def test_outlines_run_between_pixels(source: Path, tmp_path: Path) -> None:
    convert(open_data(source), tmp_path / "out", "bdd100k-polygons")
    frames = json.loads((tmp_path / "out/labels/drivable/polygons/drivable_val.json").read_text())
    rings = [ring["vertices"] for frame in frames for label in frame["labels"] for ring in label["poly2d"]]
    # Whole numbers from the first pixel's corner: no rasteriser has anything to round.
    assert all(type(value) is int for ring in rings for corner in ring for value in corner)
    assert all(a[0] == b[0] or a[1] == b[1] for ring in rings for a, b in pairwise([*ring, ring[0]]))


def test_label_files_name_the_pictures_as_they_are(source: Path, tmp_path: Path) -> None:
    (source / "images/100k/val/a.jpg").rename(source / "images/100k/val/a.JPG")
    for target, place in (("bdd100k-polygons", "polygons"), ("coco-rle", "rles")):
        convert(open_data(source), tmp_path / target, target)
        values = json.loads((tmp_path / target / f"labels/drivable/{place}/drivable_val.json").read_text())
        names = {e.get("file_name") or e["name"] for e in (values["images"] if target == "coco-rle" else values)}
        assert names == {file.name for file in (tmp_path / target / "images/100k/val").iterdir()}
        assert "a.JPG" in names


def test_arrays_hold_one_size(source: Path, tmp_path: Path) -> None:
    Image.new("RGB", (32, 18)).save(source / "images/100k/val/c.jpg")
    Image.fromarray(np.full((18, 32), 2, dtype=np.uint8)).save(source / "labels/drivable/masks/val/c.png")
    with pytest.raises(ConfigError, match="c is 18x32 where others are 36x64; give --size"):
        convert(open_data(source), tmp_path / "out", "npy")
    assert not (tmp_path / "out").exists()
    convert(open_data(source), tmp_path / "out", "npy", size=(18, 32))
    assert open_data(tmp_path / "out").all_samples[0].label.read().shape == (18, 32)


def test_broken_pictures_stop_or_are_left_out(source: Path, tmp_path: Path) -> None:
    (source / "labels/drivable/masks/val/b.png").write_bytes(b"")
    for target in WRITERS:
        with pytest.raises(DataError, match=r"b\.png"):
            convert(open_data(source), tmp_path / "out", target)
        assert not list(tmp_path.glob("*out*"))
        (fault,) = convert(open_data(source), tmp_path / target, target, skip_broken=True)
        assert "b.png" in str(fault)
        if target in LAYOUTS:
            after = open_data(tmp_path / target)
            assert [s.id for s in after.all_samples] == ["a", "c", "d"]
            assert [s.id for s in select_split(after, "mine/test")] == ["c"]


@pytest.mark.parametrize("target", WRITERS)
def test_broken_images_are_left_out_by_every_writer(target: str, source: Path, tmp_path: Path) -> None:
    (first,) = (source / "images").rglob("a.jpg")
    first.write_bytes(b"")
    (third,) = (source / "images").rglob("c.jpg")
    third.write_bytes(third.read_bytes()[: third.stat().st_size // 2])
    faults = convert(open_data(source), tmp_path / "out", target, skip_broken=True)
    assert [Path(str(fault).split(":")[0]).name for fault in faults] == ["a.jpg", "c.jpg"]
    assert [sample.id for sample in open_data(tmp_path / "out").all_samples] == ["b", "d"]
    for image in (source / "images").rglob("*.jpg"):
        image.write_bytes(b"")
    with pytest.raises(DataError, match="not one of 4 pairs can be read; the first: .*a.jpg"):
        convert(open_data(source), tmp_path / "none", target, skip_broken=True)
    assert not (tmp_path / "none").exists()


def test_arrays_take_pairs_of_one_size(source: Path, tmp_path: Path) -> None:
    (first,) = (source / "images").rglob("a.jpg")
    Image.new("RGB", (5, 4)).save(first)
    (fault,) = convert(open_data(source), tmp_path / "out", "npy", skip_broken=True)
    assert "a: the mask is 36x64 and the picture 4x5" in str(fault)


@pytest.mark.parametrize("target", [*WRITERS, "pack"])
def test_data_without_a_division_becomes_train_with_a_word(
    target: str, source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.rmtree(source / "splits")
    convert(open_data(source), tmp_path / "flat", "folder")
    for place in ("images", "masks"):
        for file in (tmp_path / "flat" / place / "val").iterdir():
            file.rename(tmp_path / "flat" / place / file.name)
    data = open_data(tmp_path / "flat")

    def write(name: str) -> None:
        if target == "pack":
            pack(data, tmp_path / name, None)
        else:
            convert(data, tmp_path / name, target)

    write("out")
    if target in ("folder", "npy"):
        assert caplog.messages == []
        return
    (told,) = caplog.messages
    assert "all 4 images become 'train'; divide them first with: drivable data split" in told
    caplog.clear()
    (tmp_path / "flat/splits/mine").mkdir(parents=True)
    (tmp_path / "flat/splits/mine/train.txt").write_text("a\n")
    write("divided")
    assert caplog.messages == []


def test_an_image_that_cannot_be_copied_is_a_fault_of_the_data(source: Path, tmp_path: Path) -> None:
    (image,) = (source / "images").rglob("b.jpg")
    image.unlink()
    image.symlink_to(tmp_path / "nowhere")
    data = open_data(source)
    with pytest.raises(DataError, match=r"b\.jpg: no such picture"):
        convert(data, tmp_path / "out", "bdd100k-masks")
    (fault,) = convert(data, tmp_path / "out", "bdd100k-masks", skip_broken=True)
    assert "b.jpg" in str(fault)


@pytest.mark.parametrize("size", [(20, 30), (10_000, 10_000)])
def test_label_files_of_another_size(size: tuple[int, int], source: Path, tmp_path: Path) -> None:
    convert(open_data(source), tmp_path / "polygons", "bdd100k-polygons")
    file = tmp_path / "polygons/labels/drivable/polygons/drivable_val.json"
    frames = json.loads(file.read_text())
    frames[0]["size"] = {"height": size[0], "width": size[1]}
    file.write_text(json.dumps(frames))
    data = open_data(tmp_path / "polygons")
    with pytest.raises(DataError, match=rf"drivable_val.json, 'a': a: the mask is {size[0]}x{size[1]} and the picture"):
        convert(data, tmp_path / "out", "folder")
    assert len(convert(data, tmp_path / "out", "folder", skip_broken=True)) == 1
    assert sorted(path.stem for path in (tmp_path / "out/masks/val").iterdir()) == ["b", "c", "d"]


def test_masks_of_another_size_and_without_images(
    source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Image.new("L", (30, 20), 2).save(source / "labels/drivable/masks/val/a.png")
    (source / "images/100k/val/b.jpg").unlink()
    with pytest.raises(DataError, match="a: the mask is 20x30 and the picture 36x64"):
        convert(open_data(source), tmp_path / "out", "folder")
    for write in (partial(convert, target="folder"), partial(pack, size=None)):
        caplog.clear()
        write(open_data(source), tmp_path / f"{write.func.__name__}", skip_broken=True)
        assert f"1 labels without their image are left out, the first: {source}" in caplog.text


def test_labels_alone_are_converted_without_pictures(source: Path, tmp_path: Path) -> None:
    convert(open_data(source), tmp_path / "polygons", "bdd100k-polygons")
    labels = open_labels(tmp_path / "polygons/labels/drivable/polygons/drivable_val.json")
    convert(labels, tmp_path / "masks", "bdd100k-masks")
    written = sorted((tmp_path / "masks").rglob("*.png"))
    assert [file.relative_to(tmp_path / "masks").as_posix() for file in written] == [
        f"labels/drivable/masks/val/{key}.png" for key in "abcd"
    ]
    with pytest.raises(DataError, match="labels without pictures"):
        convert(labels, tmp_path / "arrays", "npy")


def test_attributes_are_read_back_as_they_are(source: Path, tmp_path: Path) -> None:
    strange = {"weather": "wet\rroad", "a\rb": 'say "no",\nor not', "long": "x" * 10_000}
    data = replace(open_data(source), attributes={"a": strange, "b": {"weather": "rainy"}})
    convert(data, tmp_path / "out", "folder")
    assert open_data(tmp_path / "out").attributes == data.attributes


def test_ids_of_attributes_need_not_be_utf_8(source: Path, tmp_path: Path) -> None:
    data = open_data(source)
    (sample, *others) = data.samples["val"]
    odd = replace(sample, id="a\udcff")
    data = replace(data, samples={"val": (*others, odd)}, attributes={"a\udcff": {"weather": "rainy"}})
    convert(data, tmp_path / "out", "folder")
    assert open_data(tmp_path / "out").attributes == {"a\udcff": {"weather": "rainy"}}


@pytest.mark.parametrize("write", [lambda data, out: convert(data, out, "folder"), lambda *to: pack(*to, None)])
def test_attributes_that_cannot_be_written(write: Callable[..., object], source: Path, tmp_path: Path) -> None:
    data = replace(open_data(source), attributes={"a": {"weather": "\ud800"}})
    with pytest.raises(DataError, match="attribute 'weather': expected text in UTF-8"):
        write(data, tmp_path / "out")
    assert not list(tmp_path.glob("*out*"))


def test_wrong_wishes(source: Path, tmp_path: Path) -> None:
    data = open_data(source)
    with pytest.raises(ConfigError, match="did you mean 'bdd100k-masks'"):
        convert(data, tmp_path / "out", "bdd100k-mask")
    with pytest.raises(ConfigError, match="--size is for npy"):
        convert(data, tmp_path / "out", "folder", size=(18, 32))
    with pytest.raises(OutputError, match="not an empty folder"):
        convert(data, source, "folder")


@pytest.mark.parametrize("target", [*WRITERS, "pack", "shards"])
@pytest.mark.parametrize("name", ["../../../escaped", "/tmp/escaped", "a\\b", "..", "a\nb"])
def test_names_that_lead_elsewhere_are_never_written(target: str, name: str, source: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    data = open_data(source)
    (sample, *others) = data.all_samples
    renamed = replace(data, samples={"val": (replace(sample, id=name), *others)})
    moved = replace(data, samples={name: data.samples["val"]})
    for hostile in [moved] if target == "npy" else [renamed, moved]:
        # JSON holds the names of pictures; where these go, they must be names of files.
        with pytest.raises(DataError, match="expected a file name without slashes"):
            if target in ("pack", "shards"):
                pack(hostile, tmp_path / "out", None, pairs_per_shard=3 if target == "shards" else None)
            else:
                convert(hostile, tmp_path / "out", target)
        assert sorted(tmp_path.rglob("*")) == before


def test_a_link_in_the_destination_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/masks").symlink_to(tmp_path)
    with pytest.raises(DataError, match="lies outside of"):
        place_for(tmp_path / "out", "masks", "a.png")


def test_arrays_take_their_room_on_the_disk_at_once(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(os, "posix_fallocate", lambda _, offset, length: asked.append(offset + length))
    convert(open_data(source), tmp_path / "out", "npy")
    # Two headers of 128 bytes, four pictures and their label maps.
    assert asked == [128 + 4 * 36 * 64 * 3, 128 + 4 * 36 * 64]

    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OutputError, match="cannot be written: No space left on device"):
        convert(open_data(source), tmp_path / "other", "npy")
    assert not list(tmp_path.glob("*other*"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_source(source: Path, tmp_path: Path) -> None:
    for place in (*source.rglob("*"), source):
        place.chmod(place.stat().st_mode & ~0o222)
    convert(open_data(source), tmp_path / "out", "folder")
    assert len(open_data(tmp_path / "out").all_samples) == 4


def test_odd_places(make_bdd100k: Make, tmp_path: Path) -> None:
    place = tmp_path / "a place with spaces and ümläute" / ("x" * 120) / ("y" * 120)
    place.parent.mkdir(parents=True)
    make_bdd100k().rename(place)
    data = open_data(place)
    assert len(str(data.root)) > 300
    convert(data, place.with_name("out"), "bdd100k-polygons")
    assert len(open_data(place.with_name("out")).all_samples) == 3


@pytest.mark.real
@pytest.mark.parametrize("target", LAYOUTS)
def test_real_round_trip(target: str, real_data: Path, tmp_path: Path) -> None:
    before = open_data(real_data / "bdd100k-native")
    convert(before, tmp_path / "out", target)
    for old, new in zip(before.all_samples, open_data(tmp_path / "out").all_samples, strict=True):
        assert np.array_equal(old.label.read(), new.label.read())
