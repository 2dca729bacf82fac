"""The segmenter as one network."""

import pytest
import torch

from drivable.config.models import LiteSpec
from drivable.models import build_model, default_spec
from drivable.segmenter.graph import SegmenterGraph


@pytest.mark.parametrize(
    ("name", "has_last_convolution"), [("lite", True), ("segformer_b0", True), ("deeplabv3plus", True), ("fcn", False)]
)
def test_a_classifier_of_relative_logits_chooses_the_same_classes(name: str, has_last_convolution: bool) -> None:
    torch.manual_seed(0)
    model = build_model(default_spec(name), 3).eval()
    image = torch.randint(0, 256, (1, 70, 110, 3), dtype=torch.uint8)
    with torch.no_grad():
        # So that every class wins somewhere.
        offsets = -SegmenterGraph(model, (64, 96)).grid_logits(image).mean(dim=(0, 2, 3))
        graph = SegmenterGraph(model, (64, 96), offsets=offsets.tolist())
        logits, ids = graph.grid_logits(image), graph(image)
        graph.fold_relative_to_first()
        relative = graph.grid_logits(image)
        torch.testing.assert_close(
            relative, logits[:, 1:] - logits[:, :1] if has_last_convolution else logits, rtol=1e-4, atol=1e-5
        )
        assert ids.unique().numel() == 3
        assert (graph(image) == ids).float().mean() > 0.999


@pytest.mark.parametrize("size", [(64, 96), None])
def test_a_top_that_is_cut_off_is_cut_off_before_resizing(size: tuple[int, int] | None) -> None:
    torch.manual_seed(0)
    whole = build_model(LiteSpec(), 3).eval()
    cut = build_model(LiteSpec(cut_top=0.25), 3).eval()
    cut.load_state_dict(whole.state_dict())
    image = torch.randint(0, 256, (1, 80, 110, 3), dtype=torch.uint8)
    with torch.no_grad():
        graph, below = SegmenterGraph(cut, size), SegmenterGraph(whole, size and (48, 96))
        for answers in ("forward", "fast_ids", "probabilities"):
            answer, rest = getattr(graph, answers)(image), getattr(below, answers)(image[:, 20:])
            torch.testing.assert_close(answer[..., 20:, :], rest)
            assert (answer[..., :20, :] == rest[..., :1, :]).all()
