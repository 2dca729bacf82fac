"""A convolution of each channel by itself."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class DepthwiseConv2d(nn.Conv2d):
    """A depthwise convolution whose gradients stay in float32 on a CPU.

    Under ``bf16-mixed`` everything else gains; oneDNN's gradient of this one takes four times as long in bfloat16.

    Args:
        channels: in and out.
        kernel: rows and columns.
        stride: of the output.
        padding: zeros on every side.
        dilation: distance between the kernel's points.

    Example:
        >>> DepthwiseConv2d(8, kernel=3, padding=1)(torch.zeros(1, 8, 5, 5)).shape
        torch.Size([1, 8, 5, 5])
    """

    def __init__(self, channels: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> None:
        super().__init__(channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H', W')."""
        if not (torch.is_grad_enabled() and torch.is_autocast_enabled("cpu") and x.device.type == "cpu"):
            return super().forward(x)
        with torch.autocast("cpu", enabled=False):
            return super().forward(x.float()).to(torch.get_autocast_dtype("cpu"))
