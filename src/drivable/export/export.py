"""Write a trained model for another runtime, and prove that it is the same model."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from numpy.typing import NDArray

from drivable.checkpoint import Checkpoint
from drivable.errors import CheckpointError, ConfigError, DrivableError, OutputError, one_line
from drivable.export.conversion import Save, convert
from drivable.export.graph import ExportedGraph
from drivable.export.parity import (
    LEAST_AGREEMENT,
    MOST_LOSS,
    MOST_OFF,
    LabelledPictures,
    agreement,
    medians_ms,
    most_off,
    strict3,
)
from drivable.export.quantization import is_transformer
from drivable.export.settings import ROUNDED, SUFFIXES, ExportSettings, refuse
from drivable.files import file_fingerprint, written_whole
from drivable.imaging.images import Pixels
from drivable.optional import first_line
from drivable.segmenter import ExportedSegmenter, TorchSegmenter, load
from drivable.segmenter.description import ExportDescription
from drivable.segmenter.graph import SegmenterGraph, calibrated_graph

_log = logging.getLogger(__name__)


def export_model(
    checkpoint: Checkpoint, path: Path, settings: ExportSettings, pictures: LabelledPictures
) -> ExportDescription:
    """Export a model, unless what came out is another model.

    The exported file and torch segment the same pictures of several sizes. In float32, and with float16 weights, 99.9 %
    of the pixels of every size must get the same class. In bf16 and int8, and with fast upsampling, ``strict3`` may be
    one point lower. int8 that is not faster than float32 in the same runtime here is warned of: it may be elsewhere.

    Args:
        checkpoint: what was trained.
        path: of the file to write.
        settings: how.
        pictures: to calibrate and to check on.

    Returns:
        What the file says of itself, the check included.

    Raises:
        ConfigError: where the runtime is not installed, or the target has no such precision or suffix.
        CheckpointError: where the model cannot be converted or the check fails; nothing is written then.
        OutputError: where the place is not writable or the disk is full.

    Example:
        >>> export_model(checkpoint, Path("lite.onnx"), ExportSettings("onnx", "fp32", (288, 512)), rendered_pictures())
    """
    refuse(path, settings)
    description = ExportDescription(
        labels=checkpoint.labels,
        model=checkpoint.spec.model_dump(mode="json"),
        checkpoint=file_fingerprint(Path(checkpoint.where)) if Path(checkpoint.where).is_file() else "not a file",
        precision=settings.precision,
        size=settings.size,
        outputs=settings.outputs,
        upsampling=settings.upsampling,
        splits=checkpoint.splits,
        calibration=checkpoint.calibration,
        # Hardly anything but the resizes of the others is left.
        rest="bf16" if is_transformer(checkpoint.spec.name) else "fp32",
    )
    reference = calibrated_graph(checkpoint, TorchSegmenter(checkpoint, "cpu").graph.model, settings.size)
    if settings.upsampling == "fast" and not _fills_grid(reference):
        cut = f"; the top {reference.model.cut_top} of the height is cut off" if reference.model.cut_top else ""
        raise ConfigError(
            f"fast upsampling needs a --size of multiples of {reference.model.stride}, got {settings.size}{cut}"
        )
    failed = f"{checkpoint.where}: cannot be exported to {settings.target} in {settings.precision}"
    with _told_as(CheckpointError, failed):
        candidates, save_float = convert(checkpoint, settings, pictures)
    with _files(path) as temporary:
        for candidate in candidates:
            with _told_as(CheckpointError, failed):
                save, kept_in_float = candidate()
            with _told_as(OutputError, f"{path}: cannot be written"):
                save(temporary, description)
            parity, faults = _checked(reference, temporary, settings, pictures, save_float)
            if kept_in_float:
                parity["kept in float"] = kept_in_float
            if not _loses_too_much(parity):
                break
        if faults and not settings.force:
            raise CheckpointError(f"{path}: not written, it is not the same model: {'; '.join(faults)}")
        description = replace(description, parity={**parity, "passed": not faults, "faults": faults})
        with _told_as(OutputError, f"{path}: cannot be written"):
            save(temporary, description)
    if checkpoint.labels.background_id is None:
        # The graph can neither refuse an image nor say that it knows nothing of a pixel.
        _log.warning(
            "%s: its classes have no background, so where its network gives no number it says '%s'; mind what that "
            "means to whoever drives by it, or train with a background",
            path,
            checkpoint.labels.names[0],
        )
    if "ms" in parity and parity["ms"] >= parity["ms in fp32"]:
        _log.warning(
            "%s: int8 is not faster than float32 in %s on this machine: %.1f ms against %.1f ms; measure it where it "
            "is to run",
            path, settings.target, parity["ms"], parity["ms in fp32"],
        )  # fmt: skip
    return description


@contextmanager
def _told_as(error: type[DrivableError], what: str) -> Iterator[None]:
    """Whatever a library throws inside, as one line of ours; the disk's faults are told by whoever writes."""
    try:
        yield
    except (DrivableError, OSError):
        raise
    # Everything: the exporters and NNCF have no errors in common.
    except Exception as fault:
        raise error(f"{what}: {type(fault).__name__}: {one_line(first_line(fault))}") from fault


def _fills_grid(graph: SegmenterGraph) -> bool:
    if graph.size is None:
        return False
    return not any(side % graph.model.stride for side in (graph.model.num_seen(graph.size[0]), graph.size[1]))


def _checked(
    reference: SegmenterGraph,
    file: Path,
    settings: ExportSettings,
    pictures: LabelledPictures,
    save_float: Save | None,
) -> tuple[dict[str, Any], list[str]]:
    """What was measured, and what is wrong."""
    exported = load(file, "cpu")
    assert isinstance(exported, ExportedSegmenter)
    shares = agreement(_in_torch(ExportedGraph(reference, "ids", settings.upsampling)), exported, pictures)
    parity: dict[str, Any] = {"agreement": shares, "pictures": pictures.name}
    faults = []
    if settings.precision not in ROUNDED:
        worst = min(shares, key=lambda size: shares[size])
        if shares[worst] < LEAST_AGREEMENT:
            faults.append(
                f"only {shares[worst]:.3%} of the pixels of pictures of {worst} keep their class, expected "
                f"{LEAST_AGREEMENT:.1%}"
            )
    if settings.outputs == "probabilities":
        probabilities = _in_torch(ExportedGraph(reference, "probabilities", "exact"))
        parity["probabilities off by"] = most_off(probabilities, exported, pictures)
        limit = MOST_OFF[settings.precision in ROUNDED]
        if parity["probabilities off by"] > limit:
            faults.append(f"probabilities are {parity['probabilities off by']:.4f} off on average, expected {limit}")
    if settings.is_scored:
        parity["strict3 in torch"] = strict3(_in_torch(reference), pictures.check, pictures.labels)
        parity["strict3"] = strict3(exported.segment, pictures.check, pictures.labels)
        parity["strict3 lost"] = parity["strict3 in torch"] - parity["strict3"]
        if _loses_too_much(parity):
            faults.append(
                f"strict3 falls from {parity['strict3 in torch']:.4f} to {parity['strict3']:.4f} on "
                f"{len(pictures.check)} pictures ({pictures.name}), {MOST_LOSS} may be lost"
            )
    if save_float is not None:
        with TemporaryDirectory() as folder:
            twin = Path(folder) / f"float{SUFFIXES[settings.target]}"
            save_float(twin, replace(exported.description, precision="fp32"))
            fast, slow = medians_ms([exported, load(twin, "cpu")], pictures.check[0][0])
        parity["ms"], parity["ms in fp32"] = fast, slow
    return parity, faults


def _in_torch(graph: torch.nn.Module) -> Callable[[Pixels], NDArray[Any]]:
    """A picture (H, W, 3) -> what a graph gives for it."""

    @torch.inference_mode()
    def run(image: Pixels) -> NDArray[Any]:
        answer: NDArray[Any] = graph(torch.from_numpy(image[None]))[0].numpy()
        return answer

    return run


def _loses_too_much(parity: dict[str, Any]) -> bool:
    return bool(parity.get("strict3 lost", 0) > MOST_LOSS)


@contextmanager
def _files(path: Path) -> Iterator[Path]:
    """A temporary name for the file; OpenVINO's second file goes with it, and is there before what refers to it."""
    if path.suffix != SUFFIXES["openvino"]:
        with written_whole(path) as temporary:
            yield temporary
        return
    with written_whole(path) as temporary, written_whole(path.with_suffix(".bin")):
        yield temporary
