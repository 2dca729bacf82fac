"""Shapes and the label files that they stand in, down to the pixel."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from drivable.curation.conversion import convert
from drivable.data import open_data, open_labels, read_pair
from drivable.data.formats.label_json import image_id, read_frames
from drivable.data.outlines import box_corners, ellipse_corners, turned
from drivable.data.shapes import Bitmap, Frame, Polygon, Rle, unpack_counts
from drivable.errors import DataError
from drivable.imaging.polygonize import outline_mask
from drivable.imaging.rasterize import cover_ring, fill_ring, flatten_poly2d
from drivable.reading import LIMITS

SQUARE = ((2.0, 3.0), (6.0, 3.0), (6.0, 8.0), (2.0, 8.0))


def test_a_rectangle_fills_its_pixels() -> None:
    mask = fill_ring(np.array(SQUARE), (10, 10))
    expected = np.zeros((10, 10), dtype=bool)
    expected[3:8, 2:6] = True
    assert np.array_equal(mask, expected)
    # Direction does not matter.
    assert np.array_equal(fill_ring(np.array(SQUARE)[::-1], (10, 10)), expected)


def test_a_triangle_against_every_pixel_centre() -> None:
    corners = np.array([(1.3, 0.7), (17.2, 5.1), (6.4, 18.9)])
    rows, columns = np.mgrid[:20, :20]
    sides = [
        (x1 - x0) * (rows - y0) - (y1 - y0) * (columns - x0)
        for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True)
    ]
    assert np.array_equal(fill_ring(corners, (20, 20)), np.all(np.array(sides) >= 0, axis=0))


def test_a_ring_that_crosses_itself_is_filled_by_the_nonzero_rule() -> None:
    twice = np.concatenate([np.array(SQUARE), np.array(SQUARE)])
    assert fill_ring(twice, (10, 10)).sum() == 20


def test_rings_are_clipped_by_the_picture() -> None:
    huge = np.array([(-50.0, -50.0), (50.0, -50.0), (50.0, 50.0), (-50.0, 50.0)])
    assert fill_ring(huge, (4, 5)).all()
    assert not fill_ring(huge + 100, (4, 5)).any()


def test_bezier_letters() -> None:
    points = [(0.0, 0.0), (10.0, 0.0), (20.0, 10.0), (10.0, 20.0), (0.0, 10.0)]
    curve = flatten_poly2d(points, "LLCCC")
    # LCCC and LCCL are the same, whatever the end's letter.
    assert np.array_equal(curve, flatten_poly2d(points, "LLCCL"))
    # The middle of a cubic: (p0 + 3 p1 + 3 p2 + p3) / 8.
    middle = (np.array(points[1]) + 3 * np.array(points[2]) + 3 * np.array(points[3]) + np.array(points[4])) / 8
    assert np.abs(curve - middle).sum(axis=1).min() < 1e-9
    # Trailing CC closes onto the first vertex.
    closing = flatten_poly2d([(0, 0), (8, 0), (8, 8), (0, 8)], "LLCC")
    middle = (np.array([8, 0]) + 3 * np.array([8, 8]) + 3 * np.array([0, 8]) + np.array([0, 0])) / 8
    assert np.abs(closing - middle).sum(axis=1).min() < 1e-9


@pytest.mark.parametrize(
    ("vertices", "types"),
    [([(0, 0), (1, 1)], "LL"), ([(0, 0), (1, 1), (2, 0)], "LLX"), ([(0, 0), (1, 1), (2, 0)], "LL"),
     ([(0, 0), (1, 1), (2, 0)], "CLL"), ([(0, 0), (1, float("nan")), (2, 0)], "LLL"),
     ([(0, 0), (1, float("inf")), (2, 0)], "LLL"), ([(0, 0), (1, 1e308), (2, 0)], "LLL"),
     ([(0, 0), (1, -(2.0**25)), (2, 0)], "LLL")],
)  # fmt: skip
def test_polygons_that_are_none(vertices: list[tuple[float, float]], types: str) -> None:
    with pytest.raises(DataError, match="vertices"):
        flatten_poly2d(vertices, types)


def test_a_polygon_of_too_many_corners(monkeypatch: pytest.MonkeyPatch) -> None:
    corners = [(float(k % 7), float(k)) for k in range(20_001)]
    with pytest.raises(DataError, match="20001 corners of a polygon.*DRIVABLE_MAX_CORNERS raises it"):
        flatten_poly2d(corners, "L" * len(corners))
    assert len(flatten_poly2d(corners[:20_000], "L" * 20_000)) == 20_000
    # A curve counts with the corners that it is drawn with.
    with pytest.raises(DataError, match="21001 corners"):
        flatten_poly2d(corners[:1801], "L" + "CCC" * 600)
    with pytest.raises(DataError, match="DRIVABLE_MAX_CROSSINGS"):
        fill_ring(np.array([(k / 9, k % 2 * 1000.0) for k in range(10_010)]), (1000, 1000))
    monkeypatch.setenv("DRIVABLE_MAX_CORNERS", "30000")
    assert len(flatten_poly2d(corners, "L" * len(corners))) == 20_001


def test_many_shapes_in_a_large_picture() -> None:
    shapes = (Polygon("direct", SQUARE, "LLLL"),) * 101
    with pytest.raises(DataError, match="10100000000 pixels to draw.*DRIVABLE_MAX_DRAWN"):
        Frame("a", shapes).draw({"direct": 0}, (10_000, 10_000), rest=2)


def test_rings_in_portions_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    corners = np.random.default_rng(0).uniform(-5, 45, (40, 2))
    filled, covered = fill_ring(corners, (30, 40)), cover_ring(corners, (30, 40))
    monkeypatch.setattr("drivable.imaging.rasterize._CROSSINGS_AT_ONCE", 7)
    assert np.array_equal(fill_ring(corners, (30, 40)), filled)
    assert np.array_equal(cover_ring(corners, (30, 40)), covered)


def test_what_a_ring_covers_in_part() -> None:
    corners = np.array([(3.2, 2.1), (14.7, 6.3), (7.1, 15.8)])
    fine = fill_ring(corners * 50 + 24.5, (1000, 1000)).reshape(20, 50, 20, 50).any(axis=(1, 3))
    covered = cover_ring(corners, (20, 20))
    # The fine grid misses the smallest of corners.
    assert covered[fine].all()
    assert (covered & ~fine).sum() <= 3
    # Edges between pixels cover none of them.
    assert cover_ring(np.array(SQUARE) - 0.5, (10, 10)).sum() == 20


def test_polygons_of_2021_are_filled_as_its_toolkit_does() -> None:
    # Corners are rounded to those of pixels; of the diagonal, every pixel belongs to it.
    triangle = Polygon("direct", ((0.4, 0.3), (3.6, 0.2), (0.4, 4.4)), "LLL", "covers").mask((5, 5))
    assert np.array_equal(
        triangle, np.array([[1, 1, 1, 1, 0], [1, 1, 1, 0, 0], [1, 1, 0, 0, 0], [1, 0, 0, 0, 0], [0] * 5])
    )


def test_boxes_and_ellipses() -> None:
    assert fill_ring(np.array(box_corners(2, 3, 4, 5)), (10, 10)).sum() == 20
    quarter = np.array(turned(box_corners(5, 2, 4, 2), (5, 2), 90))
    expected = np.zeros((10, 10), dtype=bool)
    expected[2:6, 3:5] = True  # Clockwise about the upper left corner.
    assert np.array_equal(fill_ring(quarter - 1e-6, (10, 10)), expected)
    rows, columns = np.mgrid[:60, :80]
    x, y, angle = columns - 40.2, rows - 30.3, np.radians(30)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    ellipse = fill_ring(np.array(turned(ellipse_corners(40.2, 30.3, 25, 10), (40.2, 30.3), 30)), (60, 80))
    assert np.array_equal(ellipse, (along / 25) ** 2 + (across / 10) ** 2 < 1)
    for nothing in ((0, 0, 0, 1), (0, 0, 1, -1), (0, 0, 1, float("nan"))):
        with pytest.raises(ValueError, match="above zero"):
            box_corners(*nothing)
        with pytest.raises(ValueError, match="above zero"):
            ellipse_corners(*nothing)


@pytest.mark.parametrize("seed", range(40))
def test_outlines_fill_to_the_same_mask(seed: int) -> None:
    # Full of holes, corners and touching diagonals.
    rng = np.random.default_rng(seed)
    mask = rng.random((40, 60) if seed < 5 else rng.integers(1, 6, 2)) > 0.45
    filled, covered = np.zeros_like(mask), np.zeros_like(mask)
    for ring in outline_mask(mask):
        assert np.array_equal(ring % 1, np.full_like(ring, 0.5))
        filled |= fill_ring(ring, mask.shape)
        covered |= cover_ring(ring, mask.shape)
    assert np.array_equal(filled, mask)
    assert np.array_equal(covered, mask)


def test_no_outline_has_more_corners_than_a_reader_allows() -> None:
    mask = np.random.default_rng(0).random((300, 300)) > 0.45
    rings = outline_mask(mask)
    assert LIMITS["DRIVABLE_MAX_CORNERS"][0] // 8 < max(map(len, rings)) <= LIMITS["DRIVABLE_MAX_CORNERS"][0]
    assert np.array_equal(np.any([fill_ring(ring, mask.shape) for ring in rings], axis=0), mask)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("a.JPG", "a"),
        ("x/a.jpeg", "a"),
        ("x\\y\\a.PNG", "a"),
        ("a.b", "a.b"),
        ("../a.jpg", "a"),
        ("C:\\a.b.jpg", "a.b"),
    ],
)
def test_names_of_pictures(name: str, key: str) -> None:
    assert image_id(name) == key


@pytest.mark.parametrize("name", ["", "..", "a/..", "a\x00.jpg", "a\n", "a" * 300])
def test_names_that_are_none(name: str, tmp_path: Path) -> None:
    values = generations()["2021"]
    assert isinstance(values, list)
    (tmp_path / "labels.json").write_text(json.dumps([values[0] | {"name": name}]))
    with pytest.raises(DataError, match=r"labels.json: image id .*expected a file name") as fault:
        open_labels(tmp_path / "labels.json")
    assert "\n" not in str(fault.value)


def test_run_lengths() -> None:
    mask = np.random.default_rng(0).random((13, 17)) > 0.5
    encoded = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert np.array_equal(Rle("direct", encoded["counts"].decode(), (13, 17)).mask((13, 17)), mask)
    flat = mask.T.ravel()
    changes = np.flatnonzero(np.diff(np.concatenate([[False], flat, [not flat[-1]]])))
    counts = tuple(int(n) for n in np.diff(np.concatenate([[0], changes])))
    assert np.array_equal(Rle("direct", counts, (13, 17)).mask((13, 17)), mask)
    with pytest.raises(DataError, match="13x17 for a picture of 20x20"):
        Rle("direct", counts, (13, 17)).mask((20, 20))
    with pytest.raises(DataError, match="add up to 3 pixels, expected 221"):
        Rle("direct", (1, 2), (13, 17)).mask((13, 17))
    with pytest.raises(DataError, match="add up to 221 pixels, expected 221"):
        Rle("direct", (-1, 222), (13, 17)).mask((13, 17))
    with pytest.raises(DataError, match=r"add up to 1000.*\.\.\. pixels, expected 221"):
        Rle("direct", (10**4000,), (13, 17)).mask((13, 17))


@pytest.mark.parametrize("seed", range(20))
def test_compressed_run_lengths_are_unpacked_as_coco_packs_them(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = (
        rng.random(
            (1, 1, 300, 200)[seed % 4],
        )
        > 0.5
    )[:, None] & (rng.random(seed * 40 + 1) > rng.random())
    encoded = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    counts = unpack_counts(encoded["counts"].decode())
    assert sum(counts) == mask.size
    assert np.array_equal(Rle("direct", encoded["counts"].decode(), mask.shape).mask(mask.shape), mask)
    uncompressed = coco_mask.frPyObjects({"counts": counts, "size": list(mask.shape)}, *mask.shape)
    assert uncompressed["counts"] == encoded["counts"]


@pytest.mark.parametrize(
    "text", ["", "0", "oooooooooooooooo0", "~~~", "PP", "\x00", "É", "\ud800", "P" * 1000, "O" * 1000 + "0"]
)
def test_run_lengths_that_lie(text: str) -> None:
    with pytest.raises(DataError, match="run lengths"):
        Rle("direct", text, (4, 5)).mask((4, 5))


def test_later_shapes_cover_earlier_ones() -> None:
    shapes = (
        Polygon("direct", SQUARE, "LLLL"),
        Bitmap("alternative", np.ones((2, 2), dtype=bool), (4, 3)),
        Polygon("ignore", ((0, 0), (2, 0), (2, 2), (0, 2)), "LLLL"),
    )
    label_map = Frame("a", shapes).draw({"direct": 0, "alternative": 1, "ignore": 255}, (10, 10), rest=2)
    assert [(label_map == k).sum() for k in (0, 1, 2, 255)] == [16, 4, 76, 4]
    with pytest.raises(DataError, match="leaves the picture"):
        Bitmap("direct", np.ones((2, 2), dtype=bool), (9, 9)).mask((10, 10))


def test_regions_without_an_area_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    square = {"category": "direct", "poly2d": [{"vertices": SQUARE, "types": "LLLL"}]}
    box = {"category": "alternative", "box2d": {"x1": 1, "y1": 1, "x2": 5, "y2": 5}}
    frames = [{"name": "a.jpg", "labels": [square, box]}, {"name": "b.jpg", "labels": [box, box]}]
    (tmp_path / "labels_val.json").write_text(json.dumps([*frames, {"name": "c.jpg", "labels": []}]))
    data = open_labels(tmp_path / "labels_val.json")
    # What cannot be drawn is no label of an empty picture.
    assert [sample.id for sample in data.all_samples] == ["a", "c"]
    assert (
        "labels_val.json: regions that cannot be drawn are left out (3 without poly2d and rle, in 2 images); 1 "
        in caplog.text
    )


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("Direct", "direct"),
        (" ALTERNATIVE", "alternative"),
        ("Unknown", "ignore"),
        ("area/Drivable", "direct"),
        ("area/Direct", "direct"),
        ("area/main", None),
        ("Drivable path", None),
        ("driveable_area", None),
        ("directArea", None),
        ("car", ""),
        ("direction arrow", ""),
        (3, ""),
    ],
)
@pytest.mark.parametrize("generation", ["2018", "2021", "rle", "coco"])
def test_other_spellings_of_classes(generation: str, said: object, name: str | None, tmp_path: Path) -> None:
    known = "area/drivable" if generation == "2018" else "direct"
    text = json.dumps(generations()[generation])
    assert f'"{known}"' in text
    (tmp_path / "labels.json").write_text(text.replace(f'"{known}"', json.dumps(said)))
    (frame,) = read_frames(tmp_path / "labels.json")
    assert [shape.name for shape in frame.shapes] == ([name] if name else [])
    # An area that nobody can draw is no empty picture; a car alone is one.
    assert frame.is_labelled == (name is not None)
    assert dict(frame.undrawn) == ({} if name is not None else {f"of the unknown class '{said}'": 1})


@pytest.mark.parametrize(
    ("said", "name"), [("Direct", "direct"), ("alternative ", "alternative"), ("main", None), ("", None), (None, None)]
)
@pytest.mark.parametrize("category", ["drivable area", "Drivable Area"])
def test_other_spellings_of_area_types(category: str, said: object, name: str | None, tmp_path: Path) -> None:
    text = json.dumps(generations()["2018-08"]).replace("drivable area", category)
    (tmp_path / "labels.json").write_text(text.replace('"direct"', json.dumps(said)))
    (frame,) = read_frames(tmp_path / "labels.json")
    assert [shape.name for shape in frame.shapes] == ([name] if name else [])
    assert frame.is_labelled == (name is not None)


def test_areas_of_unknown_classes_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "labels_val.json"
    known, unknown = {"category": "direct"}, {"category": "Drivable path"}
    ring = {"poly2d": [{"vertices": SQUARE, "types": "LLLL"}]}
    frames = [{"name": "a.jpg", "labels": [known | ring]}, {"name": "b.jpg", "labels": [unknown | ring]}]
    file.write_text(json.dumps(frames))
    assert [sample.id for sample in open_labels(file).all_samples] == ["a"]
    assert "(1 of the unknown class 'Drivable path', in 1 images); 1 of these have nothing else" in caplog.text
    file.write_text(json.dumps(frames[1:]))
    with pytest.raises(DataError, match="none of 1 labelled pictures has a drivable area; .* class 'Drivable path'"):
        open_labels(file)


def generations(name: str = "b1c66a42-6f7d68ca") -> dict[str, object]:
    """The same square in every generation of BDD100K's JSON."""
    square = [list(point) for point in SQUARE]
    rle = coco_mask.encode(np.asfortranarray(fill_ring(np.array(SQUARE), (10, 12)).astype(np.uint8)))
    counts = {"counts": rle["counts"].decode(), "size": [10, 12]}
    attributes = {"weather": "rainy", "scene": "highway", "timeofday": "night"}
    poly2d = [{"vertices": square, "types": "LLLL", "closed": True}]
    lane = {"category": "lane", "attributes": {}, "poly2d": [{"vertices": square[:2], "types": "LL", "closed": False}]}
    frame = {"name": f"{name}.jpg", "attributes": attributes}
    area = {"category": "drivable area", "attributes": {"areaType": "direct"}, "poly2d": poly2d}
    return {
        "2018": {
            "name": name,
            "attributes": attributes,
            "frames": [
                {"timestamp": 10000, "objects": [
                    {"category": "area/drivable", "id": 0, "poly2d": [[*point, "L"] for point in square]},
                    {"category": "lane/road curb", "id": 1, "poly2d": [[*point, "L"] for point in square[:2]]},
                    {"category": "car", "id": 2, "box2d": {}},
                ]},
            ],
        },
        "2018-08": [frame | {"labels": [area, lane]}],
        "2021": [frame | {"labels": [{"id": "1", "category": "direct", "poly2d": poly2d}]}],
        "2021 in a mapping": {"frames": [frame | {"labels": [{"category": "direct", "poly2d": poly2d}]}], "config": {}},
        "rle": [frame | {"labels": [{"id": "1", "category": "direct", "rle": counts}]}],
        "coco": {
            "images": [{"id": 7, "file_name": f"{name}.jpg", "height": 10, "width": 12, "attributes": attributes}],
            "categories": [{"id": 1, "name": "direct"}],
            "annotations": [{"id": 1, "image_id": 7, "category_id": 1, "segmentation": counts}],
        },
    }  # fmt: skip


@pytest.mark.parametrize("generation", generations())
def test_every_generation_says_the_same(generation: str, tmp_path: Path) -> None:
    file = tmp_path / "labels_val.json"
    file.write_text(json.dumps(generations()[generation]))
    (frame,) = read_frames(file)
    assert frame.id == "b1c66a42-6f7d68ca"
    assert frame.attributes == {"weather": "rainy", "scene": "highway", "timeofday": "night"}
    assert [shape.name for shape in frame.shapes] == ["direct"]
    mask = frame.shapes[0].mask((10, 12))
    inside = fill_ring(np.array(SQUARE), (10, 12))
    # The masks of 2018 were drawn with an outline.
    assert mask[inside].all()
    assert (mask.sum() == 20) == (not generation.startswith("2018"))
    data = open_labels(file)
    assert list(data.samples) == ["val"]
    assert data.attributes["b1c66a42-6f7d68ca"]["weather"] == "rainy"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "DRIVABLE_MAX_DEPTH"),
        ('[{"name": "a.jpg", "size": {"width": 50000, "height": 50000}}]', "2500000000 pixels .*DRIVABLE_MAX_PIXELS"),
        ('[{"name": "a.jpg", "size": {"width": Infinity, "height": 5}}]', "a size of 5 x inf"),
        ('[{"name": "a.jpg", "size": {"width": -4, "height": 5}}]', "a size of 5 x -4"),
        ('[{"name": "a.jpg", "size": {"width": "4", "height": 5}}]', "a size of 5 x 4; expected pixels"),
        ('[{"name": null, "labels": []}]', "not of drivable-area labels"),
        (
            '[{"name": "a", "labels": [{"category": "direct", "poly2d": [{"vertices": [["1", 2]], "types": "L"}]}]}]',
            "expected a number, got '1'",
        ),
        (
            '[{"name": "a.jpg", "labels": [{"category": "direct", "rle": {"counts": [1e3], "size": [5, 5]}}]}]',
            "run lengths that are no whole numbers",
        ),
        ('[{"name": "a.jpg", "labels": [{"cat', r"broken JSON at line 1, column \d+ .*cut off"),
        ('[{"name": "a.jpg", "labels": [{"id": 1}]}]', "no key 'category'"),
        ('{"a": 1}', "no key 'frames'"),
        ("[1, 2]", "not of drivable-area labels"),
        ('[{"name": "a.jpg", "labels": []}]', "none of 1 labelled pictures has a drivable area"),
        ("", "broken JSON"),
        (
            '[{"name": "a.jpg", "labels": [{"category": "direct", "rle": {"counts": "", "size": [0, 0]}}]}]',
            "a size of 0 x 0",
        ),
    ],
)
def test_label_files_that_are_none(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "labels.json"
    file.write_text(text)
    with pytest.raises(DataError, match=message) as fault:
        open_labels(file)
    assert "labels.json" in str(fault.value)
    assert "\n" not in str(fault.value)


def test_a_picture_labelled_twice(tmp_path: Path) -> None:
    values = generations()["2021"]
    assert isinstance(values, list)
    (tmp_path / "labels.json").write_text(json.dumps(values * 2))
    with pytest.raises(DataError, match="labelled twice"):
        open_labels(tmp_path / "labels.json")


@pytest.mark.parametrize("generation", ["2018", "2021", "coco"])
@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"weather": "\ud800"}, r"attribute 'weather': expected text in UTF-8, got '\\ud800'"),
        ({"weather": "\udc80"}, r"expected text in UTF-8, got '\\udc80'"),
        ({"wea\ud800ther": "rainy"}, "expected text in UTF-8"),
        ({"weather": "a\0b"}, "expected text in UTF-8"),
        ({"weather": "x" * 10_001}, "attribute 'weather': 10001 characters, more than 10000"),
        ({"x" * 10_001: "rainy"}, "10001 characters, more than 10000"),
    ],
)
def test_attributes_that_no_table_holds(
    generation: str, attributes: dict[str, str], message: str, tmp_path: Path
) -> None:
    text = json.dumps(generations()[generation])
    (tmp_path / "labels.json").write_text(text.replace('"weather": "rainy"', json.dumps(attributes)[1:-1]))
    with pytest.raises(DataError, match=rf"labels\.json: .*{message}"):
        read_frames(tmp_path / "labels.json")


def test_an_attribute_called_id_is_not_the_image_s(tmp_path: Path) -> None:
    text = json.dumps(generations()["2021"])
    (tmp_path / "labels.json").write_text(text.replace('"weather"', '"id": "other", "": "nameless", "weather"'))
    convert(open_labels(tmp_path / "labels.json"), tmp_path / "out", "bdd100k-masks")
    assert (tmp_path / "out/attributes.csv").read_text() == (
        "id,weather,scene,timeofday\nb1c66a42-6f7d68ca,rainy,highway,night\n"
    )


@pytest.mark.parametrize("kind", ["images", "categories"])
def test_coco_s_ids_stand_for_one_thing_each(kind: str, tmp_path: Path) -> None:
    values = generations()["coco"]
    assert isinstance(values, dict)
    (entry,) = values[kind]
    values[kind].append(entry | {"name": "alternative", "file_name": "b.jpg"})
    (tmp_path / "labels.json").write_text(json.dumps(values))
    said = f"labels.json: the id {entry['id']} stands for several of the {kind}; number them anew"
    with pytest.raises(DataError, match=re.escape(said)):
        read_frames(tmp_path / "labels.json")


def test_a_folder_of_labels_of_two_kinds(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"found 1 \*\.png, 1 \*\.json"):
        open_labels(tmp_path)


def test_polygons_of_a_shrunken_picture(tmp_path: Path) -> None:
    name = "b1c66a42-6f7d68ca"
    (tmp_path / "images/100k/val").mkdir(parents=True)
    (tmp_path / "labels/drivable/polygons").mkdir(parents=True)
    corners = [[200, 400], [600, 400], [600, 700], [200, 700]]
    label = {"category": "direct", "poly2d": [{"vertices": corners, "types": "LLLL", "closed": True}]}
    frames: list[dict[str, object]] = [{"name": f"{name}.jpg", "labels": [label]}]
    (tmp_path / "labels/drivable/polygons/drivable_val.json").write_text(json.dumps(frames))
    # All of BDD100K's pictures were 720x1280 when they were labelled.
    Image.new("RGB", (640, 360)).save(tmp_path / f"images/100k/val/{name}.jpg")
    label_map = open_data(tmp_path).all_samples[0].label.read()
    assert label_map.shape == (360, 640)
    assert (label_map[200:350, 100:300] == 0).all()
    assert (label_map == 0).sum() == 150 * 200
    # Another size is what the frame says.
    frames[0]["size"] = {"width": 640, "height": 720}
    (tmp_path / "labels/drivable/polygons/drivable_val.json").write_text(json.dumps(frames))
    with pytest.raises(DataError, match="the mask is 720x640 and the picture 360x640"):
        read_pair(open_data(tmp_path).all_samples[0])


def test_a_label_file_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text(json.dumps(generations()["2021"]), encoding="utf-8-sig")
    assert [frame.id for frame in read_frames(tmp_path / "labels.json")] == ["b1c66a42-6f7d68ca"]


@pytest.mark.real
def test_real_polygons_give_the_official_masks(real_data: Path) -> None:
    formats = real_data / "bdd100k-formats"
    drawn = {s.id: s.label.read() for s in open_labels(formats / "json-2018-per-image").all_samples}
    official = {s.id: s.label.read() for s in open_labels(formats / "masks-2018").all_samples}
    assert drawn.keys() == official.keys()
    assert len(drawn) == 4
    for key, label_map in official.items():
        for class_id in np.unique(label_map):
            ours, theirs = drawn[key] == class_id, label_map == class_id
            assert (ours & theirs).sum() / (ours | theirs).sum() > 0.99, (key, class_id)


@pytest.mark.real
def test_real_aggregated_labels(real_data: Path) -> None:
    folder = real_data / "bdd100k-formats/json-2018-08-aggregated"
    data = open_labels(folder)
    assert {split: len(samples) for split, samples in data.samples.items()} == {"train": 12, "val": 11}
    assert all(set(values) == {"weather", "scene", "timeofday"} for values in data.attributes.values())
    # Those of them that are among the real pictures, whose masks were shrunk by the nearest pixel.
    masks = real_data / "bdd100k/labels/drivable/masks/train"
    shared = [s for s in data.all_samples if (masks / f"{s.id}.png").is_file()]
    assert len(shared) == 4
    for sample in shared:
        ours, theirs = sample.label.read()[::2, ::2], np.asarray(Image.open(masks / f"{sample.id}.png"))
        assert ((ours == 0) & (theirs == 0)).sum() / ((ours == 0) | (theirs == 0)).sum() > 0.99
