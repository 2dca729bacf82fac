"""``drivable export``: a trained model for another runtime, or as one small file to pass on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from drivable.cli.options import IdsOption, LayoutOption, SplitsOption, agreed_splits, parse_size, require_data
from drivable.cli.tables import JsonOption, print_table
from drivable.errors import ConfigError, shown_address

if TYPE_CHECKING:
    from drivable.checkpoint import Checkpoint
    from drivable.data.samples import Sample
    from drivable.export import LabelledPictures

Kind = Literal["checkpoint", "onnx", "openvino", "torchscript", "torch-export"]
# Enough for the ranges of activations, and for a score to within a point of another on the same pictures.
_NUM_TRAIN, _NUM_CHECK = 200, 150


def export(
    model: Annotated[str, typer.Argument(help="A run folder, a checkpoint file or a shipped model's name.")],
    out: Annotated[Path, typer.Option(help="File to write: .onnx, .xml, .torchscript, .pt2 or .safetensors.")],
    to: Annotated[
        Kind | None,
        typer.Option(help="Runtime; checkpoint: one file for this tool. By the name of --out without."),
    ] = None,
    precision: Annotated[
        Literal["fp32", "fp16", "bf16", "int8"] | None,
        typer.Option(help="fp16 without for a checkpoint, fp32 for the others."),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(help="HEIGHTxWIDTH that pictures are resized to, or dynamic for their own; as validated without."),
    ] = None,
    cut_top: Annotated[
        float | None,
        typer.Option(
            "--cut-top",
            min=0,
            max=0.5,
            help="Share of the height, at the top, that the network does not look at; as trained without. 0 where road "
            "reaches up there.",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="Labelled pictures to calibrate (train) and to check on (val); rendered roads without."),
    ] = None,
    splits: SplitsOption = None,
    layout: LayoutOption = "auto",
    ids: IdsOption = None,
    outputs: Annotated[Literal["ids", "probabilities"], typer.Option(help="What the graph puts out.")] = "ids",
    upsampling: Annotated[
        Literal["exact", "fast"],
        typer.Option(help="exact enlarges logits, then chooses the class; fast chooses first."),
    ] = "exact",
    force: Annotated[bool, typer.Option("--force", help="Write it even if it is not the same model.")] = False,
    json: JsonOption = None,
) -> None:
    """Write a trained model for another runtime, checked to be the same model."""
    from drivable.checkpoint import find_checkpoint, load_checkpoint
    from drivable.export import SUFFIXES, ExportSettings, export_checkpoint, export_model, rendered_pictures
    from drivable.files import write_json

    target = to or next((target for target, suffix in SUFFIXES.items() if suffix == out.suffix), None)
    if target is None or SUFFIXES[target] != out.suffix:
        raise ConfigError(
            f"{out}: the name of a file{'' if to is None else f' for {to}'} must end in "
            f"{' or '.join(SUFFIXES.values()) if to is None else SUFFIXES[to]}"
        )
    found = find_checkpoint(model)
    require_data(data, splits, layout, ids)
    checkpoint = load_checkpoint(found)
    if cut_top is not None:
        checkpoint = replace(checkpoint, spec=checkpoint.spec.model_copy(update={"cut_top": cut_top}))
    is_free = size == "dynamic"
    at = None if size is None or is_free else parse_size(size, of_network=True)
    parity: dict[str, Any]
    if target == "checkpoint":
        if precision in ("bf16", "int8") or is_free or data or force or outputs != "ids" or upsampling != "exact":
            raise ConfigError(
                "--to checkpoint knows --precision fp32 or fp16, --size HEIGHTxWIDTH and --cut-top; say --to RUNTIME"
            )
        shares = export_checkpoint(checkpoint, out, "fp32" if precision == "fp32" else "fp16", at)
        parity = {"agreement": shares, "pictures": "rendered roads", "passed": True}
    else:
        settings = ExportSettings(
            target,
            precision or "fp32",
            None if is_free else at or checkpoint.preprocessing.size,
            outputs,
            upsampling,
            force,
        )
        pictures = rendered_pictures()
        if data is not None:
            num_train = _NUM_TRAIN if settings.precision == "int8" else 0
            num_check = _NUM_CHECK if settings.is_scored else len(pictures.check)
            pictures = _labelled_pictures(data, checkpoint, splits, layout, ids, num_train, num_check)
        parity = export_model(checkpoint, out, settings, pictures).parity
    print_table(["pixels that keep their class", "share"], [[key, share] for key, share in parity["agreement"].items()])
    print_table(["checked", "value"], [[key, _told(value)] for key, value in parity.items() if key != "agreement"])
    files = [out, *([out.with_suffix(".bin")] if target == "openvino" else [])]
    mib = sum(file.stat().st_size for file in files) / 2**20
    print(f"{' and '.join(map(str, files))}: {mib:.2f} MiB")
    if json is not None:
        write_json(json, {"out": str(out), "mib": mib, "parity": parity})


def _labelled_pictures(
    data: str,
    checkpoint: Checkpoint,
    splits: str | None,
    layout: str,
    ids: str | None,
    num_train: int,
    num_check: int,
) -> LabelledPictures:
    from drivable.data import open_data, select_split
    from drivable.data.samples import read_pair
    from drivable.export import LabelledPictures

    road_data = open_data(data, layout, ids)
    if road_data.labels.names != checkpoint.labels.names:
        raise ConfigError(
            f"{data} has the classes {list(road_data.labels.names)}, the model {list(checkpoint.labels.names)}"
        )
    folder = agreed_splits(road_data, splits, [checkpoint.splits])
    train = _spread(select_split(road_data, "train", folder), num_train) if num_train else []
    check = _spread(select_split(road_data, "val", folder), num_check)
    shown = shown_address(data)
    return LabelledPictures(
        [read_pair(sample)[0] for sample in train],
        [read_pair(sample) for sample in check],
        road_data.labels,
        # Its name: a file to pass on tells nobody where it lay.
        f"{Path(shown).name or shown}: " + (f"{len(train)} of train, " if train else "") + f"{len(check)} of val",
    )


def _spread(samples: Sequence[Sample], most: int) -> Sequence[Sample]:
    return samples[:: max(1, len(samples) // most)][:most]


def _told(value: object) -> str | float:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, float) else ", ".join(value) if isinstance(value, list) else str(value)
