from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from drivable.config.recipe import AugmentationSpec
from drivable.data import RoadDataset, open_data, readable_samples
from drivable.data.augmentation import Augmentation
from drivable.data.inspection import example_sheet, inspect
from drivable.data.overlay import draw_overlay
from drivable.data.pack import pack
from drivable.data.pictures import resize_image, resize_label_map
from drivable.errors import DataError, OutputError
from drivable.labels import BDD100K_DRIVABLE

Make = Callable[..., Path]


def test_items_have_one_size(make_bdd100k: Make) -> None:
    item = RoadDataset(open_data(make_bdd100k()).all_samples, (18, 32))[2]
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
    from drivable.data.pictures import read_image

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


def test_augmentation_moves_picture_and_label_together() -> None:
    torch.manual_seed(0)
    spec = AugmentationSpec(flip=0.5, scale_crop=(0.3, 1.0))
    label_maps = torch.randint(0, 3, (8, 5, 9), dtype=torch.uint8)
    label_maps = label_maps.repeat_interleave(12, 1).repeat_interleave(12, 2)
    images = label_maps[:, None].repeat(1, 3, 1, 1).float() / 2
    changed, moved = Augmentation(spec, (60, 108))(images, label_maps)
    assert changed.shape == images.shape
    assert moved.dtype == torch.uint8
    assert set(moved.unique().tolist()) <= {0, 1, 2}
    assert not torch.equal(moved, label_maps)
    # Bilinear pictures and nearest labels differ only along borders.
    assert ((changed[:, 0] * 2 - moved).abs() < 0.5).float().mean() > 0.95


def test_augmentation_keeps_ignored_pixels() -> None:
    label_maps = torch.full((2, 32, 64), 255, dtype=torch.uint8)
    _, moved = Augmentation(AugmentationSpec(flip=1.0, scale_crop=(0.5, 0.5)), (32, 64))(
        torch.rand(2, 3, 32, 64), label_maps
    )
    assert moved.unique().tolist() == [255]


def test_colour_changes_leave_labels_alone() -> None:
    torch.manual_seed(0)
    images, label_maps = torch.rand(4, 3, 32, 64), torch.randint(0, 3, (4, 32, 64), dtype=torch.uint8)
    spec = AugmentationSpec(brightness=0.3, contrast=0.3, saturation=0.3, hue=0.05, blur=1.0)
    changed, same = Augmentation(spec, (32, 64))(images, label_maps)
    assert torch.equal(same, label_maps)
    assert not torch.allclose(changed, images)
    assert changed.min() >= 0
    assert changed.max() <= 1


def test_the_course_changes_nothing() -> None:
    images, label_maps = torch.rand(2, 3, 32, 64), torch.zeros(2, 32, 64, dtype=torch.uint8)
    assert Augmentation(AugmentationSpec(), (32, 64))(images, label_maps)[0] is images


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


def test_inspection_counts(make_bdd100k: Make) -> None:
    root = make_bdd100k()
    (root / "images/100k/train/c.jpg").write_bytes(b"")
    found = inspect(open_data(root))
    assert found.num_pairs == {"train": 3}
    assert found.sizes == {(36, 64): 2}
    assert found.class_shares == pytest.approx({"direct": 0.25, "alternative": 0.125, "background": 0.625})
    assert found.pictures_with == {"direct": 2, "alternative": 2, "background": 2}
    assert len(found.faults) == 1
    assert example_sheet(open_data(root)).shape[2] == 3
