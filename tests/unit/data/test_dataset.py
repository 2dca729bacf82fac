import multiprocessing
import os
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from drivable.config.recipe import AugmentationSpec
from drivable.curation.pack import pack
from drivable.data import EpochSampler, RoadDataset, RoadLoader, open_data, readable_samples
from drivable.data.augmentation import Change, draw_change
from drivable.data.label_cache import LabelMemory
from drivable.errors import DataError, OutputError
from drivable.imaging.images import picture_size, read_image, resize_image, resize_label_map
from drivable.imaging.overlay import draw_overlay
from drivable.labels import BDD100K_DRIVABLE

Make = Callable[..., Path]


def test_items_have_one_size(make_bdd100k: Make) -> None:
    item = RoadDataset(open_data(make_bdd100k()).all_samples, (18, 32))[0, 2, 0]
    assert item["images"].shape == (3, 18, 32)
    assert item["images"].dtype == torch.uint8
    assert item["label_maps"].unique().tolist() == [0, 1, 2]
    assert item["indices"].item() == 2


def test_label_maps_shrink_by_the_nearest_centre() -> None:
    label_map = np.arange(16, dtype=np.uint8).reshape(4, 4)
    assert set(resize_label_map(label_map, (2, 2)).ravel()) <= set(label_map.ravel())
    column = np.repeat(np.array([[0, 0, 0, 1, 1, 1, 2, 2, 2]], dtype=np.uint8), 3, axis=0)
    assert resize_label_map(column, (1, 3)).tolist() == [[0, 1, 2]]


def test_pictures_shrink_by_area() -> None:
    image = np.zeros((4, 4, 3), dtype=np.uint8)
    image[:2, :2] = 100
    assert resize_image(image, (2, 2))[..., 0].tolist() == [[100, 0], [0, 0]]
    image[0, 0] = 0
    assert resize_image(image, (2, 2))[0, 0, 0] == 75


def test_exif_orientation_is_obeyed(tmp_path: Path) -> None:
    picture = Image.fromarray(np.zeros((20, 30, 3), dtype=np.uint8))
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "r.jpg", exif=exif)
    assert read_image(tmp_path / "r.jpg").shape == (30, 20, 3)


def test_broken_pictures_are_parted(make_bdd100k: Make) -> None:
    root = make_bdd100k()
    (root / "images/100k/train/b.jpg").write_bytes(b"no picture")
    good, faults = readable_samples(open_data(root).all_samples)
    assert [sample.id for sample in good] == ["a", "c"]
    assert "b.jpg: not a picture" in str(faults[0])


def blocks(size: tuple[int, int] = (60, 108)) -> np.ndarray:
    """A label map of random blocks."""
    coarse = np.random.default_rng(0).integers(0, 3, (size[0] // 12, size[1] // 12), dtype=np.uint8)
    return coarse.repeat(12, 0).repeat(12, 1)


@pytest.mark.parametrize("scale", [1, 2])
def test_augmentation_moves_picture_and_label_together(scale: int) -> None:
    spec = AugmentationSpec(flip=0.5, scale_crop=(0.3, 1.0))
    label_map = blocks()
    # The picture may have been read at another scale than the mask.
    image = np.repeat((label_map * 100).repeat(scale, 0).repeat(scale, 1)[..., None], 3, axis=2)
    for seed in range(8):
        change = draw_change(spec, (60, 108), np.random.default_rng(seed))
        changed, moved = change.apply(image, label_map, (60, 108))
        assert changed.shape == (60, 108, 3)
        assert moved.shape == (60, 108)
        assert set(np.unique(moved)) <= {0, 1, 2}
        assert not np.array_equal(moved, label_map)
        # Bilinear pictures and nearest labels differ only along borders.
        assert (np.abs(changed[..., 0] - moved * 100.0) < 50).mean() > 0.95


def test_a_crop_takes_what_it_says() -> None:
    label_map = np.arange(24, dtype=np.uint8).reshape(4, 6)
    image = np.repeat(label_map[..., None] * 10, 3, axis=2)
    change = Change(crop=(1 / 3, 0.5, 0.5, 0.5))
    changed, moved = change.apply(image, label_map, (2, 3))
    assert moved.tolist() == [[14, 15, 16], [20, 21, 22]]
    assert changed[..., 0].tolist() == [[140, 150, 160], [200, 210, 220]]
    flipped, mirrored = replace(change, flip=True).apply(image, label_map, (2, 3))
    assert mirrored.tolist() == [[16, 15, 14], [22, 21, 20]]
    assert flipped[..., 0].tolist() == [[160, 150, 140], [220, 210, 200]]
    whole = Change(flip=True).apply(image, label_map, (4, 6))[1]
    assert np.array_equal(whole, label_map[:, ::-1])


def test_only_crops_may_be_read_coarser_than_they_are_shown() -> None:
    assert Change().least_size((180, 320)) == (180, 320)
    # Half the picture at 3/4 of the resolution.
    assert Change(crop=(0.0, 0.0, 0.5, 0.5)).least_size((180, 320)) == (270, 480)


def test_augmentation_keeps_ignored_pixels() -> None:
    label_map = np.full((32, 64), 255, dtype=np.uint8)
    change = draw_change(AugmentationSpec(flip=1.0, scale_crop=(0.5, 0.5)), (32, 64), np.random.default_rng(0))
    assert np.unique(change.apply(np.zeros((32, 64, 3), dtype=np.uint8), label_map, (32, 64))[1]).tolist() == [255]


def test_colour_changes_by_their_formulas() -> None:
    image = np.random.default_rng(0).integers(60, 180, (32, 64, 3), dtype=np.uint8)
    label_map = np.zeros((32, 64), dtype=np.uint8)
    grey = image @ np.array([0.299, 0.587, 0.114])

    def changed(**values: float) -> np.ndarray:
        return Change(**values).apply(image, label_map, (32, 64))[0].astype(float)  # type: ignore[arg-type]

    assert np.abs(changed(brightness=1.2) - image * 1.2).max() <= 0.53
    assert np.abs(changed(saturation=0.0) - grey[..., None]).max() <= 0.53
    assert np.abs(changed(contrast=0.0) - grey.mean()).max() <= 0.6
    # A turn of the hue keeps what is grey and each pixel's brightness; a whole one changes nothing.
    turned = changed(hue=0.1)
    assert np.abs(turned - image).max() > 5
    assert np.abs(turned @ np.array([0.299, 0.587, 0.114]) - grey).mean() < 1
    assert np.abs(changed(hue=1.0) - image).max() <= 0.53
    assert changed(blur=1.5).std() < image.std() * 0.7


def test_an_item_depends_on_seed_epoch_and_index_alone(make_bdd100k: Make) -> None:
    samples = open_data(make_bdd100k()).all_samples
    spec = AugmentationSpec(flip=0.5, scale_crop=(0.3, 1.0), brightness=0.3, blur=0.5)

    def item(seed: int, epoch: int) -> torch.Tensor:
        return RoadDataset(samples, (36, 64), spec, seed)[epoch, 1, 0]["label_maps"]

    assert torch.equal(item(1, 0), item(1, 0))
    assert not torch.equal(item(1, 0), item(1, 1))
    assert not torch.equal(item(1, 0), item(2, 0))


def test_label_maps_are_remembered_by_all_processes(make_bdd100k: Make) -> None:
    root = make_bdd100k()
    dataset = RoadDataset(open_data(root).all_samples, (36, 64))
    loader = RoadLoader(dataset, 1, EpochSampler(3, seed=0, shuffle=False), num_workers=2)
    first = [batch["label_maps"] for batch in loader]
    shutil.rmtree(root / "labels")
    # Another worker has the turn here than in the first epoch, and this process has read none.
    again = RoadLoader(dataset, 3, EpochSampler(3, seed=0, shuffle=False), num_workers=2)
    assert torch.equal(torch.cat(first), next(iter(again))["label_maps"])
    assert torch.equal(first[1][0], dataset[5, 1, 0]["label_maps"])


def test_label_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    memory = LabelMemory(3)
    label_map = blocks()
    memory.keep(1, label_map)
    assert np.array_equal(memory.get(1), label_map)
    assert memory.get(0) is None
    assert memory.get(2) is None
    # Too rich for its slot.
    memory.keep(2, np.random.default_rng(0).integers(0, 200, (300, 300), dtype=np.uint8))
    assert memory.get(2) is None
    assert list(tmp_path.iterdir()) == [], "a killed process would leave it"
    file = memory._file
    os.ftruncate(file.fileno(), os.fstat(file.fileno()).st_size - 3)
    assert memory.get(1) is None
    assert pickle.loads(pickle.dumps(memory)).get(1) is None, "a copy that no worker gets is empty"


def test_without_a_temporary_folder_no_label_map_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    memory = LabelMemory(3)
    memory.keep(1, blocks())
    assert memory.get(1) is None


@pytest.mark.parametrize("start", ["fork", "forkserver", "spawn"])
def test_workers_share_label_maps_however_they_start(
    make_bdd100k: Make, monkeypatch: pytest.MonkeyPatch, start: str
) -> None:
    monkeypatch.setattr("drivable.data.loader.worker_context", lambda _: multiprocessing.get_context(start))
    dataset = RoadDataset(open_data(make_bdd100k()).all_samples, (18, 32))
    loader = RoadLoader(dataset, 1, EpochSampler(3, seed=0, shuffle=False), num_workers=1)
    first = [batch["label_maps"] for batch in loader]
    for index, sample in enumerate(dataset.samples):
        assert np.array_equal(dataset._memory.get(index), sample.label.read())
    assert torch.equal(torch.cat(first), torch.cat([batch["label_maps"] for batch in loader]))


def test_the_course_changes_nothing() -> None:
    assert draw_change(AugmentationSpec(), (32, 64), np.random.default_rng(0)) == Change()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_loader_starts_in_the_middle_of_an_epoch(make_bdd100k: Make, num_workers: int) -> None:
    data = open_data(make_bdd100k(ids=tuple(f"{i:02d}" for i in range(20))))
    dataset = RoadDataset(data.all_samples, (32, 64), AugmentationSpec(flip=0.5, scale_crop=(0.5, 1.0)))

    def loader() -> RoadLoader:
        return RoadLoader(dataset, 3, EpochSampler(len(dataset), seed=5, shuffle=True), num_workers)

    whole = loader()
    assert len(whole) == 6
    whole.order.set_epoch(2)
    batches = list(whole)
    assert len({i for batch in batches for i in batch["indices"].tolist()}) == 18
    stopped = loader()
    stopped.order.set_epoch(2)
    running = iter(stopped)
    for _ in range(4):
        next(running)
    state = stopped.state_dict()
    assert state == {"num_batches": 4}
    resumed = loader()
    resumed.load_state_dict(state)
    resumed.order.set_epoch(2)
    rest = list(resumed)
    assert len(rest) == 2
    for want, got in zip(batches[4:], rest, strict=True):
        assert torch.equal(want["images"], got["images"])
        assert torch.equal(want["label_maps"], got["label_maps"])
        assert torch.equal(want["indices"], got["indices"])
    # The next epoch is whole again, in another order.
    resumed.order.set_epoch(3)
    following = [batch["indices"] for batch in resumed]
    assert len(following) == 6
    assert not torch.equal(following[0], batches[0]["indices"])


def test_an_epoch_has_a_picture_several_times_each_time_changed_otherwise(make_bdd100k: Make) -> None:
    sampler = EpochSampler(4, seed=3, shuffle=True, repeats=[1, 3, 1, 2])
    draws = list(sampler)
    assert len(draws) == len(sampler) == 7
    assert sorted(draws) == [(0, 0, 0), (0, 1, 0), (0, 1, 1), (0, 1, 2), (0, 2, 0), (0, 3, 0), (0, 3, 1)]
    assert list(EpochSampler(4, seed=3, shuffle=True)) == list(EpochSampler(4, seed=3, shuffle=True, repeats=[1] * 4))
    samples = open_data(make_bdd100k()).all_samples
    dataset = RoadDataset(samples, (36, 64), AugmentationSpec(brightness=0.9), seed=1)
    first, second = (dataset[0, 1, time]["images"] for time in (0, 1))
    assert not torch.equal(first, second)
    assert torch.equal(first, dataset[0, 1, 0]["images"])


@pytest.mark.parametrize(("shuffle", "counts"), [(True, [4, 4, 4]), (False, [4, 3, 3])])
def test_processes_share_the_pictures(shuffle: bool, counts: list[int]) -> None:
    shares = [list(EpochSampler(10, 1, shuffle, rank, 3)) for rank in range(3)]
    assert [len(share) for share in shares] == counts == [len(EpochSampler(10, 1, shuffle, r, 3)) for r in range(3)]
    assert {index for share in shares for _, index, _ in share} == set(range(10))


def test_large_jpegs_are_read_at_a_reduced_scale(tmp_path: Path) -> None:
    rows, columns = np.mgrid[:360, :640]
    image = np.stack([rows * 255 / 360, columns * 255 / 640, (rows + columns) % 256], axis=2).astype(np.uint8)
    Image.fromarray(image).save(tmp_path / "road.jpg", quality=95)
    assert read_image(tmp_path / "road.jpg").shape == (360, 640, 3)
    half = read_image(tmp_path / "road.jpg", at_least=(170, 300))
    assert half.shape == (180, 320, 3)
    assert np.abs(half.astype(float) - resize_image(image, (180, 320)))[..., :2].mean() < 2
    assert read_image(tmp_path / "road.jpg", at_least=(181, 100)).shape == (360, 640, 3)
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "road.jpg").read_bytes()[:-2000])
    with pytest.raises(DataError, match=r"cut\.jpg: broken picture"):
        read_image(tmp_path / "cut.jpg", at_least=(90, 160))
    # An EXIF orientation is still obeyed.
    turned = Image.fromarray(image)
    turned.getexif()[274] = 6
    turned.save(tmp_path / "turned.jpg", exif=turned.getexif())
    assert read_image(tmp_path / "turned.jpg", at_least=(10, 10)).shape == (640, 360, 3)
    assert picture_size(tmp_path / "turned.jpg") == (640, 360)


def test_overlay_tints_road_only() -> None:
    image = np.full((2, 2, 3), 100, dtype=np.uint8)
    label_map = np.array([[0, 1], [2, 255]], dtype=np.uint8)
    drawn = draw_overlay(image, label_map, BDD100K_DRIVABLE, opacity=1.0)
    assert drawn.tolist() == [[[219, 94, 86], [86, 211, 219]], [[100] * 3, [100] * 3]]


def test_pack_is_a_smaller_copy(make_bdd100k: Make, tmp_path: Path) -> None:
    root = make_bdd100k()
    (root / "splits/mine").mkdir(parents=True)
    (root / "splits/mine/val.txt").write_text("a\n")
    (root / "attributes.csv").write_text("id,weather\na,clear\n")
    assert pack(open_data(root), tmp_path / "small", (18, 32)) == []
    copy = open_data(tmp_path / "small")
    assert [sample.label.read().shape for sample in copy.all_samples] == [(18, 32)] * 3
    assert (tmp_path / "small/splits/mine/val.txt").read_text() == "a\n"
    assert (tmp_path / "small/attributes.csv").is_file()
    with pytest.raises(OutputError, match="not an empty folder"):
        pack(open_data(root), tmp_path / "small", (18, 32))


def test_a_failed_pack_leaves_nothing(make_bdd100k: Make, tmp_path: Path) -> None:
    root = make_bdd100k()
    (root / "images/100k/train/c.jpg").write_bytes(b"")
    with pytest.raises(DataError, match="c.jpg"):
        pack(open_data(root), tmp_path / "small", (18, 32))
    assert [entry.name for entry in tmp_path.iterdir()] == ["bdd100k"]
    assert len(pack(open_data(root), tmp_path / "small", (18, 32), skip_broken=True)) == 1
