"""Every fault of data, planted one by one in a clean copy, is found and named; a clean copy raises no alarm."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from drivable.curation.inspection import Inspection, example_sheet, inspect, write_page
from drivable.curation.inspection.examine import Record
from drivable.curation.inspection.findings import REMEDIES
from drivable.curation.inspection.likeness import alike
from drivable.data import open_data
from drivable.errors import DataError
from drivable.files import write_json
from drivable.synthetic import write_rendered_dataset

SIZE = (180, 320)


@pytest.fixture(scope="session")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rendered roads; not to be changed."""
    root = tmp_path_factory.mktemp("clean") / "data"
    write_rendered_dataset(root, {"train": 12, "val": 4}, seed=11, size=SIZE)
    return root


@pytest.fixture
def copy(clean: Path, tmp_path: Path) -> Path:
    """A copy to plant faults in."""
    return Path(shutil.copytree(clean, tmp_path / "data"))


def images(root: Path, split: str = "train") -> list[Path]:
    return sorted((root / "images/100k" / split).iterdir())


def masks(root: Path, split: str = "train") -> list[Path]:
    return sorted((root / "labels/drivable/masks" / split).iterdir())


def edit(mask: Path, change: Callable[[np.ndarray], np.ndarray | None]) -> Path:
    """Change a mask's pixels in place or for others."""
    pixels = np.array(Image.open(mask))
    changed = change(pixels)
    Image.fromarray(pixels if changed is None else changed).save(mask)
    return mask


def truncate(file: Path) -> Path:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    return file


def fill(rows: slice, columns: slice, value: int) -> Callable[[np.ndarray], None]:
    def change(pixels: np.ndarray) -> None:
        pixels[rows, columns] = value

    return change


def road_block(root: Path) -> tuple[Path, int, int]:
    """A mask with a block of 24x24 of one road class, and the block's place."""
    for mask in masks(root):
        pixels = np.array(Image.open(mask))
        for row in range(SIZE[0] - 40, SIZE[0] // 2, -8):
            for column in range(0, SIZE[1] - 24, 8):
                block = pixels[row : row + 24, column : column + 24]
                if (block == 0).all():
                    return mask, row, column
    raise AssertionError("no block of road")


def look(root: Path, **options: str) -> Inspection:
    return inspect(open_data(root, confirmed=False, **options), num_workers=1)  # type: ignore[arg-type]


def test_a_clean_set_raises_no_alarm(clean: Path) -> None:
    found = look(clean)
    assert found.faults == ()
    assert found.num_pairs == {"test": 0, "train": 12, "val": 4} or found.num_pairs == {"train": 12, "val": 4}
    assert sum(found.class_shares.values()) == pytest.approx(1)
    assert found.sizes == {SIZE: 16}
    assert sum(values["num_pictures"] for values in found.slices["weather"].values()) == 16
    assert len(found.brightness) == 16


def unreadable_picture(root: Path) -> Path:
    return truncate(images(root)[3])


def no_picture_at_all(root: Path) -> Path:
    images(root)[3].write_text("not a picture")
    return images(root)[3]


def unreadable_mask(root: Path) -> Path:
    return truncate(masks(root)[3])


def missing_picture(root: Path) -> Path:
    images(root)[3].unlink()
    return masks(root)[3]


def missing_label(root: Path) -> Path:
    masks(root)[3].unlink()
    return images(root)[3]


def size_mismatch(root: Path) -> Path:
    return edit(masks(root)[3], lambda pixels: pixels[:-2])


def unknown_ids(root: Path) -> Path:
    return edit(masks(root)[3], fill(slice(100, 110), slice(0, 9), 7))


def alpha(root: Path) -> Path:
    mask = masks(root)[3]
    picture = Image.open(mask).convert("LA")
    picture.save(mask)
    return mask


def sixteen_bits(root: Path) -> Path:
    return edit(masks(root)[3], lambda pixels: pixels.astype(np.uint16))


def one_rotated(root: Path) -> Path:
    return edit(masks(root)[3], lambda pixels: np.array([1, 2, 0], dtype=np.uint8)[pixels])


def all_rotated(root: Path) -> Path:
    for mask in [*masks(root), *masks(root, "val")]:
        edit(mask, lambda pixels: np.array([1, 2, 0], dtype=np.uint8)[pixels])
    return root


def one_of_0_and_255(root: Path) -> Path:
    return edit(masks(root)[3], lambda pixels: np.where(pixels < 2, 255, 0).astype(np.uint8))


def all_of_0_and_255(root: Path) -> Path:
    for mask in [*masks(root), *masks(root, "val")]:
        edit(mask, lambda pixels: np.where(pixels < 2, 255, 0).astype(np.uint8))
    return root


def all_ignored(root: Path) -> Path:
    return edit(masks(root)[3], lambda pixels: np.full_like(pixels, 255))


def no_road_anywhere(root: Path) -> Path:
    for mask in [*masks(root), *masks(root, "val")]:
        edit(mask, lambda pixels: np.full_like(pixels, 2))
    return root


def duplicate(root: Path) -> Path:
    shutil.copy(images(root)[0], images(root)[3])
    return images(root)[3]


def duplicate_across_splits(root: Path) -> Path:
    shutil.copy(images(root)[0], images(root, "val")[0])
    return images(root, "val")[0]


def near_duplicate(root: Path, split: str = "train") -> Path:
    target = images(root, split)[3]
    brighter = np.clip(np.asarray(Image.open(images(root)[0])).astype(float) * 1.05 + 4, 0, 255).astype(np.uint8)
    Image.fromarray(brighter).save(target, quality=60)
    return target


def near_duplicate_across_splits(root: Path) -> Path:
    return near_duplicate(root, "val")


def blank(root: Path) -> Path:
    Image.new("RGB", SIZE[::-1], (3, 3, 3)).save(images(root)[3])
    return images(root)[3]


def road_in_the_sky(root: Path) -> Path:
    return edit(masks(root)[3], fill(slice(5, 25), slice(100, 160), 0))


def upside_down(root: Path) -> Path:
    return edit(masks(root)[3], lambda pixels: np.ascontiguousarray(pixels[::-1]))


def sliver(root: Path) -> Path:
    mask, row, column = road_block(root)
    return edit(mask, fill(slice(row + 8, row + 9), slice(column, column + 20), 1))


def hole(root: Path) -> Path:
    mask, row, column = road_block(root)
    return edit(mask, fill(slice(row + 6, row + 16), slice(column + 6, column + 16), 2))


def id_twice(root: Path) -> Path:
    file = root / "splits/mine/train.txt"
    file.parent.mkdir(parents=True)
    file.write_text(f"{images(root)[0].stem}\n" * 2)
    return file


def unknown_id(root: Path) -> Path:
    file = root / "splits/mine/train.txt"
    file.parent.mkdir(parents=True)
    file.write_text(f"{images(root)[0].stem}\nnobody\n")
    return file


def id_in_two_splits(root: Path) -> Path:
    (root / "splits/mine").mkdir(parents=True)
    for split in ("train", "test"):
        (root / f"splits/mine/{split}.txt").write_text(f"{images(root)[0].stem}\n")
    return root


PLANTED = {
    unreadable_picture: "unreadable-picture",
    no_picture_at_all: "unreadable-picture",
    unreadable_mask: "unreadable-mask",
    missing_picture: "missing-picture",
    missing_label: "missing-label",
    size_mismatch: "size-mismatch",
    unknown_ids: "unknown-ids",
    alpha: "mask-format",
    sixteen_bits: "mask-format",
    one_rotated: "rotated-ids",
    all_rotated: "rotated-ids",
    one_of_0_and_255: "ids-0-255",
    all_of_0_and_255: "ids-0-255",
    all_ignored: "no-class",
    no_road_anywhere: "labels-all-alike",
    duplicate: "duplicate",
    duplicate_across_splits: "duplicate-across-splits",
    near_duplicate: "near-duplicate",
    near_duplicate_across_splits: "near-duplicate-across-splits",
    blank: "blank-picture",
    road_in_the_sky: "road-above-horizon",
    upside_down: "road-above-horizon",
    sliver: "sliver",
    hole: "hole",
    id_twice: "split-file",
    unknown_id: "split-file",
    id_in_two_splits: "id-in-two-splits",
}


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_fault_is_found_and_named(plant: Callable[[Path], Path], copy: Path) -> None:
    place = plant(copy)
    found = look(copy)
    kind = PLANTED[plant]
    assert [(fault.kind, fault.path) for fault in found.faults] == [(kind, str(place))], found.faults
    (fault,) = found.faults
    assert fault.message
    assert fault.path not in fault.message
    assert fault.remedy
    is_warning = kind in ("missing-label", "duplicate", "near-duplicate", "blank-picture", "road-above-horizon",
                          "sliver", "hole")  # fmt: skip
    assert bool(found.errors) == (not is_warning)


@pytest.mark.parametrize(("plant", "ids"), [(all_rotated, "2018"), (all_of_0_and_255, "0-255")])
def test_the_named_flag_mends_the_ids(plant: Callable[[Path], Path], ids: str, copy: Path, clean: Path) -> None:
    plant(copy)
    with pytest.raises(DataError, match=f"--ids {ids}|--ids 0-255"):
        open_data(copy)
    assert f"--ids {ids}" in look(copy).faults[0].remedy
    assert look(copy, ids=ids).faults == ()
    mended = open_data(copy, ids=ids)
    for want, got in zip(open_data(clean).all_samples, mended.all_samples, strict=True):
        expected = want.label.read()
        if ids == "0-255":
            expected = np.where(expected < 2, 0, 1)
        assert np.array_equal(got.label.read(), expected)


def test_interlaced_masks_are_read(copy: Path) -> None:
    mask = masks(copy)[3]
    before = np.asarray(Image.open(mask))
    Image.open(mask).save(mask, interlace=True)
    assert np.array_equal(open_data(copy).all_samples[3].label.read(), before)
    assert look(copy).faults == ()


def test_every_kind_has_a_remedy_and_a_test() -> None:
    notes = {"no-road", "dark", "speck", "seam", "drive-in-two-splits"}
    # Of label files that are drawn: test_other_roads.py.
    assert set(PLANTED.values()) | {"no-pairs", "absent-class"} | notes | {"undrawn-regions"} == set(REMEDIES)


def test_not_one_pair(copy: Path) -> None:
    shutil.rmtree(copy / "labels/drivable/masks")
    (copy / "labels/drivable/masks/train").mkdir(parents=True)
    found = look(copy)
    (fault,) = found.errors
    assert (fault.kind, fault.path) == ("no-pairs", str(copy))
    assert "16 pictures without a label" in fault.message


def own_folder(copy: Path, root: Path, ids: tuple[int, int, int], **described: object) -> Path:
    """The copy in the layout ``folder``, its two road classes as one."""
    (root / "masks").mkdir(parents=True)
    (root / "images").mkdir()
    for image in [*images(copy), *images(copy, "val")]:
        shutil.copy(image, root / "images")
    for mask in [*masks(copy), *masks(copy, "val")]:
        pixels = np.array(ids, dtype=np.uint8)[np.array(Image.open(mask))]
        Image.fromarray(pixels).save(root / "masks" / mask.name)
    labels = {"names": ["other", "road"], "colors": [[0, 0, 0], [219, 94, 86]], "background": "other", **described}
    (root / "labels.yaml").write_text(yaml.safe_dump(labels))
    return root


def test_masks_of_0_and_255_of_ones_own(copy: Path, tmp_path: Path) -> None:
    root = own_folder(copy, tmp_path / "own", (255, 255, 0))
    (fault,) = look(root).faults
    assert (fault.kind, fault.path, fault.severity) == ("ids-0-255", str(root), "error")
    assert "ids: {0: other, 255: road}" in fault.remedy
    with pytest.raises(DataError, match="ids: {0: other, 255: road}"):
        open_data(root)


def test_masks_of_1_and_255_of_ones_own(copy: Path, tmp_path: Path) -> None:
    root = own_folder(copy, tmp_path / "own", (1, 1, 255))
    (fault,) = look(root).faults
    assert (fault.kind, fault.path, fault.severity) == ("ids-0-255", str(root), "error")
    assert fault.message.startswith("the masks hold 1 and 255 alone")
    assert "ids: {1: road, 255: other}" in fault.remedy


def test_a_class_that_may_be_what_is_ignored(copy: Path, tmp_path: Path) -> None:
    described = {"names": ["other", "road", "lane"], "colors": [[0, 0, 0], [219, 94, 86], [9, 9, 9]]}
    root = own_folder(copy, tmp_path / "own", (255, 1, 0), **described)
    (fault,) = look(root).faults
    assert (fault.kind, fault.path, fault.severity) == ("absent-class", str(root), "error")
    assert fault.message.startswith("lane: in no mask, and ")
    # Said in so many words, it may be a rare class.
    told = {**yaml.safe_load((root / "labels.yaml").read_text()), "ids": {0: "other", 1: "road", 255: "ignore"}}
    (root / "labels.yaml").write_text(yaml.safe_dump(told))
    (fault,) = look(root).faults
    assert (fault.kind, fault.severity) == ("absent-class", "warning")


def test_masks_of_0_and_255_among_masks_of_ids(copy: Path, tmp_path: Path) -> None:
    root = own_folder(copy, tmp_path / "own", (0, 0, 1), names=["road", "other"], background=None)
    first, second, third = sorted((root / "masks").iterdir())[:3]
    edit(second, lambda pixels: np.where(pixels == 1, 255, 0).astype(np.uint8))
    edit(third, lambda pixels: np.where(pixels == 1, 255, 1).astype(np.uint8))
    (fault,) = look(root).faults
    assert (fault.kind, fault.path, fault.severity) == ("ids-0-255", str(second), "error")
    assert "under ids in a labels.yaml" in fault.remedy
    # True regions of the ignore id beside both classes, and one image of one class.
    edit(second, fill(slice(0, 9), slice(0, 99), 1))
    edit(third, lambda pixels: np.where(pixels == 1, 0, 255).astype(np.uint8))
    edit(first, fill(slice(0, 9), slice(0, 99), 255))
    assert look(root).faults == ()


def test_names_of_any_bytes_and_any_signs(copy: Path, tmp_path: Path) -> None:
    names = {"names": ["other", r"$\frac{$ <b>"]}
    root = own_folder(copy, tmp_path / os.fsdecode(b"gr\xfcn"), (1, 1, 0), **names)
    for place in (root / "images", root / "masks"):
        file = sorted(place.iterdir())[0]
        file.rename(file.with_name(os.fsdecode(b"stra\xdfe") + file.suffix))
    for mask in sorted((root / "masks").iterdir()):
        edit(mask, lambda pixels: np.ones_like(pixels))  # Road in the sky, so that there is something to tell.
    (root / "attributes.csv").write_text("id,where\n" + images(copy)[1].stem + ",$a_{$\n")
    data = open_data(root, confirmed=False)
    found = inspect(data, cache=tmp_path / "cache.jsonl", num_workers=1)
    assert inspect(data, cache=tmp_path / "cache.jsonl", num_workers=1) == found
    assert any("stra\udcdfe" in fault.path for fault in found.faults)
    write_page(tmp_path / "page.html", data, found, example_sheet(data))
    assert b"stra\xdfe" in (tmp_path / "page.html").read_bytes()
    write_json(tmp_path / "found.json", found.to_dict())
    assert any("stra\udcdfe" in fault["path"] for fault in json.loads((tmp_path / "found.json").read_text())["faults"])


def test_a_damaged_cache_is_passed_over(copy: Path, tmp_path: Path) -> None:
    data = open_data(copy, confirmed=False)
    cache = tmp_path / "cache.jsonl"
    found = inspect(data, cache=cache, num_workers=1)
    lines = cache.read_text().splitlines()
    damaged = [
        line.replace('"thumbnail": "', '"thumbnail": "AAAA')
        if k % 2
        else line.replace('"brightness": ', '"brightness": [], "x": ')
        for k, line in enumerate(lines)
    ]
    cache.write_text("\n".join([*damaged, "[" * 10_000, "[]", "3"]))
    assert inspect(data, cache=cache, num_workers=1) == found


def test_notes(copy: Path) -> None:
    edit(masks(copy)[3], lambda pixels: np.full_like(pixels, 2))
    mask, row, column = road_block(copy)
    edit(mask, fill(slice(row + 5, row + 6), slice(column + 5, column + 7), 2))
    edit(mask, fill(slice(row + 15, row + 16), slice(column + 5, column + 7), 1))
    found = look(copy)
    assert found.faults == ()
    named = {(note.kind, note.path) for note in found.findings}
    assert {("no-road", str(masks(copy)[3])), ("seam", str(mask)), ("speck", str(mask))} <= named


def test_a_stopped_inspection_goes_on(copy: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache.jsonl"
    data = open_data(copy, confirmed=False)
    done: list[int] = []

    def stop() -> None:
        done.append(1)
        if len(done) == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        inspect(data, stop, cache, num_workers=1)
    kept = [json.loads(line)["record"] for line in cache.read_text().splitlines() if line]
    assert len(kept) in (6, 7)
    # What the cache says is believed, as long as the files are the same; a line that was cut off is not.
    lines = cache.read_text().splitlines()
    lines[1] = lines[1].replace('"findings": []', '"findings": [["hole", "label", "from the cache"]]')
    cache.write_text("\n".join(lines) + '\n{"signature": "x", "rec')
    found = inspect(data, cache=cache, num_workers=2)
    assert [fault.message for fault in found.faults] == ["from the cache"]
    assert sum(found.sizes.values()) == 16
    os.utime(masks(copy)[0])
    assert inspect(data, cache=cache, num_workers=1).faults == ()


def test_records_survive_a_cache() -> None:
    record = Record("a", [("hole", "label", "x")], (3, 4), {0: 5, 255: 7}, 1.5, "abc", "QUFB" * 85 + "QQ==", 0.25)
    assert Record.from_dict(json.loads(json.dumps(record.to_dict()))) == record


def test_likeness() -> None:
    random = np.random.default_rng(0)
    greys = random.integers(0, 256, (300, 16, 16), dtype=np.uint8)
    noisy = np.clip(greys[7].astype(int) + random.integers(-6, 7, (16, 16)), 0, 255).astype(np.uint8)
    assert alike(np.concatenate([greys, noisy[None]])) == [(7, 300)]
    assert alike(greys[:1]) == []


@pytest.mark.real
def test_real_pictures_raise_no_alarm(real_data: Path) -> None:
    found = look(real_data / "bdd100k-native")
    assert found.faults == ()
    assert found.class_shares["background"] == pytest.approx(0.83, abs=0.02)


@pytest.mark.real
@pytest.mark.slow
def test_five_thousand_real_pictures_raise_no_alarm(real_data: Path) -> None:
    found = inspect(open_data(real_data / "bdd100k", confirmed=False))
    assert found.faults == ()
    assert found.num_pairs == {"train": 5000}
