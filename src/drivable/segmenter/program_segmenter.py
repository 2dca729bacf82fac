"""The segmenters that run TorchScript and torch.export programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from drivable.errors import CheckpointError
from drivable.segmenter.description import KEY, ExportDescription
from drivable.segmenter.devices import find_device
from drivable.segmenter.exported import ExportedSegmenter
from drivable.segmenter.protocol import Image

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
        self._device = torch.device("cpu") if path.suffix == PROGRAM else find_device(device)
        extra = {KEY: ""}
        # Everything: a damaged file fails wherever the parser happens to stumble.
        try:
            if path.suffix == PROGRAM:
                self._module: Any = torch.export.load(path, extra_files=extra).module()
            else:
                self._module = torch.jit.load(path, map_location=self._device, _extra_files=extra)  # type: ignore[no-untyped-call]
        except Exception as fault:
            raise CheckpointError(f"{path}: torch cannot read it: {str(fault).strip().splitlines()[0]}") from fault
        text: Any = extra[KEY]  # TorchScript gives bytes.
        super().__init__(path, ExportDescription.from_json(text.decode() if isinstance(text, bytes) else text, path))

    @torch.inference_mode()
    def run(self, images: Image) -> NDArray[Any]:
        """See :meth:`ExportedSegmenter.run`."""
        answer = self._module(torch.from_numpy(np.ascontiguousarray(images)).to(self._device))
        return np.asarray(answer.cpu().numpy())
