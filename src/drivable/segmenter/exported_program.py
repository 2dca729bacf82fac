"""The segmenters that run TorchScript and torch.export programs."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from drivable.errors import CheckpointError, ConfigError, one_line
from drivable.models.finite import require_finite
from drivable.reading import reading
from drivable.segmenter.description import ExportDescription
from drivable.segmenter.devices import find_device
from drivable.segmenter.exported import ExportedSegmenter
from drivable.segmenter.protocol import Image
from drivable.segmenter.torch_archives import checked_program, checked_script

TORCHSCRIPT, PROGRAM = ".torchscript", ".pt2"


class ProgramSegmenter(ExportedSegmenter):
    """Run an exported ``.torchscript`` or ``.pt2`` file.

    Args:
        path: of the file.
        device: see :class:`~drivable.segmenter.TorchSegmenter`; a ``.pt2`` runs where it was exported, on the CPU.

    Raises:
        CheckpointError: where the file is missing, damaged or not of this tool.
        ConfigError: where there is no such device.

    Example:
        >>> ProgramSegmenter(Path("lite.pt2")).segment(image).shape
        (720, 1280)
    """

    def __init__(self, path: Path, device: str = "auto") -> None:
        if not path.exists():
            raise CheckpointError(f"{path}: no such file")
        if path.suffix == PROGRAM and device not in ("auto", "cpu"):
            raise ConfigError(f"{path}: a .pt2 runs where it was exported, on the CPU; got device '{device}'")
        self._device = torch.device("cpu") if path.suffix == PROGRAM else find_device(device)
        hint = "take files of people that you trust, or export the checkpoint again"
        with reading(path, CheckpointError, "damaged, or not a file that this tool exported", hint):
            archive, text = (checked_program if path.suffix == PROGRAM else checked_script)(path)
        description = ExportDescription.from_json(text, path)
        with reading(path, CheckpointError, "torch cannot read it", "export it again with this release of torch"):
            if path.suffix == PROGRAM:
                program = _program(archive)
                constants: dict[str, Any] = {**program.state_dict, **program.constants}
                self._module: Any = program.module()
            else:
                self._module = torch.jit.load(archive, map_location=self._device)  # type: ignore[no-untyped-call]
                constants = _constants(self._module)
                _check_held(constants)
        require_finite(constants, description.labels, str(path))
        super().__init__(path, description)

    @property
    def runtime(self) -> str:
        """See :class:`ExportedSegmenter`."""
        return self.path.suffix.removeprefix(".")

    @property
    def on_cpu(self) -> bool:
        """See :class:`ExportedSegmenter`."""
        return self._device.type == "cpu"

    @property
    def device_name(self) -> str:
        """See :class:`ExportedSegmenter`."""
        return str(self._device)

    @torch.inference_mode()
    def run(self, images: Image) -> NDArray[Any]:
        """See :meth:`ExportedSegmenter.run`."""
        answer = self._module(torch.from_numpy(np.ascontiguousarray(images)).to(self._device))
        return np.asarray(answer.cpu().numpy())


def _check_held(constants: Mapping[str, torch.Tensor]) -> None:
    """Refuse tensors that repeat a few values until they are larger than memory."""
    for name, tensor in constants.items():
        if tensor.numel() * tensor.itemsize > tensor.untyped_storage().nbytes():
            raise ValueError(f"{one_line(name, 80)} has more values than it has bytes")


def _program(archive: BytesIO) -> torch.export.ExportedProgram:
    """Torch tells why it cannot read a file in its log, with a traceback, and raises that it did."""
    told: list[BaseException] = []

    def keep(record: logging.LogRecord) -> bool:
        if isinstance(record.exc_info, tuple) and record.exc_info[1] is not None:
            told.append(record.exc_info[1])
        return not record.exc_info

    logs = [logging.getLogger(name) for name in ("torch.export", "torch._export.serde.serialize")]
    for log in logs:
        log.addFilter(keep)
    try:
        return torch.export.load(archive)
    except Exception as fault:
        if not told:
            raise
        cause = told[0]
        while (before := cause.__cause__ or cause.__context__) is not None:
            cause = before
        raise cause from fault
    finally:
        for log in logs:
            log.removeFilter(keep)


def _constants(module: Any) -> dict[str, torch.Tensor]:
    """All that a traced module computes with: its weights, and the numbers in its code."""
    found = dict(chain(module.named_parameters(), module.named_buffers()))
    graph = module.inlined_graph  # Its nodes do not outlive it.
    for node in graph.findAllNodes("prim::Constant"):
        value = node.output().toIValue()
        if isinstance(value, float | torch.Tensor):
            found[f"constant {node.output().debugName()}"] = torch.as_tensor(value)
    return found
