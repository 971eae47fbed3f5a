"""A small model that codes pictures at once, and pictures to code: no test of the codec depends on trained weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open

from scalecodec.models import MeanScaleHyperprior, freeze, save_weights

N, M = 8, 12


def small_model(seed: int = 0, channels: int = N, latent_channels: int = M) -> MeanScaleHyperprior:
    """A frozen model with random weights, scaled so that there is something to code and something to see.

    Its latents are strong and faint, its means and scales vary from place to place, its pixels fill [0, 1].
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = MeanScaleHyperprior(channels, latent_channels)
    scales = torch.exp(torch.linspace(1.6, -3.2, latent_channels))
    with torch.no_grad():
        model.g_a[6].weight.mul_(60)
        model.h_a[4].weight.mul_(30)
        model.h_s[4].weight.mul_(3)
        model.h_s[4].bias[:latent_channels] = scales
        model.g_s[6].weight.mul_(4)
        model.g_s[6].bias.fill_(0.5)
    freeze(model)
    return model


def picture(height: int, width: int, channels: int = 3, dtype: type = np.uint8, seed: int = 0) -> np.ndarray:
    """Slopes, edges and noise: [height, width, channels] over the whole range of the type."""
    rng = np.random.default_rng((seed, height, width, channels))
    y, x, c = np.ogrid[:height, :width, :channels]
    smooth = 0.5 + 0.25 * np.sin(x / 23 + c) + 0.2 * np.cos(y / 17 - c) + 0.05 * ((x // 40 + y // 30) % 2)
    values = smooth + rng.normal(0, 0.02, (height, width, channels))
    peak = np.iinfo(dtype).max
    return np.round(values.clip(0, 1) * peak).astype(dtype)


def weight_file(model: MeanScaleHyperprior, path: Path) -> tuple[bytes, dict[str, torch.Tensor], dict[str, str]]:
    """Save a model; the file's bytes, tensors and metadata."""
    save_weights(model, path)
    with safe_open(path, framework="pt") as file:
        return path.read_bytes(), {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118 - not a mapping
