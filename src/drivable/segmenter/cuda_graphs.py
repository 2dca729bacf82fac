"""What a GPU does for pictures of one size, recorded and replayed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

# Recording takes several passes, and memory for as long as it is kept: for sizes that stay, and for few of them.
_TIMES_IN_A_ROW = 3
_MOST = 4
_NUM_WARM_UP = 3


@dataclass(frozen=True)
class _Recording:
    graph: torch.cuda.CUDAGraph
    entry: Tensor
    result: Tensor


class Recorder:
    """Run a function on a CUDA device, from the third batch of one shape on by replaying its kernels.

    A light network is hundreds of kernels of a few microseconds each, and Python takes longer to launch them than they
    run. A recording (a CUDA graph, :class:`torch.cuda.CUDAGraph`) is launched at once, into memory of its own.

    Args:
        run: of a tensor on the device, to one there; it must do the same work for all tensors of one shape.
        device: a CUDA device.

    Example:
        >>> Recorder(lambda images: images.sum(dim=3), torch.device("cuda"))(torch.zeros(1, 90, 160, 3)).shape
        torch.Size([1, 90, 160])
    """

    def __init__(self, run: Callable[[Tensor], Tensor], device: torch.device) -> None:
        self._run = run
        self._device = device
        self._recordings: dict[torch.Size, _Recording] = {}
        self._last_shape: torch.Size | None = None
        self._times = 0
        # Entry and result of a recording are one place each for all threads.
        self._lock = threading.Lock()

    @torch.inference_mode()
    def __call__(self, entry: Tensor) -> Tensor:
        """A tensor on the CPU -> the result on the CPU."""
        with self._lock:
            self._times = self._times + 1 if entry.shape == self._last_shape else 1
            self._last_shape = entry.shape
            recording = self._recordings.pop(entry.shape, None)
            if recording is None:
                if self._times < _TIMES_IN_A_ROW:
                    return self._run(entry.to(self._device)).cpu()
                recording = self._record(entry.to(self._device))
                if len(self._recordings) == _MOST:
                    del self._recordings[next(iter(self._recordings))]
            self._recordings[entry.shape] = recording  # The last in the dictionary is the last used.
            recording.entry.copy_(entry)
            recording.graph.replay()
            return recording.result.cpu()

    def _record(self, entry: Tensor) -> _Recording:
        with torch.cuda.device(self._device):
            # Libraries make their choices and take their memory outside of the recording, on a stream of its own.
            aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                for _ in range(_NUM_WARM_UP):
                    self._run(entry)
            torch.cuda.current_stream().wait_stream(aside)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                result = self._run(entry)
        return _Recording(graph, entry, result)
