"""The segmenter as one network."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from drivable.checkpoint import find_checkpoint, load_checkpoint
from drivable.config.models import LiteSpec, UNetSpec
from drivable.errors import CheckpointError
from drivable.labels import BDD100K_DRIVABLE, LabelSet
from drivable.models import build_model, default_spec
from drivable.segmenter import TorchSegmenter
from drivable.segmenter.graph import SegmenterGraph, most_probable, relative_to


@pytest.mark.parametrize("size", [(64, 96), None])
def test_a_top_that_is_cut_off_is_cut_off_before_resizing(size: tuple[int, int] | None) -> None:
    torch.manual_seed(0)
    whole = build_model(LiteSpec(), 3).eval()
    cut = build_model(LiteSpec(cut_top=0.25), 3).eval()
    cut.load_state_dict(whole.state_dict())
    image = torch.randint(0, 256, (1, 80, 110, 3), dtype=torch.uint8)
    with torch.no_grad():
        graph, below = (
            SegmenterGraph(cut, size, BDD100K_DRIVABLE),
            SegmenterGraph(whole, size and (48, 96), BDD100K_DRIVABLE),
        )
        for answers in ("forward", "fast_ids", "probabilities"):
            answer, rest = getattr(graph, answers)(image), getattr(below, answers)(image[:, 20:])
            torch.testing.assert_close(answer[..., 20:, :], rest)
            assert (answer[..., :20, :] == rest[..., :1, :]).all()


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("background", [0, 1, 2, 3])
def test_classes_are_chosen_against_the_background(background: int) -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 4, 50, 60)
    ids = most_probable(relative_to(background, logits), background)
    assert ids.dtype == torch.uint8
    assert torch.equal(ids.long(), logits.argmax(dim=1))
    assert (most_probable(relative_to(background, torch.zeros(1, 4, 2, 2)), background) == background).all()
    assert (most_probable(torch.full((1, 3, 2, 2), NAN), background) == background).all()
    others = [k for k in range(4) if k != background]
    tied = torch.zeros(1, 4, 1, 1)
    tied[:, others[1:]] = 1
    assert most_probable(relative_to(background, tied), background).item() == others[1]


class Fixed(torch.nn.Module):
    """A decoder that gives the same logits whatever it sees."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, features: list[torch.Tensor]) -> torch.Tensor:
        return self.logits


@pytest.mark.parametrize("size", [(64, 96), None])
@pytest.mark.parametrize("cut_top", [0.0, 0.25])
@pytest.mark.parametrize("value", [NAN, INF, -INF, 1e30])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_is_no_number_is_background_and_the_rest_stays(
    size: tuple[int, int] | None, cut_top: float, value: float, place: int
) -> None:
    model = build_model(LiteSpec(cut_top=cut_top), 3).eval()
    height = model.num_seen(64) // 8
    logits = torch.tensor([5.0, -5.0, 0.0]).view(1, 3, 1, 1).repeat(1, 1, height, 12)
    logits[:, place, :, :6] = value
    model.decoder = Fixed(logits)
    graph = SegmenterGraph(model, size, BDD100K_DRIVABLE)
    image = torch.zeros(1, 64, 96, 3, dtype=torch.uint8)
    with torch.no_grad():
        for answers in (graph(image), graph.fast_ids(image), graph.probabilities(image).argmax(dim=1)):
            assert (answers[..., :48] == 2).all()
            assert (answers[..., 60:] == 0).all()
        assert graph.probabilities(image).isfinite().all()


def test_without_a_background_the_first_class_stands_for_the_unknown() -> None:
    labels = LabelSet(("road", "grass", "sky"), ((0, 0, 0), (1, 1, 1), (2, 2, 2)))
    model = build_model(LiteSpec(), 3).eval()
    model.decoder = Fixed(torch.tensor([0.0, NAN, 9.0]).view(1, 3, 1, 1).repeat(1, 1, 8, 12))
    assert (SegmenterGraph(model, (64, 96), labels)(torch.zeros(1, 64, 96, 3, dtype=torch.uint8)) == 0).all()


@pytest.mark.parametrize("value", [3e38, 1e9])
def test_finite_weights_that_overflow_are_refused_without_a_background(value: float) -> None:
    checkpoint = load_checkpoint(find_checkpoint("drivable-lite"))
    name = "decoder.classify.weight"
    weights = {**checkpoint.weights, name: torch.full(checkpoint.weights[name].shape, value)}
    image = np.full((70, 110, 3), 90, dtype=np.uint8)
    large = replace(checkpoint, weights=weights)
    assert (TorchSegmenter(large, "cpu").segment(image) == 2).all()
    with pytest.raises(CheckpointError, match="of a grey image its logits are no numbers.*no background"):
        TorchSegmenter(replace(large, labels=replace(checkpoint.labels, background=None)), "cpu")


@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_image_whose_logits_are_no_numbers_is_refused_without_a_background(place: int) -> None:
    checkpoint = load_checkpoint(find_checkpoint("drivable-lite"))
    segmenter = TorchSegmenter(replace(checkpoint, labels=replace(checkpoint.labels, background=None)), "cpu")
    image = np.full((70, 110, 3), 90, dtype=np.uint8)
    known = TorchSegmenter(checkpoint, "cpu").probabilities(image)
    assert segmenter.segment(image).shape == (70, 110)
    assert known.shape == segmenter.probabilities(image).shape
    logits = torch.zeros(1, 3, 27, 80)
    logits[0, place, 5, 6] = NAN
    segmenter.graph.model.decoder = Fixed(logits)
    for answer in (segmenter.segment, segmenter.probabilities):
        with pytest.raises(CheckpointError, match="of this image its logits are no numbers"):
            answer(image)


@pytest.mark.parametrize("name", ["lite", "fcn", "unet", "deeplabv3plus", "pspnet", "segformer_b0"])
def test_nan_in_any_weights_of_any_model_is_background_in_torch(name: str) -> None:
    torch.manual_seed(0)
    spec = default_spec(name) if name != "unet" else UNetSpec(widths=(4, 8, 16, 32, 64))
    # Of maps of fewer than 16 cells torch's attention on a CPU forgets NaN; none that a model is used on is so small.
    size = (192, 256) if name == "segformer_b0" else (64, 96)
    graph = SegmenterGraph(build_model(spec, 3).eval(), size, BDD100K_DRIVABLE)
    image = torch.randint(0, 256, (1, 70, 110, 3), dtype=torch.uint8)
    weights = [
        (key, tensor)
        for key, tensor in (*graph.named_parameters(), *graph.named_buffers())
        if tensor.is_floating_point() and "auxiliary" not in key and key != "unknown"
    ]
    step = 1 if name == "lite" else 20  # All of each would take minutes.
    with torch.inference_mode():
        for key, tensor in weights[::step]:
            before = tensor.clone()
            tensor.fill_(NAN)
            assert (graph(image) == 2).all(), key
            tensor.copy_(before)
        assert (graph.probabilities(image)).isfinite().all()
