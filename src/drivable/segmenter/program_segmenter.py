"""The segmenters that run TorchScript and torch.export programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import numpy as np
import torch
from numpy.typing import NDArray

from drivable.errors import CheckpointError, ConfigError
from drivable.segmenter.description import KEY, ExportDescription
from drivable.segmenter.devices import find_device
from drivable.segmenter.exported import ExportedSegmenter
from drivable.segmenter.protocol import Image
from drivable.segmenter.runtimes import first_line

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
        if not path.is_file():
            raise CheckpointError(f"{path}: no such file")
        if not is_zipfile(path):  # Torch would print a traceback of its own.
            raise CheckpointError(f"{path}: damaged, or not a file that torch can read; export it again")
        if path.suffix == PROGRAM and device not in ("auto", "cpu"):
            raise ConfigError(f"{path}: a .pt2 runs where it was exported, on the CPU; got device '{device}'")
        self._device = torch.device("cpu") if path.suffix == PROGRAM else find_device(device)
        extra = {KEY: ""}
        # Everything: a damaged file fails wherever the parser happens to stumble.
        try:
            if path.suffix == PROGRAM:
                self._module: Any = torch.export.load(path, extra_files=extra).module()
            else:
                self._module = torch.jit.load(path, map_location=self._device, _extra_files=extra)  # type: ignore[no-untyped-call]
        except Exception as fault:
            raise CheckpointError(f"{path}: torch cannot read it: {first_line(fault)}") from fault
        text: Any = extra[KEY]  # TorchScript gives bytes.
        super().__init__(path, ExportDescription.from_json(text.decode() if isinstance(text, bytes) else text, path))

    @property
    def runtime(self) -> str:
        """See :class:`ExportedSegmenter`."""
        return self.path.suffix.removeprefix(".")

    @property
    def on_cpu(self) -> bool:
        """See :class:`ExportedSegmenter`."""
        return self._device.type == "cpu"

    @torch.inference_mode()
    def run(self, images: Image) -> NDArray[Any]:
        """See :meth:`ExportedSegmenter.run`."""
        answer = self._module(torch.from_numpy(np.ascontiguousarray(images)).to(self._device))
        return np.asarray(answer.cpu().numpy())
