"""Other road data sets and the exports of annotation tools: found, read pixel by pixel, and refused where broken."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from PIL import Image
from upath import UPath

from drivable.curation.inspection import inspect
from drivable.data import LAYOUTS, RoadData, open_data, read_pair, select_split
from drivable.data.formats.label_studio_json import unpack_rle
from drivable.errors import DataError

Map = NDArray[np.uint8]
HEIGHT, WIDTH = 36, 64
IGNORE = 255


def write_picture(*files: Path) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((HEIGHT, WIDTH, 3), 90, dtype=np.uint8)).save(file)


def write_mask(file: Path, pixels: NDArray[np.generic]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(file)


def regions(top: object, left: object, right: object) -> NDArray[np.generic]:
    """The upper half, the lower half's left half, and its right half, of values or of colours."""
    filled = np.empty((HEIGHT, WIDTH, *np.shape(top)), dtype=np.uint8)  # type: ignore[arg-type]
    filled[: HEIGHT // 2] = top
    filled[HEIGHT // 2 :, : WIDTH // 2] = left
    filled[HEIGHT // 2 :, WIDTH // 2 :] = right
    return filled


def label_map(data: RoadData, key: str) -> Map:
    return read_pair(next(sample for sample in data.all_samples if sample.id == key))[1]


def ids(data: RoadData) -> dict[str, list[str]]:
    return {split: [sample.id for sample in samples] for split, samples in data.samples.items()}


def write_cityscapes(root: Path) -> None:
    for split, key in (
        ("train", "aachen_000000_000019"),
        ("train", "bochum_000000_000313"),
        ("val", "ulm_000001_000019"),
    ):
        city = key.split("_")[0]
        write_picture(root / f"leftImg8bit/{split}/{city}/{key}_leftImg8bit.png")
        write_mask(root / f"gtFine/{split}/{city}/{key}_gtFine_labelIds.png", regions(23, 7, 9))
        write_mask(
            root / f"gtFine/{split}/{city}/{key}_gtFine_color.png", regions((70, 130, 180), (0, 0, 0), (0, 0, 0))
        )
    write_mask(root / "gtFine/val/ulm/ulm_000001_000019_gtFine_labelTrainIds.png", regions(10, 0, 255))
    write_picture(root / "leftImg8bit/test/berlin/berlin_000000_000019_leftImg8bit.png")
    write_mask(root / "gtFine/test/berlin/berlin_000000_000019_gtFine_labelIds.png", regions(0, 3, 1))


def write_camvid(root: Path) -> None:
    for key in ("0001TP_006690", "0016E5_00390", "Seq05VD_f00000"):
        write_picture(root / f"701_StillsRaw_full/{key}.png")
        colors = regions((128, 128, 128), (128, 64, 128), (0, 0, 0))
        write_mask(root / f"LabeledApproved_full/{key}_L.png", colors)
    lines = ("128 128 128\t\tSky", "0 0 0\t\tVoid", "128 64 128\tRoad", "64 192 0\tWall")
    (root / "label_colors.txt").write_text("\n".join(lines) + "\n")


def write_fastai(root: Path) -> None:
    for key in ("0001TP_006690", "0016E5_00390", "Seq05VD_f00000"):
        write_picture(root / f"images/{key}.png")
        write_mask(root / f"labels/{key}_P.png", regions(1, 0, 2))
    (root / "codes.txt").write_text("Road\nSky\nVoid\nWall\n")
    (root / "valid.txt").write_text("0016E5_00390.png\n")


def write_camvid_11(root: Path) -> None:
    for split, key in (("train", "0001TP_006690"), ("val", "0016E5_07959"), ("test", "Seq05VD_f00000")):
        write_picture(root / f"{split}/{key}.png")
        write_mask(root / f"{split}annot/{key}.png", regions(0, 3, 11))
        (root / f"{split}.txt").write_text(f"/SegNet/CamVid/{split}/{key}.png /SegNet/CamVid/{split}annot/{key}.png\n")


def write_kitti(root: Path) -> None:
    for key in ("um_000000", "umm_000000", "uu_000003"):
        write_picture(root / f"training/image_2/{key}.png", root / f"testing/image_2/{key}.png")
        mask = root / f"training/gt_image_2/{key.replace('_', '_road_')}.png"
        write_mask(mask, regions((0, 0, 0), (255, 0, 255), (255, 0, 0)))
    write_mask(root / "training/gt_image_2/um_lane_000000.png", regions((255, 0, 0), (255, 0, 0), (255, 0, 255)))


def write_comma10k(root: Path) -> None:
    route = "0085e9e41513078a_2018-08-19--13-26-08"
    for place, key in (
        ("s", f"0000_{route}_11_864"),
        ("s", f"0001_{route}_17_79"),
        ("s2", f"00000_e_{route}_7_649"),
        ("sd", "00009"),
    ):
        write_picture(root / f"img{place}/{key}.png")
        colors = regions((128, 128, 96), (64, 32, 32), (255, 0, 0) if place != "sd" else (0, 204, 255))
        write_mask(root / f"mask{place}/{key}.png", colors)


def write_mapillary(root: Path) -> None:
    for split, key in (("training", "a_-1"), ("training", "b"), ("validation", "c")):
        write_picture(root / f"{split}/images/{key}.jpg")
        mask = Image.fromarray(regions(3, 1, 0).astype(np.uint8))
        mask.putpalette([1, 2, 3, 128, 64, 128, 7, 8, 9, 70, 130, 180])
        file = root / f"{split}/v2.0/labels/{key}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        mask.save(file)
    described = [
        {"name": "void--unlabeled", "color": [0, 0, 0], "evaluate": False, "instances": False},
        {"name": "construction--flat--road", "color": [128, 64, 128], "evaluate": True, "readable": "Road"},
        {"name": "construction--flat--road", "color": [128, 64, 129], "evaluate": True, "readable": "Road"},
        {"name": "nature--sky", "color": [70, 130, 180], "evaluate": True, "readable": "Sky"},
    ]
    (root / "config_v1.2.json").write_text(json.dumps({"labels": described[:2]}))
    (root / "config_v2.0.json").write_text(json.dumps({"version": 2.0, "labels": described}))
    write_picture(root / "testing/images/d.jpg")


def write_yolop(root: Path) -> None:
    for split, key in (("train", "0a0a0b1a-7c39d841"), ("train", "0a0a0b1a-27d9fc44"), ("val", "b1c66a42-6f7d68ca")):
        write_picture(root / f"images/{split}/{key}.jpg")
        write_mask(root / f"da_seg_annotations/{split}/{key}.png", regions(0, 255, 127))


CVAT_XML = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <task>
      <id>4</id>
      <name>roads</name>
      <subset>default</subset>
      <labels>
        <label><name>road</name><color>#fa3253</color><type>any</type><attributes></attributes></label>
        <label><name>car</name><color>#0000ff</color><type>polygon</type><attributes></attributes></label>
        <label><name>ignore</name><color>#111111</color><type>mask</type><attributes></attributes></label>
        <label><name>line</name><color>#222222</color><type>polyline</type><attributes></attributes></label>
      </labels>
    </task>
  </meta>
  <image id="0" name="front/0001.jpg" width="64" height="36">
    <polygon label="car" source="manual" occluded="0" points="4.00,20.00;8.00,20.00;8.00,24.00;4.00,24.00" z_order="2">
      <attribute name="parked">false</attribute>
    </polygon>
    <polygon label="road" source="manual" points="0.00,18.00;32.00,18.00;32.00,36.00;0.00,36.00" z_order="1">
    </polygon>
    <mask label="ignore" source="manual" rle="1, 3, 1, 1" left="60" top="1" width="3" height="2" z_order="0">
    </mask>
    <box label="car" source="manual" occluded="0" xtl="0.00" ytl="0.00" xbr="9.00" ybr="9.00" z_order="5"></box>
    <polyline label="line" source="manual" occluded="0" points="1.00,1.00;9.00,9.00" z_order="6"></polyline>
  </image>
  <image id="1" name="rear/0001.jpg" width="64" height="36">
    <polygon label="road" occluded="0" points="0.00,0.00;64.00,0.00;64.00,36.00;0.00,36.00"></polygon>
  </image>
  <image id="2" name="rear/0002.jpg" width="64" height="36">
  </image>
</annotations>
"""


def write_cvat(root: Path) -> None:
    write_picture(*(root / f"images/{name}.jpg" for name in ("front/0001", "rear/0001", "rear/0002")))
    (root / "annotations.xml").write_text(CVAT_XML)


def write_cvat_masks(root: Path) -> None:
    for key in ("a", "b", "c"):
        write_picture(root / f"JPEGImages/{key}.jpg")
        write_mask(root / f"SegmentationClass/{key}.png", regions((0, 0, 0), (250, 50, 83), (10, 20, 30)))
        write_mask(root / f"SegmentationObject/{key}.png", regions((0, 0, 0), (128, 0, 0), (0, 128, 0)))
    lines = ("# label:color_rgb:parts:actions", "background:0,0,0::", "road:250,50,83::", "car:10,20,30::")
    (root / "labelmap.txt").write_text("\n".join(lines) + "\n")
    lists = root / "ImageSets/Segmentation"
    lists.mkdir(parents=True)
    (lists / "Train.txt").write_text("a\nb\n")
    (lists / "Validation.txt").write_text("c\n")


def pack_rle(values: NDArray[np.generic]) -> list[int]:
    """Label Studio's run lengths, with single values left as they are."""
    flat = np.asarray(values).ravel()
    ends = np.append(np.flatnonzero(np.diff(flat)) + 1, len(flat))
    bits = f"{len(flat):032b}{7:05b}{2:04b}{3:04b}{7:04b}{15:04b}"
    start = 0
    for end in ends.tolist():
        while start < end:
            length = min(end - start, 2**16)
            which, width = (0, 3) if length <= 8 else (2, 8) if length <= 256 else (3, 16)
            bits += f"{int(length > 1)}{which:02b}{length - 1:0{width}b}{int(flat[start]):08b}"
            start += length
    bits += "0" * (-len(bits) % 8)
    return [int(bits[k : k + 8], 2) for k in range(0, len(bits), 8)]


def label_studio_tasks() -> list[dict[str, object]]:
    region = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0, "from_name": "label"}
    alpha = np.zeros((HEIGHT, WIDTH, 4), dtype=np.uint8)
    alpha[2:4, 10:15] = (30, 60, 90, 255)
    square = {
        "type": "polygonlabels",
        "value": {"points": [[0, 50], [50, 50], [50, 100], [0, 100]], "closed": True, "polygonlabels": ["road"]},
    }
    stroke = {"type": "brushlabels", "value": {"format": "rle", "rle": pack_rle(alpha), "brushlabels": ["car"]}}
    cancelled = {"was_cancelled": True, "result": [region | square]}
    return [
        {
            "id": 11,
            "annotations": [
                cancelled,
                {
                    "was_cancelled": False,
                    "result": [region | square, region | stroke, {"type": "choices", "value": {}}],
                },
                {"was_cancelled": False, "result": []},
            ],
            "data": {"image": "/data/upload/1/e97d4735-first.jpg"},
        },
        {"id": 12, "annotations": [{"result": []}], "data": {"image": "/data/local-files/?d=roads/second%20one.jpg"}},
        {"id": 13, "annotations": [cancelled], "data": {"image": "https://example.com/a/third.jpg?token=1"}},
    ]


def write_label_studio(root: Path) -> None:
    write_picture(root / "images/first.jpg", root / "second one.jpg", root / "images/third.jpg")
    (root / "project-1-at-2026-01-01.json").write_text(json.dumps(label_studio_tasks()))


WRITERS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "cityscapes": ("cityscapes", write_cityscapes),
    "camvid": ("camvid", write_camvid),
    "camvid of fast.ai": ("camvid", write_fastai),
    "camvid-11": ("camvid-11", write_camvid_11),
    "kitti-road": ("kitti-road", write_kitti),
    "comma10k": ("comma10k", write_comma10k),
    "mapillary": ("mapillary", write_mapillary),
    "yolop": ("yolop", write_yolop),
    "cvat": ("cvat", write_cvat),
    "cvat-masks": ("cvat-masks", write_cvat_masks),
    "label-studio": ("label-studio", write_label_studio),
}


@pytest.mark.parametrize("case", WRITERS)
def test_auto_finds_exactly_this_layout(tmp_path: Path, case: str) -> None:
    layout, write = WRITERS[case]
    write(tmp_path)
    data = open_data(tmp_path)
    assert data.layout == layout
    for sample in data.all_samples:
        image, found = read_pair(sample)
        assert image.shape == (HEIGHT, WIDTH, 3)
        assert set(np.unique(found)) <= {*range(data.labels.num_classes), IGNORE}
    assert not data.orphans


@pytest.mark.parametrize("case", WRITERS)
def test_no_other_layout_takes_it(tmp_path: Path, case: str) -> None:
    layout, write = WRITERS[case]
    write(tmp_path)
    other_views = {"cityscapes": {"cityscapes-road"}, "kitti-road": {"kitti-lane"}}
    takers = {name for name, opened in LAYOUTS.items() if opened(tmp_path) is not None}
    assert takers == {layout} | other_views.get(layout, set())


def test_bdd100k_is_not_taken(make_bdd100k: Callable[..., Path]) -> None:
    root = make_bdd100k()
    assert [name for name, opened in LAYOUTS.items() if opened(root) is not None] == ["bdd100k-masks"]


@pytest.mark.parametrize("case", WRITERS)
def test_addresses_that_are_no_local_paths(tmp_path: Path, case: str) -> None:
    layout, write = WRITERS[case]
    write(tmp_path)
    root = UPath(f"memory://{tmp_path.name}-{case.replace(' ', '-')}")
    for file in tmp_path.rglob("*"):
        if file.is_file():
            target = root / file.relative_to(tmp_path).as_posix()
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    data, local = open_data(root), open_data(tmp_path)
    assert data.layout == layout
    assert ids(data) == ids(local)
    for one, other in zip(data.all_samples, local.all_samples, strict=True):
        assert np.array_equal(one.label.read(), other.label.read())


def test_cityscapes(tmp_path: Path) -> None:
    write_cityscapes(tmp_path)
    data = open_data(tmp_path)
    assert data.labels.names[:2] == ("road", "sidewalk")
    assert (data.labels.num_classes, data.labels.background) == (19, None)
    assert data.labels.colors[-1] == (119, 11, 32)
    assert ids(data) == {"train": ["aachen_000000_000019", "bochum_000000_000313"], "val": ["ulm_000001_000019"]}
    for key in ("aachen_000000_000019", "ulm_000001_000019"):
        assert np.array_equal(label_map(data, key), regions(10, 0, IGNORE))
    (tmp_path / "leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png").unlink()
    (tmp_path / "gtFine/train/bochum/bochum_000000_000313_gtFine_labelIds.png").unlink()
    data = open_data(tmp_path)
    assert [path.name for path in data.orphans] == ["aachen_000000_000019_gtFine_labelIds.png"]
    assert [path.name for path in data.unlabelled] == ["bochum_000000_000313_leftImg8bit.png"]
    write_mask(tmp_path / "gtFine/val/ulm/ulm_000001_000019_gtFine_labelTrainIds.png", regions(0, 19, 0))
    with pytest.raises(DataError, match=r"labelTrainIds.png: unknown ids \[19\]; Cityscapes' train ids"):
        label_map(open_data(tmp_path), "ulm_000001_000019")


def test_cityscapes_road(tmp_path: Path) -> None:
    write_cityscapes(tmp_path)
    data = open_data(tmp_path, "cityscapes-road")
    assert data.layout == "cityscapes-road"
    assert data.labels.names == ("drivable", "background")
    assert np.array_equal(label_map(data, "aachen_000000_000019"), regions(1, 0, IGNORE))


def test_folders_like_cityscapes_with_other_masks_are_another_layout(tmp_path: Path) -> None:
    write_picture(tmp_path / "leftImg8bit/train/0/1_leftImg8bit.png")
    write_mask(tmp_path / "gtFine/train/0/1_gtFine_labellevel3Ids.png", regions(0, 1, 2))
    with pytest.raises(DataError, match="not laid out as any known layout"):
        open_data(tmp_path)


@pytest.mark.parametrize("write", [write_camvid, write_fastai])
def test_camvid(tmp_path: Path, write: Callable[[Path], None]) -> None:
    write(tmp_path)
    data = open_data(tmp_path)
    assert sorted(data.labels.names) == ["Road", "Sky", "Wall"]
    assert data.labels.colors[data.labels.names.index("Road")] == (128, 64, 128)
    expected = regions(data.labels.names.index("Sky"), data.labels.names.index("Road"), IGNORE)
    for sample in data.all_samples:
        assert np.array_equal(sample.label.read(), expected)
    assert data.attributes["0001TP_006690"] == {"drive": "0001TP"}
    assert data.attributes["Seq05VD_f00000"] == {"drive": "Seq05VD"}
    if write is write_fastai:
        assert ids(data) == {"train": ["0001TP_006690", "Seq05VD_f00000"], "val": ["0016E5_00390"]}
        (tmp_path / "valid.txt").unlink()
    assert list(ids(open_data(tmp_path))) == [""]


def test_camvid_without_its_list_of_colours(tmp_path: Path) -> None:
    write_camvid(tmp_path)
    (tmp_path / "label_colors.txt").unlink()
    data = open_data(tmp_path)
    assert (data.labels.num_classes, data.labels.names[0], data.labels.names[-1]) == (31, "Animal", "Wall")
    assert np.array_equal(label_map(data, "0016E5_00390"), regions(21, 17, IGNORE))


def test_broken_camvid(tmp_path: Path) -> None:
    write_camvid(tmp_path / "full")
    write_mask(tmp_path / "full/LabeledApproved_full/0016E5_00390_L.png", regions((1, 2, 3), (0, 0, 0), (0, 0, 0)))
    with pytest.raises(DataError, match=r"0016E5_00390_L.png: unknown colours \[\[1, 2, 3\]\]; CamVid"):
        label_map(open_data(tmp_path / "full"), "0016E5_00390")
    (tmp_path / "full/label_colors.txt").write_text("128 128 128\tSky\n128 64 Road\n")
    with pytest.raises(DataError, match=r"label_colors.txt, line 2: got '128 64 Road', expected 'R G B name'"):
        open_data(tmp_path / "full")
    write_fastai(tmp_path / "fast")
    write_mask(tmp_path / "fast/labels/0016E5_00390_P.png", regions(4, 0, 0))
    (tmp_path / "fast/images/0001TP_006690.png").unlink()
    data = open_data(tmp_path / "fast")
    assert [path.name for path in data.orphans] == ["0001TP_006690_P.png"]
    with pytest.raises(DataError, match=r"unknown ids \[4\]; CamVid's codes.txt"):
        label_map(data, "0016E5_00390")


def test_camvid_11(tmp_path: Path) -> None:
    write_camvid_11(tmp_path)
    write_picture(tmp_path / "train/0001TP_006720.png")
    data = open_data(tmp_path)
    assert data.labels.names[3:5] == ("Road", "Pavement")
    assert data.labels.num_classes == 11
    assert ids(data) == {"train": ["0001TP_006690"], "val": ["0016E5_07959"], "test": ["Seq05VD_f00000"]}
    assert np.array_equal(label_map(data, "0001TP_006690"), regions(0, 3, IGNORE))
    assert [path.stem for path in data.unlabelled] == ["0001TP_006720"]
    write_mask(tmp_path / "valannot/0016E5_07959.png", regions(12, 0, 0))
    with pytest.raises(DataError, match=r"unknown ids \[12\]; SegNet's CamVid"):
        label_map(data, "0016E5_07959")
    (tmp_path / "label_colors.txt").write_text("0 0 0 road\n")
    with pytest.raises(DataError, match="not laid out as any known layout"):
        open_data(tmp_path)


def test_kitti(tmp_path: Path) -> None:
    write_kitti(tmp_path)
    data = open_data(tmp_path)
    assert data.labels.names == ("drivable", "background")
    assert ids(data) == {"": ["um_000000", "umm_000000", "uu_000003"]}
    assert data.attributes["umm_000000"] == {"scene": "umm"}
    assert np.array_equal(label_map(data, "uu_000003"), regions(IGNORE, 0, 1))
    lane = open_data(tmp_path, "kitti-lane")
    assert (lane.layout, ids(lane), lane.unlabelled) == ("kitti-lane", {"": ["um_000000"]}, ())
    assert np.array_equal(label_map(lane, "um_000000"), regions(1, 1, 0))
    (tmp_path / "training/image_2/umm_000000.png").unlink()
    write_mask(tmp_path / "training/gt_image_2/uu_road_000003.png", regions((255, 0, 0), (0, 0, 255), (0, 0, 0)))
    data = open_data(tmp_path)
    assert [path.name for path in data.orphans] == ["umm_road_000000.png"]
    with pytest.raises(DataError, match=r"uu_road_000003.png: unknown colours \[\[0, 0, 255\]\]; KITTI"):
        label_map(data, "uu_000003")


def test_comma10k(tmp_path: Path) -> None:
    write_comma10k(tmp_path)
    write_picture(tmp_path / "imgs2/00001_f_0085e9e41513078a_2018-08-19--13-26-08_7_651.png")
    data = open_data(tmp_path)
    route = "0085e9e41513078a_2018-08-19--13-26-08"
    assert data.labels.names == ("road", "lane markings", "undrivable", "movable", "my car", "movable in my car")
    assert ids(data) == {
        "train": [f"0000_{route}_11_864"],
        "val": [f"00000_e_{route}_7_649", f"0001_{route}_17_79"],
        "driver": ["00009"],
    }
    assert np.array_equal(label_map(data, f"0000_{route}_11_864"), regions(2, 0, 1))
    assert np.array_equal(label_map(data, "00009"), regions(2, 0, 5))
    assert data.attributes[f"0001_{route}_17_79"] == {"drive": route}
    assert [path.stem[:7] for path in data.unlabelled] == ["00001_f"]
    write_mask(tmp_path / f"masks/0000_{route}_11_864.png", regions((0, 0, 0), (64, 32, 32), (64, 32, 32)))
    with pytest.raises(DataError, match=r"unknown colours \[\[0, 0, 0\]\]; comma10k"):
        label_map(data, f"0000_{route}_11_864")


def test_other_folders_of_imgs_and_masks_are_not_comma10k(tmp_path: Path) -> None:
    write_picture(tmp_path / "imgs/0cdf5b5d0ce1_01.png")
    write_mask(tmp_path / "masks/0cdf5b5d0ce1_01.png", regions(0, 1, 1))
    with pytest.raises(DataError, match="not laid out as any known layout"):
        open_data(tmp_path)


def test_mapillary(tmp_path: Path) -> None:
    write_mapillary(tmp_path)
    data = open_data(tmp_path)
    assert data.labels.names == ("construction--flat--road", "construction--flat--road 2", "nature--sky")
    assert data.labels.colors[2] == (70, 130, 180)
    assert ids(data) == {"train": ["a_-1", "b"], "val": ["c"]}
    assert np.array_equal(label_map(data, "c"), regions(2, 0, IGNORE))
    (tmp_path / "training/images/b.jpg").unlink()
    assert [path.name for path in open_data(tmp_path).orphans] == ["b.png"]
    write_mask(tmp_path / "validation/v2.0/labels/c.png", regions(4, 0, 0))
    with pytest.raises(DataError, match=r"unknown ids \[4\]; Mapillary's config_v2.0.json"):
        label_map(data, "c")


def test_a_mapillary_config_that_is_none(tmp_path: Path) -> None:
    write_mapillary(tmp_path)
    config = tmp_path / "config_v2.0.json"
    config.write_text(config.read_text()[:-30])
    with pytest.raises(DataError, match=r"config_v2.0.json: broken JSON"):
        open_data(tmp_path)
    config.write_text(json.dumps({"labels": [{"name": "road", "color": [1, 2, 3]}, {"name": "sky"}]}))
    with pytest.raises(DataError, match=r"config_v2.0.json: label 1 is not described.*'color'"):
        open_data(tmp_path)
    config.write_text(json.dumps({"labels": [{"name": f"c{k}", "color": [0, 0, 0]} for k in range(255)]}))
    with pytest.raises(DataError, match="255 classes to evaluate.* at most 254"):
        open_data(tmp_path)
    config.unlink()
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(DataError, match=r"need config_v2.0.json, and there are only config.json, config_v1.2.json"):
        open_data(tmp_path)


def test_yolop(tmp_path: Path) -> None:
    write_yolop(tmp_path)
    data = open_data(tmp_path)
    assert data.labels.names == ("drivable", "background")
    assert ids(data) == {"train": ["0a0a0b1a-27d9fc44", "0a0a0b1a-7c39d841"], "val": ["b1c66a42-6f7d68ca"]}
    mask = tmp_path / "da_seg_annotations/val/b1c66a42-6f7d68ca.png"
    assert np.array_equal(label_map(data, mask.stem), regions(1, 0, 0))
    write_mask(mask, np.repeat(regions(0, 255, 3)[..., None], 3, axis=2))
    assert np.array_equal(label_map(data, mask.stem), regions(1, 0, 0))
    write_mask(mask, regions((0, 0, 0), (255, 0, 0), (0, 0, 0)))
    with pytest.raises(DataError, match=r"b1c66a42-6f7d68ca.png: a coloured mask; YOLOP's masks have one channel"):
        label_map(data, mask.stem)
    write_mask(mask, regions(0, 1, 2))
    with pytest.raises(DataError, match=r"no value above 2; YOLOP's masks hold 0, 127 and 255.*--ids 2018"):
        label_map(data, mask.stem)
    (tmp_path / "images/train/0a0a0b1a-7c39d841.jpg").unlink()
    with pytest.raises(DataError, match="0a0a0b1a-7c39d841.png: mask without its picture"):
        select_split(open_data(tmp_path), "train")


def test_yolop_in_the_folders_of_its_archive(tmp_path: Path) -> None:
    write_picture(tmp_path / "images/100k/train/a.jpg", tmp_path / "images/100k/val/b.jpg")
    write_mask(tmp_path / "bdd_seg_gt/train/a.png", regions(0, 127, 0))
    data = open_data(tmp_path)
    assert (data.layout, ids(data)) == ("yolop", {"train": ["a"], "val": []})
    assert [path.name for path in data.unlabelled] == ["b.jpg"]


def test_cvat(tmp_path: Path) -> None:
    write_cvat(tmp_path)
    data = open_data(tmp_path)
    assert data.labels.names == ("road", "car", "background")
    assert data.labels.colors == ((250, 50, 83), (0, 0, 255), (0, 0, 0))
    assert data.labels.background == "background"
    assert ids(data) == {"": ["front_0001", "rear_0001"]}
    expected = regions(2, 0, 2)
    expected[20:24, 4:8] = 1
    expected[1:3, 60:63] = [[2, IGNORE, IGNORE], [IGNORE, 2, IGNORE]]
    expected[:9, :9] = 1
    assert np.array_equal(label_map(data, "front_0001"), expected)
    assert not label_map(data, "rear_0001").any()
    assert [path.name for path in data.unlabelled] == ["0002.jpg"]
    (tmp_path / "images/rear/0001.jpg").unlink()
    assert [path.name for path in open_data(tmp_path).orphans] == ["rear_0001"]


CVAT_OTHER_SHAPES = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <meta><task><labels>
    <label><name>road</name><type>rectangle</type></label>
    <label><name>car</name><type>ellipse</type></label>
    <label><name>kerb</name><type>polyline</type></label>
  </labels></task></meta>
  <image id="0" name="front\\a.jpg" width="64" height="36">
    <box label="road" xtl="10.0" ytl="20.0" xbr="30.0" ybr="24.0" rotation="90.0" z_order="0"></box>
    <box label="road" xtl="40.0" ytl="30.0" xbr="64.0" ybr="36.0" z_order="0"></box>
    <ellipse label="car" cx="50.0" cy="10.0" rx="8.0" ry="4.0" rotation="90.0" z_order="1"></ellipse>
    <polyline label="kerb" points="1.00,1.00;9.00,9.00" z_order="6"></polyline>
    <!-- said by someone -->
    <tag label="kerb"></tag>
  </image>
  <image id="1" name="b.jpg" width="64" height="36">
    <points label="kerb" points="1.00,1.00;9.00,9.00" z_order="6"></points>
    <points label="kerb" points="1.00,1.00;9.00,9.00" z_order="6"></points>
  </image>
  <image id="2" name="c.jpg" width="64" height="36"></image>
</annotations>
"""


def test_boxes_and_ellipses_of_cvat(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_picture(*(tmp_path / f"images/{name}.jpg" for name in ("front/a", "b", "c")))
    (tmp_path / "annotations.xml").write_text(CVAT_OTHER_SHAPES)
    data = open_data(tmp_path)
    found = label_map(data, "front_a")
    expected = np.full((HEIGHT, WIDTH), 2)
    expected[12:32, 18:22] = 0  # A quarter turn about its centre (20, 22).
    expected[30:, 40:] = 0
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    expected[((columns - 50) / 4) ** 2 + ((rows - 10) / 8) ** 2 < 1] = 1
    assert np.array_equal(found, expected)
    # What is drawn in b is no area, and so b is not an empty picture.
    assert sorted(path.name for path in data.unlabelled) == ["b.jpg", "c.jpg"]
    said = (
        "regions that cannot be drawn are left out (2 points, 1 polyline, 1 tag, in 2 images); 1 of these have nothing"
    )
    assert f"annotations.xml: {said}" in caplog.text
    (told,) = [
        found for found in inspect(open_data(tmp_path, confirmed=False)).faults if found.kind == "undrawn-regions"
    ]
    assert told.message.startswith(said)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('xbr="64.0"', 'xbr="4.0"', "a box of -36 x 6 pixels"),
        ('rx="8.0"', 'rx="nan"', "expected a number, got 'nan'"),
        ('rx="8.0"', 'rx="0"', "an ellipse of the radii 0 and 4"),
        ('rotation="90.0"', 'rotation="1e999"', "a rotation of inf degrees"),
        ('cx="50.0"', "", "no key 'cx'"),
        ('width="64" height="36">\n    <box', 'width="50000" height="50000">\n    <box', "DRIVABLE_MAX_PIXELS"),
        ('width="64" height="36">\n    <box', 'width="-64" height="36">\n    <box', "a size of 36 x -64"),
    ],
)
def test_boxes_that_are_none(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in CVAT_OTHER_SHAPES
    (tmp_path / "annotations.xml").write_text(CVAT_OTHER_SHAPES.replace(old, new, 1))
    with pytest.raises(DataError, match=rf"annotations.xml, image 'front\\a.jpg': {message}|{message}") as fault:
        open_data(tmp_path)
    assert "annotations.xml, image 'front" in str(fault.value)


@pytest.mark.parametrize("subset", ["../../../escaped", "/tmp/escaped", "a\\b", "..", "a&#10;b"])
def test_subsets_of_cvat_that_lead_elsewhere(tmp_path: Path, subset: str) -> None:
    write_cvat(tmp_path)
    (tmp_path / "annotations.xml").write_text(CVAT_XML.replace('name="front', f'subset="{subset}" name="front'))
    with pytest.raises(DataError, match="image 'front/0001.jpg': subset .*expected a file name without slashes"):
        open_data(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<annotations><meta/>" + "<a>" * 100_000, "100 000 levels|DRIVABLE_MAX_DEPTH"),
        ('<?xml version="1.0" encoding="utf-16"?><annotations>\ud800', "not a readable label file"),
    ],
)
def test_xml_that_is_hostile(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "annotations.xml").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(DataError, match=message):
        open_data(tmp_path)


def test_cvat_of_a_project_has_its_subsets_as_splits(tmp_path: Path) -> None:
    text = CVAT_XML.replace('name="front/0001.jpg"', 'name="0001.jpg" subset="Train"')
    text = text.replace('name="rear/0001.jpg"', 'name="0002.jpg" subset="Validation"').replace("road<", "Background<")
    (tmp_path / "annotations.xml").write_text(text.replace('"road"', '"Background"'))
    write_picture(tmp_path / "images/Train/0001.jpg", tmp_path / "images/Validation/0002.jpg")
    data = open_data(tmp_path)
    assert ids(data) == {"train": ["0001"], "val": ["0002"]}
    assert (data.labels.names, data.labels.background) == (("Background", "car"), "Background")
    assert np.unique(label_map(data, "0001")).tolist() == [0, 1, IGNORE]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("</annotations>", "", r"annotations.xml: broken XML \(no element found"),
        ("<annotations>", "<!DOCTYPE a [<!ENTITY b 'c'>]>\n<annotations>", "XML with a DOCTYPE"),
        ('label="car" source', 'label="cart" source', r"image 'front/0001.jpg': label 'cart'.*did you mean 'car'"),
        ('left="60"', 'left="\uff16\uff10"', r"image 'front/0001.jpg': expected a number, got '\uff16\uff10'"),
        ('height="36"', 'height="3_6"', r"image 'front/0001.jpg': expected a number, got '3_6'"),
        ("8.00,24.00", "\u0668,24.00", r"image 'front/0001.jpg': a polygon's points must be 'x,y;x,y;...'"),
        ("8.00,24.00", "8.00,inf", r"image 'front/0001.jpg': a polygon's points must be 'x,y;x,y;...'"),
        ("8.00,24.00", "8.00", r"image 'front/0001.jpg': a polygon's points must be 'x,y;x,y;...', got '4.00,20.00"),
        (' rle="1, 3, 1, 1"', "", r"image 'front/0001.jpg': no key 'rle'"),
        ("rear/0001.jpg", "front/0001.jpg", r"two images named 'front/0001.jpg'"),
        ('<image id="2"', '<track id="0" label="road"></track>\n<image id="2"', "export the task as 'CVAT for images"),
    ],
)
def test_broken_cvat(tmp_path: Path, old: str, new: str, message: str) -> None:
    write_cvat(tmp_path)
    (tmp_path / "annotations.xml").write_text(CVAT_XML.replace(old, new))
    with pytest.raises(DataError, match=message) as fault:
        open_data(tmp_path)
    assert "annotations.xml" in str(fault.value)
    assert "\n" not in str(fault.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('rle="1, 3, 1, 1"', 'rle="1, 3, 1"', r"run lengths add up to 5 pixels, expected 6"),
        ('left="60"', 'left="62"', r"a mask of 2x3 at row 1, column 62 leaves the picture"),
        ('left="60"', 'left="-1"', r"a mask of 2x3 at row 1, column -1 leaves the picture"),
        ('rle="1, 3, 1, 1"', 'rle="-1, 3, 1, 3"', r"run lengths add up to 6 pixels, expected 6"),
        ('rle="1, 3, 1, 1"', 'rle="1, 99999999999999999999"', r"run lengths add up to 1000"),
        ("8.00,24.00", "8.00,1e308", "a polygon's vertices must be pairs of numbers"),
        (";8.00,24.00;4.00,24.00", "", "a polygon needs three or more vertices"),
    ],
)
def test_shapes_of_cvat_that_cannot_be_drawn(tmp_path: Path, old: str, new: str, message: str) -> None:
    write_cvat(tmp_path)
    (tmp_path / "annotations.xml").write_text(CVAT_XML.replace(old, new))
    data = open_data(tmp_path)
    with pytest.raises(DataError, match=rf"annotations.xml, 'front_0001': {message}"):
        label_map(data, "front_0001")


def test_another_xml_is_not_cvat(tmp_path: Path) -> None:
    (tmp_path / "annotations.xml").write_text("<VOC><object/></VOC>")
    with pytest.raises(DataError, match="not laid out as any known layout"):
        open_data(tmp_path)


def test_cvat_masks(tmp_path: Path) -> None:
    write_cvat_masks(tmp_path)
    data = open_data(tmp_path)
    assert (data.labels.names, data.labels.background) == (("background", "road", "car"), "background")
    assert ids(data) == {"train": ["a", "b"], "val": ["c"]}
    assert np.array_equal(label_map(data, "a"), regions(0, 1, 2))
    labelmap = tmp_path / "labelmap.txt"
    labelmap.write_text("road:250,50,83::\ncar:10,20,30::\n")
    data = open_data(tmp_path)
    assert data.labels.names == ("road", "car", "background")
    assert np.array_equal(label_map(data, "a"), regions(2, 0, 1))
    (tmp_path / "JPEGImages/b.jpg").unlink()
    (tmp_path / "SegmentationClass/c.png").unlink()
    write_mask(tmp_path / "SegmentationClass/a.png", regions((1, 1, 1), (0, 0, 0), (0, 0, 0)))
    data = open_data(tmp_path, confirmed=False)
    assert [path.name for path in (*data.orphans, *data.unlabelled)] == ["b.png", "c.jpg"]
    with pytest.raises(DataError, match=r"a.png: unknown colours \[\[1, 1, 1\]\]; CVAT's labelmap.txt"):
        label_map(data, "a")
    labelmap.write_text("road:250,50,83::\ncar:\uff11,2,3::\n", "utf-8")
    with pytest.raises(DataError, match="labelmap.txt, line 2: got 'car:\uff11,2,3::', expected 'name:R,G,B::'"):
        open_data(tmp_path)
    labelmap.write_text("road:250,50,83::\ncar:#112233::\n")
    with pytest.raises(DataError, match=r"labelmap.txt, line 2: got 'car:#112233::', expected 'name:R,G,B::'"):
        open_data(tmp_path)


def test_label_studio(tmp_path: Path) -> None:
    write_label_studio(tmp_path)
    data = open_data(tmp_path)
    assert (data.labels.names, data.labels.background) == (("car", "road", "background"), "background")
    assert len(set(data.labels.colors)) == 3
    assert ids(data) == {"": ["first", "second one"]}
    expected = regions(2, 1, 2)
    expected[2:4, 10:15] = 0
    assert np.array_equal(label_map(data, "first"), expected)
    assert (label_map(data, "second one") == 2).all()
    assert [path.name for path in data.unlabelled] == ["third.jpg"]
    (tmp_path / "images/first.jpg").unlink()
    assert [path.name for path in open_data(tmp_path).orphans] == ["e97d4735-first"]


def label_studio_shapes() -> list[dict[str, object]]:
    def region(kind: str, key: str, **value: object) -> dict[str, object]:
        return {"original_width": WIDTH, "original_height": HEIGHT, "type": kind, "id": key, "value": value}

    wide = {"x": 25, "y": 50, "width": 25, "height": 100 / 9, "rotation": 90}  # 16 x 4 pixels at (16, 18).
    first = [
        region("rectanglelabels", "r", **wide, rectanglelabels=["road"]),
        region("textarea", "r", **wide, text=["said of the rectangle"]),
        region("ellipse", "e", x=75, y=50, radiusX=12.5, radiusY=100 / 9, rotation=0),
        region("labels", "e", x=75, y=50, radiusX=12.5, radiusY=100 / 9, rotation=0, labels=["car"]),
        region("keypointlabels", "k", x=50, y=50, width=1, keypointlabels=["car"]),
        {"type": "relation", "from_id": "r", "to_id": "e", "direction": "right"},
    ]
    second = [region("keypointlabels", "k", x=50, y=50, width=1, keypointlabels=["car"])]
    third = [{"type": "choices", "id": "c", "value": {"choices": ["no road"]}}]
    return [
        {"id": number, "annotations": [{"result": result}], "data": {"image": f"/data/upload/1/{number}.jpg"}}
        for number, result in enumerate((first, second, third), 1)
    ]


def test_boxes_and_ellipses_of_label_studio(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_picture(*(tmp_path / f"images/{number}.jpg" for number in (1, 2, 3)))
    (tmp_path / "export.json").write_text(json.dumps(label_studio_shapes()), encoding="utf-8-sig")
    data = open_data(tmp_path)
    assert data.labels.names == ("car", "road", "background")
    expected = np.full((HEIGHT, WIDTH), 2)
    expected[18:34, 12:16] = 1  # A quarter turn clockwise about its upper left corner.
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    expected[((columns - 48) / 8) ** 2 + ((rows - 18) / 4) ** 2 < 1] = 0
    assert np.array_equal(label_map(data, "1"), expected)
    # Key points alone are no empty picture; what was said of the whole picture is.
    assert [path.name for path in data.unlabelled] == ["2.jpg"]
    assert (label_map(data, "3") == 2).all()
    assert "(2 keypointlabels, 1 relation, in 2 images); 1 of these have nothing else" in caplog.text


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"width": 25', '"width": -25', "task 1: a box of -16 x 4 pixels"),
        ('"radiusX": 12.5', '"radiusX": "12"', "task 1: expected a number, got '12'"),
        ('"rotation": 90', '"rotation": Infinity', "task 1: a rotation of inf degrees"),
        ('"original_width": 64', '"original_width": 50000, "original_height": 50000', "task 1: .*DRIVABLE_MAX_PIXELS"),
        ('"value": {"x"', '"value": 3, "x": {"x"', "task 1: "),
        ('"rectanglelabels": ["road"]', '"rectanglelabels": [["road"]]', "a region of the classes"),
    ],
)
def test_label_studio_that_is_hostile(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = json.dumps(label_studio_shapes())
    if "50000" in new:
        text = text.replace('"original_height": 36, ', "")
    assert old in text
    (tmp_path / "export.json").write_text(text.replace(old, new))
    with pytest.raises(DataError, match=message) as fault:
        open_data(tmp_path)
    assert "export.json, task 1" in str(fault.value)


def test_label_studio_packs_run_lengths() -> None:
    # From the tests of Label Studio's own converter.
    packed = [0, 0, 0, 18, 57, 27, 252, 96, 32, 1, 0, 6, 0, 40, 0, 192, 3, 128, 17, 56, 32]
    assert unpack_rle(bytes(packed), 18).tolist() == [1, 1, 1, 1, 2, 3, 5, 6, 7, 8, *[4] * 8]
    # Two literals, 9 and 7, and six times 5.
    bits = f"{8:032b}{7:05b}{2:04b}{3:04b}{7:04b}{15:04b}" + "000001" + f"{9:08b}{7:08b}" + "100101" + f"{5:08b}"
    packed = [int(bits[k : k + 8].ljust(8, "0"), 2) for k in range(0, len(bits), 8)]
    assert unpack_rle(bytes(packed), 8).tolist() == [9, 7, 5, 5, 5, 5, 5, 5]
    with pytest.raises(DataError, match="run lengths of a brush for 8 values; its picture has 9"):
        unpack_rle(bytes(packed), 9)
    with pytest.raises(DataError, match="end after 9 bytes"):
        unpack_rle(bytes(packed[:9]), 8)
    values = np.random.default_rng(0).integers(0, 3, 3000).repeat(70)
    assert np.array_equal(unpack_rle(bytes(pack_rle(values)), len(values)), values)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('["road"]', '["road", "car"]', r"task 11: a region of the classes \['road', 'car'\]; each needs one"),
        ('"closed": true', '"closed": false', "task 11: a polygon of class road that is not closed"),
        ('"rle": [0, ', '"rle": [false, ', "task 11: a brush whose run lengths are no list of numbers"),
        ('"format": "rle"', '"format": "png"', "task 11: a brush in format 'png'; expected 'rle'"),
        ('"image_rotation": 0', '"image_rotation": 90', "task 11: labelled on an image turned by 90 degrees"),
        ('"original_width": 64, ', "", "task 11: no key 'original_width'"),
        ("second%20one.jpg", "second", r"task 12: no image among its data \(image\)"),
        ("labels", "keypoints", r"ellipse in 2 annotations; .*1 polygonkeypoints, 1 brushkeypoints"),
    ],
)
def test_broken_label_studio(tmp_path: Path, old: str, new: str, message: str) -> None:
    write_label_studio(tmp_path)
    file = tmp_path / "project-1-at-2026-01-01.json"
    text = json.dumps(label_studio_tasks())
    assert old in text
    file.write_text(text.replace(old, new))
    with pytest.raises(DataError, match=message) as fault:
        open_data(tmp_path)
    assert str(file) in str(fault.value)


def test_a_label_studio_export_that_is_cut_off(tmp_path: Path) -> None:
    write_label_studio(tmp_path)
    file = tmp_path / "project-1-at-2026-01-01.json"
    file.write_text(file.read_text()[:-40])
    with pytest.raises(DataError, match="broken JSON at line 1.*cut off"):
        open_data(tmp_path)


def test_another_json_is_not_label_studio(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"images": [], "annotations": []}')
    (tmp_path / "b.json").write_text('[{"annotations": 3}]')
    with pytest.raises(DataError, match="not laid out as any known layout"):
        open_data(tmp_path)


def test_classes_of_labels_yaml_rename_any_of_them(tmp_path: Path) -> None:
    write_comma10k(tmp_path)
    described = {
        "names": ["drivable", "background"],
        "colors": [[0, 255, 0], [0, 0, 0]],
        "background": "background",
        "classes": {"road": "drivable", "lane markings": "drivable", "my car": "ignore", "*": "background"},
    }
    (tmp_path / "labels.yaml").write_text(yaml.safe_dump(described))
    data = open_data(tmp_path)
    assert data.labels.names == ("drivable", "background")
    assert np.array_equal(data.all_samples[0].label.read(), regions(1, 0, 0))


def write_label_studio_square(root: Path, *images: str) -> None:
    """The left half of the lower half is road, in each of these images."""
    annotations = [{"result": label_studio_tasks()[0]["annotations"][1]["result"][:1]}]  # type: ignore[index]
    (root / "export.json").write_text(
        json.dumps([{"id": k, "annotations": annotations, "data": {"image": image}} for k, image in enumerate(images)])
    )


def found_files(data: RoadData) -> dict[str, list[str]]:
    """Where the labelled images lie, by id, and the rest."""
    named = {sample.id: [sample.image.file.relative_to(data.root).as_posix()] for sample in data.all_samples}  # type: ignore[union-attr]
    return named | {"": sorted(path.relative_to(data.root).as_posix() for path in data.unlabelled)}


def test_label_studio_labels_the_image_that_its_task_names(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.jpg", tmp_path / "images/a.png", tmp_path / "images/b.jpg", tmp_path / "images/b.png")
    write_label_studio_square(tmp_path, "/data/upload/1/abcdef01-a.jpg", "/data/upload/1/abcdef01-b.png")
    expected = {"a": ["a.jpg"], "b": ["images/b.png"], "": ["images/a.png", "images/b.jpg"]}
    assert found_files(open_data(tmp_path)) == expected
    write_label_studio_square(tmp_path, "b.jpg", "b.png")
    with pytest.raises(DataError, match=r"b.jpg and .*b.png: two files of one name, 'b'"):
        open_data(tmp_path)
    write_picture(tmp_path / "images/a.jpg")
    write_label_studio_square(tmp_path, "a.jpg")
    with pytest.raises(DataError, match=r"a.jpg and .*images/a.jpg: two files of one name, 'a.jpg'"):
        open_data(tmp_path)


def test_label_studio_takes_no_other_image_than_the_named_one(tmp_path: Path) -> None:
    write_picture(tmp_path / "images/other.jpg", tmp_path / "images/there.jpg")
    write_label_studio_square(tmp_path, "gone.jpg", "there.jpg")
    file = tmp_path / "export.json"
    tasks = json.loads(file.read_text())
    for task in tasks:
        task["data"] |= {"reference": "/data/upload/1/other.jpg"}
    file.write_text(json.dumps(tasks))
    data = open_data(tmp_path)
    assert found_files(data) == {"there": ["images/there.jpg"], "": ["images/other.jpg"]}
    assert data.orphans == (file / "gone",)
    with pytest.raises(DataError, match=r"export.json/gone: mask without its picture"):
        select_split(data, "all")
    # Where its name says nothing, what was uploaded does.
    tasks[0] |= {"data": {"image": "/tasks/1/image", "reference": "there.jpg"}, "file_upload": "abcdef01-other.jpg"}
    file.write_text(json.dumps(tasks))
    assert found_files(open_data(tmp_path)) == {"other": ["images/other.jpg"], "there": ["images/there.jpg"], "": []}


def test_label_studio_names_in_other_capitals(tmp_path: Path) -> None:
    write_picture(*(tmp_path / f"images/{name}" for name in ("A.jpg", "b.JPG", "c.jpg", "C.jpg", "d.jpg", "D.jpg")))
    write_label_studio_square(tmp_path, "/data/upload/1/abcdef01-a.JPG", "B.jpg", "c.JPG", "D.jpg")
    data = open_data(tmp_path)
    assert found_files(data) == {
        "A": ["images/A.jpg"],
        "b": ["images/b.JPG"],
        "D": ["images/D.jpg"],
        "": ["images/C.jpg", "images/c.jpg", "images/d.jpg"],
    }
    assert [path.name for path in data.orphans] == ["c"]


def test_a_region_of_label_studio_without_a_class(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_picture(tmp_path / "images/first.jpg", tmp_path / "images/second.jpg")
    write_label_studio_square(tmp_path, "first.jpg", "second.jpg")
    file = tmp_path / "export.json"
    tasks = json.loads(file.read_text())
    tasks[1]["annotations"][0]["result"][0]["value"]["polygonlabels"] = []
    file.write_text(json.dumps(tasks))
    assert found_files(open_data(tmp_path)) == {"first": ["images/first.jpg"], "": ["images/second.jpg"]}
    assert "(1 polygonlabels without a class, in 1 images); 1 of these have nothing else" in caplog.text


@pytest.mark.parametrize("num", [70_000, 2**20 - 5, 3 * 2**20])
def test_label_studio_with_much_before_its_annotations(tmp_path: Path, num: int) -> None:
    write_picture(tmp_path / "images/first.jpg")
    write_label_studio_square(tmp_path, "first.jpg")
    file = tmp_path / "export.json"
    said = '"meta": "", '
    filler = "x" * (num - file.read_text().index('"annotations"') - len(said))
    file.write_text(file.read_text().replace('"id"', said.replace('""', f'"{filler}"') + '"id"', 1))
    assert file.read_text().index('"annotations"') == num
    assert list(found_files(open_data(tmp_path))) == ["first", ""]


def test_whole_floats_in_cvat(tmp_path: Path) -> None:
    write_cvat(tmp_path)
    expected = label_map(open_data(tmp_path), "front_0001")
    text = CVAT_XML.replace('z_order="0"', 'z_order="-1.0"').replace('left="60"', 'left="60.0"')
    text = text.replace('rle="1, 3', 'rle="1.0, 3').replace('height="36"', 'height="36.0"')
    (tmp_path / "annotations.xml").write_text(text)
    assert np.array_equal(label_map(open_data(tmp_path), "front_0001"), expected)
    (tmp_path / "annotations.xml").write_text(text.replace('left="60.0"', 'left="60.5"'))
    with pytest.raises(DataError, match="image 'front/0001.jpg': expected a whole number, got '60.5'"):
        open_data(tmp_path)


def test_names_of_cvat_in_other_capitals(tmp_path: Path) -> None:
    (tmp_path / "annotations.xml").write_text(CVAT_XML.replace("front/0001.jpg", "Front/0001.JPG"))
    write_picture(tmp_path / "images/front/0001.jpg", tmp_path / "images/rear/0001.jpg")
    expected = {"Front_0001": ["images/front/0001.jpg"], "rear_0001": ["images/rear/0001.jpg"], "": []}
    assert found_files(open_data(tmp_path)) == expected
    # Which of two is meant nobody knows; a file of exactly that name is no other's.
    write_picture(tmp_path / "images/FRONT/0001.jpg")
    assert [path.name for path in open_data(tmp_path).orphans] == ["Front_0001"]
    (tmp_path / "annotations.xml").write_text(CVAT_XML.replace("front/0001.jpg", "REAR/0001.jpg"))
    data = open_data(tmp_path)
    assert [path.name for path in data.orphans] == ["REAR_0001"]
    assert [sample.id for sample in data.all_samples] == ["rear_0001"]


def test_folders_of_programs_beside_the_images_of_cvat(tmp_path: Path) -> None:
    write_cvat(tmp_path)
    expected = found_files(open_data(tmp_path))
    write_picture(tmp_path / "images/@eaDir/0001.jpg", tmp_path / "images/front/__MACOSX/0001.jpg")
    assert found_files(open_data(tmp_path)) == expected


@pytest.mark.parametrize(
    ("first", "second", "key"),
    [
        ("SegmentationClass/d_e.png", "SegmentationClass/d/e.png", "d_e"),
        ("JPEGImages/d_e.jpg", "JPEGImages/d/e.jpg", "d_e"),
        ("JPEGImages/a.jpg", "JPEGImages/a.png", "a"),
    ],
)
def test_two_files_of_one_id_in_cvat_masks(tmp_path: Path, first: str, second: str, key: str) -> None:
    write_cvat_masks(tmp_path)
    write_picture(tmp_path / first, tmp_path / second)
    with pytest.raises(DataError, match=f"two files of one name, '{key}'"):
        open_data(tmp_path)


def test_an_id_in_two_lists_of_cvat_masks(tmp_path: Path) -> None:
    write_cvat_masks(tmp_path)
    lists = tmp_path / "ImageSets/Segmentation"
    (lists / "trainval.txt").write_text("a\nb\nc\n")
    (lists / "Training.txt").write_text("b\n")  # The same split by another name.
    assert ids(open_data(tmp_path)) == {"train": ["a", "b"], "val": ["c"]}
    (lists / "Validation.txt").write_text("c\nb\n")
    with pytest.raises(DataError, match=r"Segmentation/Validation.txt: 'b' stands in Train.txt too; keep it in one"):
        open_data(tmp_path)
