"""Resizing as it is exported, against torch and Pillow."""

import numpy as np
import pytest
import torch
from PIL import Image

from drivable.models.resizing import resize, resize_pixels, weights
from drivable.synthetic import render, sample_scene


@pytest.mark.parametrize(("num_from", "num_to"), [(9, 18), (18, 9), (7, 7), (5, 13), (131, 40), (1, 4), (4, 1)])
@pytest.mark.parametrize("antialias", [False, True])
def test_resizing_by_matrices_is_torchs(num_from: int, num_to: int, antialias: bool) -> None:
    x = torch.rand(1, 2, num_from, num_from)
    matrix = weights(num_from, num_to, antialias, x)
    expected = resize(x, (num_to, num_to), antialias)
    torch.testing.assert_close(matrix @ x @ matrix.T, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [(32, 64), (37, 64), (256, 448)])
@pytest.mark.parametrize("exporting", [False, True])
def test_pictures_are_resized_as_by_pillow(
    size: tuple[int, int], exporting: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.compiler.is_exporting", lambda: exporting)
    scene = render(sample_scene(np.random.default_rng(0), (720, 1280))).image
    for height, width in ((1, 1), (2, 31), (97, 131), (360, 640), (375, 1242), (720, 1280)):
        images = np.stack([scene[:height, :width], scene[-height:, -width:]])
        resized = resize_pixels(torch.from_numpy(images).permute(0, 3, 1, 2), size)
        pillows = [np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR)) for image in images]
        off = np.abs(resized.permute(0, 2, 3, 1).numpy() - np.stack(pillows))
        assert off.max() <= 1
        assert (off > 0).mean() < 0.01


def test_halves_are_rounded_alike_in_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 2, 128).repeat(1, 3, 1, 1)
    monkeypatch.setattr("torch.compiler.is_exporting", lambda: True)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(resize_pixels(pixels, (2, 128)), pixels.float())
