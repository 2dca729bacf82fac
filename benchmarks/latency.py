"""Time per picture of trained models against SegFormer-B3 in torch, interleaved in one run.

    python benchmarks/latency.py [MODEL...] [--transformers] [--threads 2] [--rounds 15]

From a 360x640 RGB picture in memory to its label map; the median of each model, and how many times faster than
SegFormer-B3 at 360x640, which drivable runs folded, it is. A checkpoint counts twice: at the size it works at, and
made to work at 360x640.
With --transformers the same SegFormer-B3 in Hugging Face's library takes part, run as its documentation says: image
processor (without resizing), model, `post_process_semantic_segmentation`. That both networks give the same numbers,
tests/numerics/test_backbones.py shows; weights are random, time does not depend on them.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from drivable.benchmark import untrained
from drivable.checkpoint import Checkpoint, find_checkpoint, load_checkpoint
from drivable.segmenter import TorchSegmenter, is_exported, load
from drivable.weights import DEFAULT_MODEL

SIZE = (360, 640)


def their_segformer(ours: Checkpoint) -> Callable[[Any], Any]:
    """SegFormer-B3 in transformers, from a picture to ids."""
    from transformers import SegformerConfig, SegformerForSemanticSegmentation, SegformerImageProcessorPil

    config = SegformerConfig(
        depths=[3, 4, 18, 3], hidden_sizes=[64, 128, 320, 512], decoder_hidden_size=256, num_labels=3
    )
    model = SegformerForSemanticSegmentation(config).eval()
    theirs, expected = (sum(p.numel() for p in each.parameters()) for each in (model, ours.build()))
    if theirs != expected:
        raise SystemExit(f"theirs has {theirs} parameters, ours {expected}: not the same network")
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
    parser.add_argument("--transformers", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    reference = "segformer_b3 at 360x640"
    checkpoints = {reference: untrained("segformer_b3", SIZE)}
    exported = [model for model in arguments.models if is_exported(model)]
    for model in arguments.models:
        if model in exported:
            continue
        checkpoint = load_checkpoint(find_checkpoint(model))
        for size in dict.fromkeys((checkpoint.preprocessing.size, SIZE)):
            sized = replace(checkpoint, preprocessing=replace(checkpoint.preprocessing, size=size))
            checkpoints[f"{model} at {size[0]}x{size[1]}"] = sized
    contenders: dict[str, Callable[[Any], Any]] = {
        name: TorchSegmenter(checkpoint, "cpu").segment for name, checkpoint in checkpoints.items()
    }
    contenders |= {name: load(name, "cpu", arguments.threads).segment for name in exported}
    if arguments.transformers:
        contenders["segformer_b3 in transformers"] = their_segformer(checkpoints[reference])

    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    times_ms: dict[str, list[float]] = {name: [] for name in contenders}
    for round_number in range(arguments.rounds + 1):
        for name, segment in contenders.items():
            segment(image)  # Its weights are back in the caches: one model runs at a time in use.
            start = time.perf_counter()
            segment(image)
            if round_number:  # The first warms up.
                times_ms[name].append((time.perf_counter() - start) * 1e3)
    medians = {name: statistics.median(times) for name, times in times_ms.items()}
    print(f"torch {torch.__version__}, {arguments.threads} threads, {arguments.rounds} interleaved rounds")
    for name, median in medians.items():
        print(f"{name:40s} {median:8.1f} ms   {medians[reference] / median:6.1f} times as fast")


if __name__ == "__main__":
    main()
