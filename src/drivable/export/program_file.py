"""The segmenter as a TorchScript or a torch.export program."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch

from drivable.export.graph import ExportedGraph, example, free_axes
from drivable.interrupt import interrupted_afterwards
from drivable.segmenter.description import KEY, ExportDescription


def to_torchscript(graph: ExportedGraph) -> Any:
    """A traced module."""
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # The tracer points at every size that stays fixed, such as the network's own.
        return torch.jit.trace(graph, example(), check_trace=False)  # type: ignore[no-untyped-call]


def save_torchscript(module: Any, path: Path, description: ExportDescription) -> None:
    """Write the file with its description."""
    torch.jit.save(module, str(path), _extra_files={KEY: description.to_json()})


def to_program(graph: ExportedGraph) -> torch.export.ExportedProgram:
    """A program with free number and sizes of pictures."""
    with torch.no_grad(), interrupted_afterwards():
        return torch.export.export(graph, (example(),), dynamic_shapes=free_axes(), strict=False)


def save_program(program: torch.export.ExportedProgram, path: Path, description: ExportDescription) -> None:
    """Write the file with its description."""
    torch.export.save(program, path, extra_files={KEY: description.to_json()})
