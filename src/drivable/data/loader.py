"""Batches in worker processes, from any position of any epoch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from multiprocessing.util import get_temp_dir
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler

from drivable.data.dataset import Batch, Draw, RoadDataset
from drivable.data.workers import start_worker, worker_context
from drivable.errors import DataError

# In torch's words: "unable to allocate shared memory(shm) for file </torch_1_2_3>", "unable to write to file
# </torch_...", "Unexpected bus error encountered in worker".
_OF_SHARED_MEMORY = re.compile(r"shared memory|\(shm\)|</torch_|bus error", re.IGNORECASE)


def loading_fault(fault: Exception) -> DataError | None:
    """What is wrong with the processes that load, in one line.

    Args:
        fault: raised while batches were asked for; torch raises that of a killed process anywhere.

    Returns:
        ``None`` where it is about something else.

    Example:
        >>> loading_fault(RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "))
        DataError('a data worker was killed, ...')
    """
    text = str(fault)
    if isinstance(fault, DataError):
        # A worker process hands its whole traceback over as the message; its last line is ours.
        return DataError(text.strip().splitlines()[-1].removeprefix("drivable.errors.DataError: "))
    if not isinstance(fault, RuntimeError):
        return None
    if _OF_SHARED_MEMORY.search(text):
        return DataError(
            "the shared memory (/dev/shm) is too small for the batches of the data workers; set data.num_workers=0, or "
            "give a container more with --shm-size"
        )
    if "DataLoader worker (pid" in text:
        return DataError(
            "a data worker was killed, as a system does that runs out of memory; lower data.num_workers or "
            "training.batch_size"
        )
    return None


class EpochSampler(Sampler[Draw]):
    """The order of an epoch's pictures, which depends on the seed and the epoch alone.

    Args:
        num_samples: pictures in the data set.
        seed: of the order.
        shuffle: whether there is one; otherwise the pictures come as they stand.
        rank: this process of several that share the pictures.
        num_processes: how many share them. With ``shuffle`` all get the same number, some pictures twice; without,
            every picture comes once, since a validation must not count one twice.
        repeats: how often an epoch has each picture, once where not given.

    Example:
        >>> list(EpochSampler(3, seed=0, shuffle=False))
        [(0, 0, 0), (0, 1, 0), (0, 2, 0)]
    """

    def __init__(
        self,
        num_samples: int,
        seed: int,
        shuffle: bool,
        rank: int = 0,
        num_processes: int = 1,
        repeats: Sequence[int] | None = None,
    ) -> None:
        times = np.ones(num_samples, dtype=np.int64) if repeats is None else np.array(repeats, dtype=np.int64)
        self._indices = np.repeat(np.arange(num_samples), times)
        # Which of a picture's times it is.
        self._copies = np.arange(len(self._indices)) - np.repeat(times.cumsum() - times, times)
        self.seed = seed
        self.shuffle = shuffle
        self.rank = rank
        self.num_processes = num_processes
        self.epoch = 0
        self.num_skipped = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; Lightning calls this before each."""
        self.epoch = epoch

    def __len__(self) -> int:
        if self.shuffle:
            return -(-len(self._indices) // self.num_processes)
        return len(range(self.rank, len(self._indices), self.num_processes))

    def __iter__(self) -> Iterator[Draw]:
        order = np.arange(len(self._indices))
        if self.shuffle:
            order = np.random.default_rng((self.seed, self.epoch)).permutation(len(order))
            order = np.resize(order, len(self) * self.num_processes)
        for place in order[self.rank :: self.num_processes][self.num_skipped :]:
            yield self.epoch, int(self._indices[place]), int(self._copies[place])


class RoadLoader(DataLoader[Batch]):
    """A loader that knows how far its epoch is, and starts in its middle.

    Args:
        dataset: what to load.
        batch_size: pictures in a batch.
        sampler: their order.
        num_workers: processes that read; 0 reads in this one.

    Example:
        >>> loader = RoadLoader(dataset, 8, EpochSampler(len(dataset), seed=1, shuffle=True), num_workers=2)
    """

    def __init__(self, dataset: RoadDataset, batch_size: int, sampler: EpochSampler, num_workers: int = 0) -> None:
        super().__init__(
            dataset,
            batch_size=batch_size,
            sampler=sampler,
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
            pin_memory=torch.cuda.is_available(),
            # A last batch of one picture has no batch statistics.
            drop_last=sampler.shuffle and len(sampler) >= batch_size,
            worker_init_fn=_start_worker,
            multiprocessing_context=worker_context(dataset.samples) if num_workers else None,
        )
        self.order = sampler
        self._num_done = 0
        self._start = 0

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        self._num_done, self._start = self._start, 0
        self.order.num_skipped = self._num_done * (self.batch_size or 1)
        try:
            if self.num_workers:
                # Workers use this process's, which is cleared away in order; that of a worker that is terminated stays.
                get_temp_dir()
            batches = super().__iter__()
        except OSError as fault:
            raise DataError(
                f"data workers cannot be started: {fault.strerror or fault}; set data.num_workers=0, or give a "
                "container shared memory with --shm-size"
            ) from fault
        for batch in batches:
            self._num_done += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """How many batches of the epoch have been handed out."""
        return {"num_batches": self._num_done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Start the next epoch after so many batches."""
        self._start = state["num_batches"]


def _start_worker(worker: int) -> None:
    start_worker()
    # One process reads one picture at a time; more threads only get in each other's way.
    torch.set_num_threads(1)
