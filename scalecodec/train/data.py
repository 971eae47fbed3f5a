"""Random crops of a folder of photographs, kept decoded in memory up to a budget."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from scalecodec.image import read

_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".ppm", ".tif", ".tiff"}


def image_paths(folder: str | Path) -> list[Path]:
    """Image files under ``folder``, recursively, sorted; ValueError where there is none."""
    paths = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in _SUFFIXES and path.is_file())
    if not paths:
        raise ValueError(f"{folder}: no image files found (wanted one of {', '.join(sorted(_SUFFIXES))})")
    return paths


def read_rgb(path: str | Path) -> NDArray[np.uint8]:
    """Picture file to uint8 [H, W, 3]: grey goes into all three planes, alpha is left out, 16 bits are rounded to 8.

    Errors are those of :func:`scalecodec.image.read`; they name the file.
    """
    samples = read(path).samples
    if samples.dtype == np.uint16:
        samples = ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)
    planes = samples.shape[2]
    return samples[:, :, :3] if planes > 2 else np.repeat(samples[:, :, :1], 3, axis=2)


class RandomCrops(Dataset[Tensor]):
    """``length`` random crops: float [3, crop, crop] in [0, 1], flipped and transposed at random.

    Item ``i`` is a function of (seed, i) alone, so a resumed or a distributed run draws what one long run would.
    Smaller images are mirrored up to the crop. Decoded images stay in memory while ``cache_bytes`` lasts, which every
    worker process has to itself.
    """

    def __init__(
        self, folder: str | Path, crop: int, length: int, seed: int = 0, first: int = 0, cache_bytes: int = 2 << 30
    ) -> None:
        self.paths = image_paths(folder)
        self.crop, self.length, self.seed, self.first = crop, length, seed, first
        self._cache: dict[int, NDArray[np.uint8]] = {}
        self._room = cache_bytes

    def __len__(self) -> int:
        return self.length

    def _image(self, number: int) -> NDArray[np.uint8]:
        image = self._cache.get(number)
        if image is None:
            image = read_rgb(self.paths[number])
            if image.nbytes <= self._room:
                self._room -= image.nbytes
                self._cache[number] = image
        return image

    def __getitem__(self, index: int) -> Tensor:
        rng = np.random.default_rng((self.seed, self.first + index))
        image = self._image(int(rng.integers(len(self.paths))))
        short = [max(0, self.crop - side) for side in image.shape[:2]]
        if any(short):
            image = np.pad(image, ((0, short[0]), (0, short[1]), (0, 0)), mode="symmetric")
        top, left = (int(rng.integers(side - self.crop + 1)) for side in image.shape[:2])
        patch = image[top : top + self.crop, left : left + self.crop]
        if rng.random() < 0.5:
            patch = patch[:, ::-1]
        if rng.random() < 0.5:
            patch = patch.transpose(1, 0, 2)
        return torch.from_numpy(np.ascontiguousarray(patch.transpose(2, 0, 1))).float() / 255
