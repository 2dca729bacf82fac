"""Every runtime takes the same images, gives the same kind of answer, and may be called from several threads."""

import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_mask

import drivable
from drivable.checkpoint import find_checkpoint, load_checkpoint
from drivable.data.shapes import Rle
from drivable.errors import ConfigError, DataError, OutputError
from drivable.export import ExportSettings, onnx_file, rendered_pictures
from drivable.export.conversion import convert
from drivable.imaging.images import read_image
from drivable.imaging.rasterize import fill_ring
from drivable.labels import BDD100K_DRIVABLE
from drivable.segmenter import Segmentation, Segmenter, TorchSegmenter, load
from drivable.segmenter.description import ExportDescription
from drivable.synthetic import render, sample_scene

SIZE = (96, 160)
TARGETS = {"onnx": ".onnx", "openvino": ".xml", "torchscript": ".torchscript", "torch-export": ".pt2"}
RUNTIMES = {"torch": "torch", "onnx": "onnxruntime", "openvino": "openvino", "torchscript": "torchscript"}
RUNTIMES["torch-export"] = "pt2"
# An export takes many seconds.
BY_TIME = [pytest.param(name, marks=[] if name == "torch" else [pytest.mark.slow]) for name in RUNTIMES]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Segmenter]:
    """From a runtime and what it puts out to a segmenter of the shipped model; each is made once."""
    folder = tmp_path_factory.mktemp("exported")
    checkpoint = load_checkpoint(find_checkpoint("drivable-lite"))
    to_onnx = onnx_file.to_onnx
    once: dict[str, Any] = {}

    @cache
    def segmenter(target: str, outputs: str = "probabilities") -> Segmenter:
        if target == "torch":
            return TorchSegmenter(checkpoint, "cpu")
        path = folder / f"{outputs}{TARGETS[target]}"
        settings = ExportSettings(target, "fp32", SIZE, outputs)  # type: ignore[arg-type]

        def to_onnx_once(graph: Any) -> Any:
            if outputs not in once:
                once[outputs] = to_onnx(graph)
            return deepcopy(once[outputs])

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(onnx_file, "to_onnx", to_onnx_once)
            candidates, _ = convert(checkpoint, settings, rendered_pictures())
        spec = checkpoint.spec.model_dump(mode="json")
        about = ExportDescription(checkpoint.labels, spec, "", "fp32", SIZE, outputs, "exact", None, None)
        candidates[0]()[0](path, about)
        return load(path, "cpu")

    return segmenter


@pytest.fixture(scope="module", params=BY_TIME)
def segmenter(request: pytest.FixtureRequest, make: Callable[..., Segmenter]) -> Segmenter:
    return make(request.param)


@pytest.fixture(scope="module")
def in_torch(make: Callable[..., Segmenter]) -> Segmenter:
    return make("torch")


@cache
def road(seed: int = 0, size: tuple[int, int] = (90, 150)) -> np.ndarray:
    return render(sample_scene(np.random.default_rng(seed), size)).image


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("images") / "road.png"
    Image.fromarray(road()).save(path)
    return path


@pytest.fixture(scope="module")
def result(in_torch: Segmenter, file: Path) -> Segmentation:
    return in_torch(file, probabilities=True)


CHANNELS_FIRST = (2, 0, 1)
KINDS: dict[str, Callable[[Path], Any]] = {
    "text": str,
    "path": Path,
    "array": read_image,
    "array in float": lambda file: read_image(file) / np.float32(255),
    "array that is not contiguous": lambda file: np.ascontiguousarray(read_image(file)[..., ::-1])[..., ::-1],
    "PIL image": Image.open,
    "PIL image with a palette's transparency": lambda file: Image.open(file).convert("RGBA"),
    "tensor, channels first": lambda file: torch.tensor(read_image(file).transpose(CHANNELS_FIRST)),
    "tensor, channels last": lambda file: torch.tensor(read_image(file)),
    "tensor in float": lambda file: torch.tensor(read_image(file).transpose(CHANNELS_FIRST) / 255),
    "tensor in float16": lambda file: torch.tensor(read_image(file).transpose(CHANNELS_FIRST) / 255).half(),
    "tensor with a gradient": lambda file: torch.tensor(read_image(file) / 255, requires_grad=True),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_input_gives_the_same_label_map(kind: str, segmenter: Segmenter, file: Path) -> None:
    expected = segmenter.segment(road())
    assert len(np.unique(expected)) > 1
    answer = segmenter(KINDS[kind](file))
    assert answer.label_map.dtype == np.uint8
    np.testing.assert_array_equal(answer.label_map, expected)
    np.testing.assert_array_equal(answer.image, road())
    assert answer.probabilities is None
    assert answer.labels == segmenter.labels
    assert answer.source == (str(file) if kind in ("text", "path", "PIL image") else None)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_pil_image_is_turned_as_its_file_is(orientation: int, in_torch: Segmenter, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(road()).save(tmp_path / "turned.png", exif=exif)
    opened = Image.open(tmp_path / "turned.png")
    before = opened.size
    by_pil, by_path = in_torch(opened), in_torch(tmp_path / "turned.png")
    np.testing.assert_array_equal(by_pil.image, by_path.image)
    assert by_pil.label_map.shape == ((150, 90) if orientation > 4 else (90, 150))
    assert opened.size == before, "the caller's image stays as it is"


@pytest.mark.parametrize("mode", ["L", "P", "1", "LA", "CMYK", "I;16"])
def test_a_pil_image_of_any_mode_is_read_as_its_file_is(mode: str, in_torch: Segmenter, tmp_path: Path) -> None:
    image = Image.fromarray(road())
    path = tmp_path / ("image.tif" if mode == "CMYK" else "image.png")
    if mode == "I;16":
        Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257).save(path)
    else:
        image.convert(mode).save(path)
    np.testing.assert_array_equal(in_torch(Image.open(path)).image, in_torch(path).image)


GRAY = np.zeros((90, 150), dtype=np.uint8)
WRONG: dict[str, tuple[Any, str]] = {
    "address": ("https://anna:secret@host/road.jpg", r"https://\*\*\*@host/road.jpg: an address, not a file; download"),
    "address as a path": (Path("http://host/road.jpg"), "an address, not a file"),
    "address of a store": ("s3://bucket/road.jpg", "an address, not a file"),
    "no path": ("", "not the path of an image"),
    "missing file": ("no/such/road.jpg", r"no/such/road.jpg: no such"),
    "folder": (Path(__file__).parent, "contracts: "),
    "not an image": (Path(__file__), "test_segmenters.py: not a"),
    "gray": (GRAY, r"image: expected RGB \(H, W, 3\), got uint8 \(90, 150\); repeat gray in three channels"),
    "gray with an axis": (GRAY[..., None], "image.repeat"),
    "four channels": (np.zeros((9, 9, 4), dtype=np.uint8), "leave out the fourth channel"),
    "channels first": (np.zeros((3, 90, 150), dtype=np.uint8), "put the channels last"),
    "several": (np.zeros((2, 90, 150, 3), dtype=np.uint8), "segmenter.batch"),
    "no pixels": (np.zeros((0, 9, 3), dtype=np.uint8), "no pixels"),
    "integers": (np.zeros((9, 9, 3), dtype=np.int64), "got int64 .* must be uint8, or floating point in 0..1"),
    "truth values": (np.zeros((9, 9, 3), dtype=bool), "must be uint8"),
    "objects": (np.empty((9, 9, 3), dtype=object), "must be uint8"),
    "float of 0..255": (np.full((9, 9, 3), 255.0), "of 255 to 255; floating point must be in 0..1"),
    "normalised float": (np.full((9, 9, 3), -1.5), "must be in 0..1"),
    "NaN": (np.full((9, 9, 3), np.nan), "must be in 0..1"),
    "ambiguous tensor": (torch.zeros(3, 90, 3), "may have its channels first or last"),
    "gray tensor": (torch.zeros(1, 90, 150), "three channels"),
    "several tensors": (torch.zeros(1, 3, 90, 150), "segmenter.batch"),
    "integer tensor": (torch.zeros(3, 90, 150, dtype=torch.int64), "got int64"),
    "tensor without values": (torch.zeros(3, 90, 150, device="meta"), "cannot become an array"),
    "sparse tensor": (torch.zeros(90, 150, 3).to_sparse(), "cannot become an array"),
    "nothing": (None, "expected a path, a NumPy array, a PIL image or a torch tensor, got NoneType"),
    "list": ([[[0, 0, 0]]], "got list"),
    "bytes": (b"\xff\xd8", "got bytes"),
    "PIL image without pixels": (Image.new("RGB", (0, 5)), "image: a size of 5 x 0"),
    "PIL image of floats": (Image.new("F", (9, 9)), "mode F"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_not_an_image_is_refused_in_one_line(kind: str, in_torch: Segmenter) -> None:
    image, message = WRONG[kind]
    with pytest.raises(DataError, match=message) as caught:
        in_torch(image)
    assert "\n" not in str(caught.value)


def test_a_pil_image_that_ends_early_is_refused(in_torch: Segmenter, file: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.png").write_bytes(file.read_bytes()[:900])
    with pytest.raises(DataError, match="image: broken image"):
        in_torch(Image.open(tmp_path / "cut.png"))


def test_a_pil_image_has_the_limit_of_its_file(in_torch: Segmenter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIVABLE_MAX_PIXELS", "1000")
    with pytest.raises(DataError, match="image: 13500 pixels .* more than the limit of 1000; DRIVABLE_MAX_PIXELS"):
        in_torch(Image.fromarray(road()))


def test_a_batch_answers_in_order(segmenter: Segmenter, file: Path) -> None:
    images = [road(1), file, road(2, (60, 100)), Image.fromarray(road(3)), road(4, (60, 100))]
    answers = segmenter.batch(iter(images))
    assert [answer.label_map.shape for answer in answers] == [(90, 150), (90, 150), (60, 100), (90, 150), (60, 100)]
    assert [answer.source for answer in answers] == [None, str(file), None, None, None]
    for answer, image in zip(answers, images, strict=True):
        np.testing.assert_array_equal(answer.label_map, segmenter(image).label_map)
    assert segmenter.batch([]) == []


def test_a_batch_may_be_one_array_or_tensor(in_torch: Segmenter) -> None:
    stacked = np.stack([road(1), road(2)])
    expected = in_torch.segment_batch([road(1), road(2)])
    tensor = torch.tensor(stacked).permute(0, 3, 1, 2)
    for images in (stacked, tensor):
        answers = [answer.label_map for answer in in_torch.batch(images)]
        np.testing.assert_array_equal(answers, expected)


@pytest.mark.parametrize("one", ["road.jpg", Path("road.jpg"), road(), Image.fromarray(road()), torch.zeros(3, 9, 9)])
def test_a_batch_of_one_image_alone_is_refused(one: Any, in_torch: Segmenter) -> None:
    with pytest.raises(DataError, match="batch takes several images, got one"):
        in_torch.batch(one)


def test_a_batch_names_the_image_that_is_wrong(in_torch: Segmenter) -> None:
    with pytest.raises(DataError, match=r"image 1 of the batch: expected RGB"):
        in_torch.batch([road(), GRAY])


def test_probabilities_are_given_where_asked_for(segmenter: Segmenter) -> None:
    images = [road(1), road(2, (60, 100)), road(3)]
    for image, answer in zip(images, segmenter.batch(images, probabilities=True), strict=True):
        probabilities = answer.probabilities
        assert probabilities is not None
        assert probabilities.dtype == np.float32
        np.testing.assert_allclose(probabilities.sum(axis=0), 1, atol=1e-4)
        np.testing.assert_allclose(probabilities, segmenter.probabilities(image), atol=1e-4)
        np.testing.assert_array_equal(answer.label_map, segmenter.labels.most_probable(probabilities))
        assert (answer.label_map == segmenter(image).label_map).mean() > 0.999
        np.testing.assert_array_equal(answer.confidence, probabilities.max(axis=0))


@pytest.mark.slow
def test_an_export_of_ids_has_no_probabilities(make: Callable[..., Segmenter]) -> None:
    segmenter = make("torchscript", "ids")
    assert segmenter(road()).label_map.shape == (90, 150)
    with pytest.raises(ConfigError, match="puts out ids only; export it with --outputs probabilities"):
        segmenter(road(), probabilities=True)


@pytest.mark.parametrize("target", BY_TIME)
def test_a_segmenter_says_how_it_computes(target: str, make: Callable[..., Segmenter]) -> None:
    segmenter = make(target)
    info = segmenter.info
    assert (info.runtime, info.device, info.precision) == (RUNTIMES[target], "cpu", "fp32")
    assert info.labels == segmenter.labels
    assert info.calibration == segmenter.origin.calibration
    if target == "torch":
        assert info.working_size == segmenter.checkpoint.preprocessing.size  # type: ignore[attr-defined]
    else:
        assert info.working_size == SIZE


@pytest.mark.parametrize("probabilities", [False, True])
@pytest.mark.parametrize("num_sizes", [1, 5])
def test_several_threads_get_the_answers_of_one(segmenter: Segmenter, num_sizes: int, probabilities: bool) -> None:
    images = [road(seed, (90 + 10 * (seed % num_sizes), 150)) for seed in range(5)]

    def answer(index: int) -> np.ndarray:
        result = segmenter(images[index], probabilities=probabilities)
        return result.label_map if result.probabilities is None else result.probabilities

    expected = [answer(index) for index in range(5)]
    together = [segmenter.segment_batch(images[:3])]
    # Each thread takes them in another order, and again, so that different images meet.
    orders = [[(start + step) % 5 for step in range(5)] * 2 for start in range(4)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda order: [answer(index) for index in order], orders))
        together += pool.map(segmenter.segment_batch, [images[:3]] * 4)
    for order, found in zip(orders, answers, strict=True):
        for index, one in zip(order, found, strict=True):
            if probabilities:
                np.testing.assert_allclose(one, expected[index], atol=1e-5)
            else:
                assert (one == expected[index]).mean() > 0.9995
    for found in together[1:]:
        for one, other in zip(found, together[0], strict=True):
            np.testing.assert_array_equal(one, other)


def test_masks_and_shares_belong_together(result: Segmentation) -> None:
    masks = [result.mask(name) for name in result.labels.names]
    assert all(mask.dtype == bool for mask in masks)
    np.testing.assert_array_equal(np.sum(masks, axis=0), 1)
    assert sum(map(result.share, result.labels.names)) == pytest.approx(1)
    assert result.share("direct") == masks[0].mean() > 0


@pytest.mark.parametrize("method", ["mask", "share", "polygons"])
def test_an_unknown_class_names_the_nearest(method: str, result: Segmentation) -> None:
    with pytest.raises(ConfigError, match="class 'directt': did you mean 'direct'"):
        getattr(result, method)("directt")


def test_confidence_without_probabilities_says_what_to_do(in_torch: Segmenter) -> None:
    with pytest.raises(ConfigError, match=r"call segmenter\(image, probabilities=True\)"):
        _ = in_torch(road()).confidence


def test_polygons_follow_the_mask(result: Segmentation) -> None:
    mask = result.mask("direct")
    exact = np.logical_or.reduce([fill_ring(ring, mask.shape) for ring in result.polygons("direct", tolerance=0)])
    np.testing.assert_array_equal(exact, mask)
    rings = result.polygons("direct")
    near = np.logical_or.reduce([fill_ring(ring, mask.shape) for ring in rings])
    assert (near & mask).sum() / (near | mask).sum() > 0.95
    assert sum(map(len, rings)) < sum(map(len, result.polygons("direct", tolerance=0)))
    assert all(ring.shape[1] == 2 and ring.dtype == np.float64 for ring in rings)


@pytest.mark.parametrize("tolerance", [-1, float("nan"), float("inf")])
def test_a_tolerance_is_a_distance(tolerance: float, result: Segmentation) -> None:
    with pytest.raises(ConfigError, match="tolerance must be"):
        result.polygons("direct", tolerance=tolerance)


def test_the_overlay_tints_the_image(result: Segmentation) -> None:
    np.testing.assert_array_equal(result.overlay(), drivable.draw_overlay(result.image, result.label_map))
    np.testing.assert_array_equal(result.overlay(opacity=0), result.image)
    with pytest.raises(ConfigError, match="opacity must be 0..1"):
        result.overlay(opacity=45)


def test_what_is_saved_is_read_back(result: Segmentation, tmp_path: Path) -> None:
    assert result.save(tmp_path / "new" / "ids.png") == tmp_path / "new" / "ids.png"
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "new/ids.png")), result.label_map)
    result.save(str(tmp_path / "overlay.png"), what="overlay")
    np.testing.assert_array_equal(read_image(tmp_path / "overlay.png"), result.overlay())
    result.save(tmp_path / "overlay.JPG", what="overlay")
    difference = read_image(tmp_path / "overlay.JPG").astype(int) - result.overlay()
    assert np.abs(difference).mean() < 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "overlay.JPG", "overlay.png"]


@pytest.mark.parametrize(
    ("name", "what", "message"),
    [
        ("ids.jpg", "labels", r"labels cannot be saved as .jpg; choose .png; or what='overlay'"),
        ("ids", "labels", "cannot be saved as no suffix; choose .png"),
        ("overlay.gif", "overlay", "overlay cannot be saved as .gif; choose .jpg"),
        ("ids.png", "overlai", "what='overlai': did you mean 'overlay'"),
    ],
)
def test_a_suffix_that_is_no_format_is_refused(
    name: str, what: Any, message: str, result: Segmentation, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        result.save(tmp_path / name, what)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_not_writable_is_an_output_error(result: Segmentation, file: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        result.save(file / "ids.png")


def test_json_holds_the_label_map(result: Segmentation, file: Path) -> None:
    values = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert values["source"] == str(file)
    assert values["size"] == [90, 150]
    assert values["labels"] == BDD100K_DRIVABLE.to_dict()
    ours, cocos = np.full((2, 90, 150), 255, dtype=np.uint8)
    for entry in values["classes"]:
        size, counts = tuple(entry["rle"]["size"]), entry["rle"]["counts"]
        ours[Rle(entry["name"], counts, size).mask((90, 150))] = entry["id"]
        cocos[coco_mask.decode(entry["rle"]).astype(bool)] = entry["id"]
        assert entry["share"] == result.share(entry["name"])
    np.testing.assert_array_equal(ours, result.label_map)
    np.testing.assert_array_equal(cocos, result.label_map)


def test_a_segmentation_tells_itself(result: Segmentation, file: Path) -> None:
    share = 100 * result.share("direct")
    assert repr(result).startswith(f"Segmentation(90x150, direct {share:.1f} %, alternative ")
    assert repr(result).endswith(f", source={str(file)!r})")
    assert "source" not in repr(Segmentation(result.image, result.label_map, result.labels))


def test_a_notebook_shows_the_overlay(result: Segmentation, tmp_path: Path) -> None:
    (tmp_path / "shown.png").write_bytes(result._repr_png_())
    np.testing.assert_array_equal(read_image(tmp_path / "shown.png"), result.overlay())
    large = np.zeros((1000, 2560, 3), dtype=np.uint8)
    (tmp_path / "large.png").write_bytes(Segmentation(large, large[..., 0], result.labels)._repr_png_())
    assert read_image(tmp_path / "large.png").shape == (500, 1280, 3)


def test_arrays_that_do_not_belong_together_are_refused() -> None:
    image, label_map = np.zeros((9, 8, 3), dtype=np.uint8), np.zeros((9, 8), dtype=np.uint8)
    for wrong in (label_map[:5], label_map[..., None], label_map[:0]):
        with pytest.raises(DataError, match="does not belong"):
            Segmentation(image, wrong, BDD100K_DRIVABLE)
    with pytest.raises(DataError, match=r"expected probabilities \(3, 9, 8\)"):
        Segmentation(image, label_map, BDD100K_DRIVABLE, np.zeros((2, 9, 8), dtype=np.float32))


def test_a_segmentation_needs_no_torch() -> None:
    code = """
import sys
import numpy as np
import drivable
from drivable.labels import BDD100K_DRIVABLE
from drivable.segmenter.inputs import take_image
image, _ = take_image(np.zeros((9, 8, 3), dtype=np.uint8))
result = drivable.Segmentation(image, np.zeros((9, 8), dtype=np.uint8), BDD100K_DRIVABLE)
result.overlay(), result.to_dict(), result.polygons("direct"), repr(result)
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_package_lists_its_names() -> None:
    assert dir(drivable) == sorted(drivable.__all__)
    assert {"Segmentation", "Segmenter", "load"} <= set(dir(drivable))
    assert all(getattr(drivable, name) is not None for name in dir(drivable))
    assert drivable.Segmentation is Segmentation
