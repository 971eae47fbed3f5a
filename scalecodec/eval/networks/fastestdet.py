"""FastestDet, a detector of COCO's 80 classes with 240 thousand parameters, under the names of its release.

Surprise first: the backbone's stages meet again in ``SPP``, so one tensor carries everything only up to
``backbone.stage2`` and from ``SPP.Conv1x1`` on; a split between them would have to send two or three.
"""

from __future__ import annotations

import os
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor, nn

from .detections import boxes
from .inputs import planes, resized
from .weights import filled

__all__ = ["COCO_IDS", "NUM_CLASSES", "SIDE", "FastestDet", "boxes", "load", "preprocess"]

SIDE = 352  # of the input
NUM_CLASSES = 80
_ABSENT = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)  # of 1 to 90, the ids that COCO gave out and never used
COCO_IDS = tuple(number for number in range(1, 91) if number not in _ABSENT)  # COCO's id of each class


class FastestDet(nn.Module):
    """float32 [B, 3, 352, 352] as `preprocess` makes it -> [B, 85, 22, 22], which `boxes` reads.

    Channels: 0 the chance of an object, 1 to 4 its box (centre and size, before tanh and sigmoid), 5 to 84 the chance
    of each class. Other sides than 352 work where 32 divides them.

    Notes
    -----
    github.com/dog-qiuqiu/FastestDet, its ONNX file and example/ncnn/FastestDet.cpp; the backbone is ShuffleNetV2,
    Ma et al., arXiv:1807.11164.
    """

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Backbone()
        self.upsample = nn.Upsample(scale_factor=2, mode="nearest")
        self.avg_pool = nn.AvgPool2d(3, stride=2, padding=1)
        self.SPP = Pyramid(48 + 96 + 192, 96)
        self.detect_head = Head(96)

    def forward(self, x: Tensor) -> Tensor:
        fine, middle, coarse = self.backbone(x)
        return self.detect_head(self.SPP(torch.cat((self.avg_pool(fine), middle, self.upsample(coarse)), 1)))


class Backbone(nn.Module):
    """[B, 3, H, W] -> [B, 48, H/8, W/8], [B, 96, H/16, W/16], [B, 192, H/32, W/32]."""

    def __init__(self) -> None:
        super().__init__()
        self.first_conv = nn.Sequential(*_conv(3, 24, 3, stride=2), nn.ReLU())
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.stage2 = _stage(24, 4)
        self.stage3 = _stage(48, 8)
        self.stage4 = _stage(96, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        fine = self.stage2(self.maxpool(self.first_conv(x)))
        middle = self.stage3(fine)
        return fine, middle, self.stage4(middle)


class Down(nn.Module):
    """Two branches of stride 2 side by side: [B, C, H, W] -> [B, 2C, H/2, W/2], all behind a ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch_main = _main_branch(channels, stride=2)
        self.branch_proj = nn.Sequential(
            *_conv(channels, channels, 3, stride=2, groups=channels), *_conv(channels, channels, 1), nn.ReLU()
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((self.branch_proj(x), self.branch_main(x)), 1)


class Shuffle(nn.Module):
    """Even channels pass, odd ones go through a branch, then all in that order: [B, 2C, H, W], all behind a ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch_main = _main_branch(channels, stride=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((x[:, ::2], self.branch_main(x[:, 1::2])), 1)


class Conv1x1(nn.Module):
    """1x1 convolution, normalization and ReLU, one level deeper, where the weight file has its names."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1x1 = nn.Sequential(*_conv(in_channels, out_channels, 1), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return self.conv1x1(x)


class Pyramid(nn.Module):
    """Three depths of 5x5 convolutions, added to what they came from: [B, in, H, W] -> [B, out, H, W]."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.Conv1x1 = Conv1x1(in_channels, channels)
        self.S1, self.S2, self.S3 = (
            nn.Sequential(*(layer for _ in range(depth) for layer in _depthwise5x5(channels))) for depth in (1, 2, 3)
        )
        self.output = nn.Sequential(*_conv(3 * channels, channels, 1))
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.Conv1x1(x)
        return self.relu(x + self.output(torch.cat((self.S1(x), self.S2(x), self.S3(x)), 1)))


class Head(nn.Module):
    """[B, channels, H, W] -> [B, 85, H, W]: object, box, classes."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1x1 = Conv1x1(channels, channels)
        self.obj_layers = Branch(channels, 1)
        self.reg_layers = Branch(channels, 4)
        self.cls_layers = Branch(channels, NUM_CLASSES)
        self.sigmoid = nn.Sigmoid()
        self.softmax = nn.Softmax(1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1x1(x)
        return torch.cat((self.sigmoid(self.obj_layers(x)), self.reg_layers(x), self.softmax(self.cls_layers(x))), 1)


class Branch(nn.Module):
    """A depthwise 5x5 and a 1x1 convolution, nothing behind them: [B, in, H, W] -> [B, out, H, W]."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv5x5 = nn.Sequential(*_depthwise5x5(in_channels), *_conv(in_channels, out_channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv5x5(x)


def load(path: str | os.PathLike[str]) -> FastestDet:
    """The network with the weights of a safetensors file, in evaluation mode, on the CPU.

    Raises
    ------
    FileNotFoundError, BitstreamError, ValueError
        There is no such file, it is damaged, or it holds another network's weights.
    """
    return filled(FastestDet(), path)


def preprocess(rgb: npt.NDArray[Any]) -> Tensor:
    """A whole picture as the network's input, stretched: its aspect ratio is lost.

    Parameters
    ----------
    rgb : uint8 [H, W, 3]

    Returns
    -------
    float32 tensor [3, 352, 352]
        BGR, 0 to 1. Bilinear without antialiasing and in whole levels, as in upstream's training.

    Raises
    ------
    TypeError, ValueError
        `rgb` is no such array.
    """
    return normalised(stretched(rgb)[None])[0]


def stretched(rgb: npt.NDArray[Any]) -> Tensor:
    """A whole picture stretched to the network's size, in whole levels: float32 [3, 352, 352], RGB, 0 to 1.

    Raises as :func:`preprocess`.
    """
    return resized(planes(rgb), SIDE, SIDE, antialias=False)[0].round() / 255


def normalised(x: Tensor) -> Tensor:
    """Pictures [B, 3, H, W], RGB, 0 to 1, as the network takes them."""
    return x.flip(1)


def _conv(
    in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, groups: int = 1
) -> tuple[nn.Module, nn.Module]:
    """A convolution that keeps the size (but for its stride), and its normalization."""
    convolution = nn.Conv2d(
        in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, groups=groups, bias=False
    )
    return convolution, nn.BatchNorm2d(out_channels)


def _depthwise5x5(channels: int) -> tuple[nn.Module, ...]:
    return (*_conv(channels, channels, 5, groups=channels), nn.ReLU())


def _main_branch(channels: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        *_conv(channels, channels, 1),
        nn.ReLU(),
        *_conv(channels, channels, 3, stride, groups=channels),
        *_conv(channels, channels, 1),
        nn.ReLU(),
    )


def _stage(channels: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(Down(channels), *(Shuffle(channels) for _ in range(blocks - 1)))
