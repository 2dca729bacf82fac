"""The segmenter as a TorchScript or a torch.export program."""

from __future__ import annotations

import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from drivable.export.graph import ExportedGraph, example, free_axes
from drivable.segmenter.description import KEY, ExportDescription
from drivable.signals import interrupted_afterwards

# Ending of the records of a TorchScript archive that say where in which source file each step was met.
_PLACES = ".debug_pkl"


def to_torchscript(graph: ExportedGraph) -> Any:
    """A traced module."""
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # The tracer points at every size that stays fixed, such as the network's own.
        return torch.jit.trace(graph, example(), check_trace=False)  # type: ignore[no-untyped-call]


def save_torchscript(module: Any, path: Path, description: ExportDescription) -> None:
    """Write the file with its description, and without the places of the source files that the tracer went through."""
    whole = BytesIO()
    torch.jit.save(module, whole, _extra_files={KEY: description.to_json()})
    whole.seek(0)
    reader, writer = torch._C.PyTorchFileReader(whole), torch._C.PyTorchFileWriter(str(path))
    for name in reader.get_all_records():
        # The writer adds these itself.
        if not name.endswith(_PLACES) and name not in ("version", "byteorder") and not name.startswith(".data/"):
            record = reader.get_record(name)
            writer.write_record(name, record, len(record))
    writer.write_end_of_file()


def to_program(graph: ExportedGraph) -> torch.export.ExportedProgram:
    """A program with free number and sizes of pictures."""
    with torch.no_grad(), interrupted_afterwards():
        program = torch.export.export(graph, (example(),), dynamic_shapes=free_axes(), strict=False)
    for part in program.graph_module.modules():
        if isinstance(part, torch.fx.GraphModule):
            for node in part.graph.nodes:
                node.meta.pop("stack_trace", None)  # Places of source files on this machine.
    return program


def save_program(program: torch.export.ExportedProgram, path: Path, description: ExportDescription) -> None:
    """Write the file with its description."""
    torch.export.save(program, path, extra_files={KEY: description.to_json()})
