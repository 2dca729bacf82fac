"""Our SegFormer-B3 against the same network in Hugging Face's transformers, and other models against both.

    python benchmarks/peers.py [MODEL...] [--threads 2] [--rounds 10]

From a 360x640 RGB picture in memory to its label map, in turns in one run, float32, random weights: time does not
depend on them. That both networks give the same numbers, `tests/numerics/test_backbones.py` shows. Theirs runs as its
documentation says: image processor (without resizing), model, `post_process_semantic_segmentation`.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from transformers import SegformerConfig, SegformerForSemanticSegmentation, SegformerImageProcessorPil

from drivable.benchmark import untrained
from drivable.models import build_model
from drivable.segmenter import TorchSegmenter, load
from drivable.weights import DEFAULT_MODEL

SIZE = (360, 640)


def their_segformer(num_parameters: int) -> Callable[[Any], Any]:
    """SegFormer-B3 in transformers, from a picture to ids."""
    config = SegformerConfig(
        depths=[3, 4, 18, 3], hidden_sizes=[64, 128, 320, 512], decoder_hidden_size=256, num_labels=3
    )
    model = SegformerForSemanticSegmentation(config).eval()
    counted = sum(parameter.numel() for parameter in model.parameters())
    if counted != num_parameters:
        raise SystemExit(f"theirs has {counted} parameters, ours {num_parameters}: not the same network")
    processor = SegformerImageProcessorPil(do_resize=False)

    @torch.inference_mode()
    def segment(image: Any) -> Any:
        outputs = model(**processor(image, return_tensors="pt"))
        return processor.post_process_semantic_segmentation(outputs, target_sizes=[SIZE])[0].numpy()

    return segment


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=[DEFAULT_MODEL])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=10)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    ours = untrained("segformer_b3", SIZE)
    num_parameters = sum(parameter.numel() for parameter in build_model(ours.spec, 3).parameters())
    contenders: dict[str, Callable[[Any], Any]] = {
        "SegFormer-B3, transformers": their_segformer(num_parameters),
        "SegFormer-B3, ours in torch": TorchSegmenter(ours, "cpu").segment,
    }
    contenders |= {name: load(name, "cpu", arguments.threads).segment for name in arguments.models}

    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    times_ms: dict[str, list[float]] = {name: [] for name in contenders}
    for round_number in range(arguments.rounds + 1):
        for name, segment in contenders.items():
            segment(image)  # Its weights are back in the caches.
            start = time.perf_counter()
            segment(image)
            if round_number:  # The first warms up.
                times_ms[name].append((time.perf_counter() - start) * 1e3)
    theirs, *_ = medians = [statistics.median(times) for times in times_ms.values()]
    print(f"torch {torch.__version__}, {arguments.threads} threads, {arguments.rounds} interleaved rounds")
    for name, median in zip(times_ms, medians, strict=True):
        print(f"{name:40s} {median:8.1f} ms   {theirs / median:6.1f} times as fast")


if __name__ == "__main__":
    main()
