"""Faults that are not ours, told in one line."""

import pytest
import torch

from drivable.data import loading_fault
from drivable.errors import DataError
from drivable.training.train import _memory_fault


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("DataLoader worker (pid 7) is killed by signal: Killed. ", "a data worker was killed.*data.num_workers"),
        ("DataLoader worker (pid(s) 7) exited unexpectedly", "a data worker was killed"),
        ("DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that dataloader's workers are out "
         "of shared memory.", "shared memory.*data.num_workers=0.*--shm-size"),
        ("unable to allocate shared memory(shm) for file </torch_8334_781115108_0>: No space left on device (28)",
         "shared memory"),
        ("unable to write to file </torch_1_2_3>: No space left on device (28)", "shared memory"),
    ],
)  # fmt: skip
def test_data_workers(said: str, told: str) -> None:
    with pytest.raises(DataError, match=told):
        raise loading_fault(RuntimeError(said)) or AssertionError("not told")


def test_what_a_worker_says_in_our_words_is_kept() -> None:
    fault = DataError("Caught DataError in DataLoader worker process 0.\nTrace\ndrivable.errors.DataError: a.png: bad")
    assert str(loading_fault(fault)) == "a.png: bad"


def test_what_is_no_workers_fault_is_not_told_as_one() -> None:
    assert loading_fault(RuntimeError("mat1 and mat2 shapes cannot be multiplied")) is None
    assert _memory_fault(RuntimeError("mat1 and mat2 shapes cannot be multiplied")) is None


@pytest.mark.parametrize(
    "fault",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_memory_that_ran_out(fault: Exception) -> None:
    assert "lower training.batch_size" in str(_memory_fault(fault))
