"""Latents of real pictures, as the shipped model codes them."""

from __future__ import annotations

import os
from dataclasses import replace
from itertools import islice

import numpy as np
import torch

import scalecodec as sc
from scalecodec.eval import find_images
from scalecodec.gains import nearest_gain_index
from scalecodec.speed.workloads import Latents
from scalecodec.streams import LANES

GAIN = 0.25  # two thirds of a bit a pixel
MOST = 4  # pictures


@torch.no_grad()
def of_pictures(folder: str | os.PathLike[str]) -> list[Latents]:
    """Symbols and indexes of the first few pictures of a folder; all are cut to one size."""
    pictures = [sc.image.read(path).samples for path in islice(find_images(folder), MOST)]
    height, width = (min(picture.shape[axis] for picture in pictures) // 64 * 64 for axis in (0, 1))
    model = sc.models.load("vbr-mean")
    coded = []

    def overhear(symbols, indexes, table):
        coded.append((symbols[0].numpy(), indexes[0].numpy()))
        return LANES.encode_batch(symbols, indexes, table)

    sets = []
    for picture in pictures:
        x = torch.from_numpy(picture[:height, :width, :3].astype(np.float32) / 255).permute(2, 0, 1)[None]
        model.encode_latent(model.g_a(x), nearest_gain_index(GAIN), replace(LANES, encode_batch=overhear))
        symbols, indexes = coded[-1]  # the latent comes after the hyper-latent
        sets.append(Latents(*(array.ravel().astype(np.int32) for array in (symbols, indexes))))
    return sets
