"""SqueezeNet 1.1, 1000 classes of ImageNet, under torchvision's names and with the input of its Caffe release.

Surprise first: the input is BGR from 0 to 255 less a mean, 227x227, and not torchvision's normalized RGB of 224x224.
"""

from __future__ import annotations

import os
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor, nn

from .inputs import planes, resized
from .weights import filled

NUM_CLASSES = 1000
SIDE = 227  # of the input
_SCALED_SIDE = 256  # of the square that the input is the middle of
_MEAN = (104.0, 117.0, 123.0)  # blue, green, red


class Fire(nn.Module):
    """A 1x1 convolution to few channels, then 1x1 and 3x3 side by side to many: [B, in, H, W] -> [B, out, H, W].

    One ReLU behind the concatenation stands for the two before it: the same values, and one place to split at on
    either side of it.
    """

    def __init__(self, in_channels: int, squeezed: int, out_channels: int) -> None:
        super().__init__()
        half = out_channels // 2
        self.squeeze = nn.Conv2d(in_channels, squeezed, 1)
        self.squeeze_activation = nn.ReLU()
        self.expand1x1 = nn.Conv2d(squeezed, half, 1)
        self.expand3x3 = nn.Conv2d(squeezed, half, 3, padding=1)
        self.expand_activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.squeeze_activation(self.squeeze(x))
        return self.expand_activation(torch.cat((self.expand1x1(x), self.expand3x3(x)), 1))


class SqueezeNet(nn.Module):
    """float32 [B, 3, 227, 227] as `preprocess` makes it -> scores [B, 1000], not negative; the largest is the class.

    ``features`` halves the sides four times: 113 after its first convolution, then 56, 28 and 14. Every module from
    ``features.1`` on ends in a ReLU, or pools what one left.

    Notes
    -----
    Iandola et al., SqueezeNet, arXiv:1602.07360; release 1.1, as its Caffe description has it. The softmax that ends
    it there is left out: it changes no order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 3, stride=2),
            nn.ReLU(),
            _pool(),
            Fire(64, 16, 128),
            Fire(128, 16, 128),
            _pool(),
            Fire(128, 32, 256),
            Fire(256, 32, 256),
            _pool(),
            Fire(256, 48, 384),
            Fire(384, 48, 384),
            Fire(384, 64, 512),
            Fire(512, 64, 512),
        )
        self.classifier = nn.Sequential(
            nn.Dropout(0.5), nn.Conv2d(512, NUM_CLASSES, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x))


def load(path: str | os.PathLike[str]) -> SqueezeNet:
    """The network with the weights of a safetensors file (float16 is widened), in evaluation mode, on the CPU.

    Raises
    ------
    FileNotFoundError, BitstreamError, ValueError
        There is no such file, it is damaged, or it holds another network's weights.
    """
    return filled(SqueezeNet(), path)


def preprocess(rgb: npt.NDArray[Any]) -> Tensor:
    """The middle of a picture as the network's input.

    Parameters
    ----------
    rgb : uint8 [H, W, 3]
        Any size: the largest square in the middle is scaled to 256x256, its middle taken. A picture of 256x256 is
        only cropped.

    Returns
    -------
    float32 tensor [3, 227, 227]
        BGR, 0 to 255 less the mean of each channel.

    Raises
    ------
    TypeError, ValueError
        `rgb` is no such array.
    """
    return normalised(_middle(square(rgb), SIDE)[None])[0]


def square(rgb: npt.NDArray[Any]) -> Tensor:
    """The largest square in the middle of a picture, scaled to 256x256: float32 [3, 256, 256], RGB, 0 to 1.

    Raises as :func:`preprocess`.
    """
    picture = planes(rgb)
    side = min(rgb.shape[:2])
    # cropped first, so that a long thin picture costs no more than a square one
    return resized(_middle(picture, side), _SCALED_SIDE, _SCALED_SIDE, antialias=True)[0] / 255


def normalised(x: Tensor) -> Tensor:
    """Pictures [B, 3, H, W], RGB, 0 to 1, as the network takes them: of any size, it averages over what it sees."""
    return 255 * x.flip(1) - torch.tensor(_MEAN, device=x.device).reshape(3, 1, 1)


def _pool() -> nn.MaxPool2d:
    """Caffe rounds the output's size up."""
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)


def _middle(picture: Tensor, side: int) -> Tensor:
    top, left = (picture.shape[-2] - side) // 2, (picture.shape[-1] - side) // 2
    return picture[..., top : top + side, left : left + side]
