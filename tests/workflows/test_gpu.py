"""The same answers on a CUDA device as on the CPU, from training to tables: ``pytest -m gpu``."""

from pathlib import Path

import numpy as np
import pytest
import torch

from drivable.benchmark import Settings, benchmark, open_contender
from drivable.checkpoint import find_checkpoint, load_checkpoint
from drivable.config import load_recipe
from drivable.models import build_model, default_spec
from drivable.segmenter import TorchSegmenter
from drivable.segmenter.cuda_graphs import Recorder
from drivable.synthetic import render, sample_scene
from drivable.training import train
from drivable.training.cuda_graphs import ReplayedNetwork

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
SIZES = [(360, 640), (720, 1280), (97, 131)]


def roads(size: tuple[int, int], num: int) -> list[np.ndarray]:
    return [render(sample_scene(np.random.default_rng(i), size)).image for i in range(num)]


def test_label_maps_are_those_of_the_cpu_also_when_replayed() -> None:
    checkpoint = load_checkpoint(find_checkpoint("drivable-lite"))
    here, there = TorchSegmenter(checkpoint, "cpu"), TorchSegmenter(checkpoint, "cuda")
    for size in SIZES:
        images = roads(size, 6)
        expected = here.segment_batch(images)
        one_by_one = [there.segment(image) for image in images]  # The last four are replayed.
        for want, got, together in zip(expected, one_by_one, there.segment_batch(images), strict=True):
            assert (want == got).mean() > 0.999
            assert (want == together).mean() > 0.999
        distance = np.abs(here.probabilities(images[0]) - there.probabilities(images[0]))
        assert distance.mean() < 1e-3
    assert isinstance(there._recorder, Recorder)
    assert len(there._recorder._recordings) == len(SIZES)


def test_bfloat16_is_close() -> None:
    checkpoint = load_checkpoint(find_checkpoint("drivable-lite"))
    fp32, bf16 = TorchSegmenter(checkpoint, "cuda"), TorchSegmenter(checkpoint, "cuda", "bf16")
    for image in roads((360, 640), 6):
        assert (fp32.segment(image) == bf16.segment(image)).mean() > 0.98


def test_few_recordings_are_kept() -> None:
    recorder = Recorder(lambda x: x.float().sum(dim=1), torch.device("cuda"))
    for length in range(1, 8):
        for value in range(5):
            entry = torch.full((2, length), value, dtype=torch.uint8)
            assert recorder(entry).tolist() == [value * length] * 2
    assert [shape[1] for shape in recorder._recordings] == [4, 5, 6, 7]


@pytest.mark.parametrize("is_mixed", [False, True])
def test_a_replayed_network_learns_as_one_that_is_launched(is_mixed: bool) -> None:
    losses: list[list[float]] = []
    for replays in (False, True):
        torch.manual_seed(0)
        model = build_model(default_spec("lite"), 3).cuda().train()
        model.decoder.dropout.p = 0.0  # type: ignore[union-attr]
        network = ReplayedNetwork(model) if replays else model
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        losses.append([])
        for step in range(12):
            size = (64, 96) if step < 8 else (96, 128)
            images = torch.rand(4, 3, *size, generator=torch.Generator().manual_seed(step)).cuda()
            with torch.autocast("cuda", torch.bfloat16, is_mixed):
                loss = torch.nn.functional.cross_entropy(network(images).float(), (images.mean(dim=1) * 3).long())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses[-1].append(loss.item())
        assert int(model.backbone.stem.bn.num_batches_tracked) == 12  # type: ignore[union-attr]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
    assert losses[0][-1] < losses[0][0]


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_training(rendered_data: Path, tmp_path: Path, precision: str) -> None:
    recipe = load_recipe(
        "drivable-lite-finetune",
        [
            f"data.path={rendered_data}", "data.splits=null", "data.size=[96, 160]", "data.num_workers=2",
            "training.accelerator=gpu", f"training.precision={precision}", "training.epochs=3",
            "optimizer.learning_rate=1e-3",
        ],
    )  # fmt: skip
    result = train(recipe, tmp_path / "run")
    losses = [row["train_loss"] for row in result.history]
    assert losses[-1] < losses[0]
    load_checkpoint(tmp_path / "run/last.safetensors").build()


def test_a_table_with_the_limits_of_the_gpu() -> None:
    contenders = [open_contender(name, (96, 160), "cuda", precision="bf16") for name in ("lite", "segformer_b0")]
    rows, ceilings = benchmark(contenders, Settings((96, 160), rounds=2, batch=2, device="cuda"))
    assert set(ceilings) == {"bf16 on the GPU"}
    assert all(row.ceiling_share is not None and 0 < row.ceiling_share < 1 for row in rows)
