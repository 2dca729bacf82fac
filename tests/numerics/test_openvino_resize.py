"""The resize in int8 against torch's."""

import numpy as np
import pytest
import torch

from drivable.data.rendered import render, sample_scene
from drivable.models.resizing import resize_pixels
from drivable.segmenter.description import PIXELS
from drivable.segmenter.openvino_resize import resize_in_int8

openvino = pytest.importorskip("openvino")


@pytest.mark.parametrize(
    ("size", "working", "most_off"),
    [
        ((360, 640), (256, 448), 0.2),
        ((720, 1280), (256, 448), 0.2),
        ((180, 320), (256, 448), 0.2),
        ((480, 848), (256, 448), 0.2),
        ((360, 448), (256, 448), 0.01),
        ((256, 448), (256, 448), 0.01),
        ((31, 33), (32, 32), 0.2),
    ],
)
def test_resizing_in_int8_is_a_grey_level_off_at_most(
    size: tuple[int, int], working: tuple[int, int], most_off: float
) -> None:
    graph = _resizing_graph(size, working)
    resize_in_int8(graph)
    image = render(sample_scene(np.random.default_rng(0), size)).image
    answer = openvino.compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([image[None]])[0]
    off = np.abs(answer - resize_pixels(torch.from_numpy(image).permute(2, 0, 1)[None], working).numpy())
    assert off.max() <= 1
    assert (off > 0).mean() < most_off


def test_of_pictures_whose_top_is_cut_off_the_rest_is_resized() -> None:
    graph = _resizing_graph((360, 640), (192, 448), num_cut=90)
    before = len(graph.get_ops())
    resize_in_int8(graph)
    assert len(graph.get_ops()) > before
    image = render(sample_scene(np.random.default_rng(0), (360, 640))).image
    answer = openvino.compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([image[None]])[0]
    expected = resize_pixels(torch.from_numpy(image[90:]).permute(2, 0, 1)[None], (192, 448)).numpy()
    assert np.abs(answer - expected).max() <= 1


def test_widths_with_little_in_common_are_not_resized_in_int8() -> None:
    graph = _resizing_graph((375, 1242), (256, 448))
    before = len(graph.get_ops())
    resize_in_int8(graph)
    assert len(graph.get_ops()) == before


def _resizing_graph(size: tuple[int, int], working: tuple[int, int], num_cut: int = 0) -> "openvino.Model":
    operators = openvino.opset13
    images = operators.parameter([1, *size, 3], np.uint8)
    seen = operators.gather(images, np.arange(num_cut, size[0]), np.int64(1)) if num_cut else images
    planes = operators.convert(operators.transpose(seen, [0, 3, 1, 2]), np.float32)
    pixels = operators.interpolate(planes, np.array(working), "nearest", "sizes", axes=[2, 3])
    pixels.output(0).set_names({PIXELS})
    return openvino.Model([operators.relu(pixels)], [images])
