"""Forward and backward passes on a GPU, recorded once and replayed for every batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

_NUM_WARM_UP = 3


class ReplayedNetwork:
    """Call a network on batches of one shape by replaying its kernels, those of its gradients too.

    A light network is a thousand kernels of a few microseconds each in a step, and Python takes longer to launch them
    than they run. A recording (a CUDA graph, :class:`torch.cuda.CUDAGraph`) is launched at once. The network must do
    the same work for all batches of a shape. Result and gradients lie in one place each, which the next call writes
    anew: so gradients cannot be accumulated over several calls.

    Args:
        network: of images (N, 3, H, W) on a CUDA device.

    Example:
        >>> logits = ReplayedNetwork(model.cuda())(torch.rand(32, 3, 256, 448, device="cuda"))
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._passes: _Passes | None = None

    def __call__(self, images: Tensor) -> Tensor:
        """What the network says of images (N, 3, H, W)."""
        if self._passes is None or self._passes.entry.shape != images.shape:
            self._passes = None  # One at a time: a recording keeps the activations of a whole batch.
            self._passes = _Passes(self._network, images)
        result: Tensor = _Replay.apply(self._passes, images, *self._passes.parameters)  # type: ignore[no-untyped-call]
        return result


class _Passes:
    """A forward pass and, unless gradients are off, its backward pass."""

    def __init__(self, network: nn.Module, images: Tensor) -> None:
        self.entry = images.clone()
        self.parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        # The passes before the recording count batches, move averages and draw numbers, as no step may that a resumed
        # run does not repeat.
        buffers = [buffer.clone() for buffer in network.buffers()]
        random = torch.cuda.get_rng_state(images.device)
        kind, is_mixed = torch.get_autocast_dtype("cuda"), torch.is_autocast_enabled("cuda")
        # A cached copy of a weight in half precision would be replayed for ever.
        with torch.cuda.device(images.device), torch.autocast("cuda", kind, is_mixed, cache_enabled=False):
            aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                for _ in range(_NUM_WARM_UP):
                    result = network(self.entry)
                    self._backward(result, torch.zeros_like(result))
            del result
            torch.cuda.current_stream().wait_stream(aside)
            self.forward, self.backward = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
            # Other threads go on meanwhile, such as the one that pins the next batches.
            with torch.cuda.graph(self.forward, capture_error_mode="thread_local"):
                self.result: Tensor = network(self.entry)
            if self.result.requires_grad:
                self.gradient = torch.zeros_like(self.result)
                with torch.cuda.graph(self.backward, pool=self.forward.pool(), capture_error_mode="thread_local"):
                    self.gradients = self._backward(self.result, self.gradient)
            # Without what autograd knows of the recording's stream, on which no later gradient comes.
            self.result = self.result.detach()
        for buffer, before in zip(network.buffers(), buffers, strict=True):
            buffer.copy_(before)
        torch.cuda.set_rng_state(random, images.device)

    def _backward(self, result: Tensor, gradient: Tensor) -> tuple[Tensor | None, ...]:
        if not result.requires_grad:
            return ()
        return torch.autograd.grad(result, self.parameters, gradient, allow_unused=True)


class _Replay(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, passes: _Passes, images: Tensor, *parameters: Tensor) -> Tensor:
        ctx.passes = passes
        passes.entry.copy_(images)
        passes.forward.replay()
        return passes.result.detach()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        passes: _Passes = ctx.passes
        passes.gradient.copy_(gradients[0])
        passes.backward.replay()
        return None, None, *(None if gradient is None else gradient.detach() for gradient in passes.gradients)
