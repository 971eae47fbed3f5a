"""Denoising: of made and of real noise, beside cascades of codecs and a denoiser."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scalecodec import codec, image, metrics
from scalecodec.eval import Rung, anchors, scalecodec_ladder

from .measuring import GAINS, Samples, estimates, mean, say

DEVIATIONS = (15, 25, 50)
WEBP_QUALITIES = (1, 10, 30, 60, 85)


def noisy(samples: Samples, deviation: float, seed: int) -> Samples:
    rng = np.random.default_rng(seed)
    return (samples + deviation * rng.standard_normal(samples.shape)).round().clip(0, 255).astype(np.uint8)


def smoothed(samples: Samples) -> Samples:
    """By non-local means, of a strength that follows the noise it finds."""
    from skimage.restoration import denoise_nl_means, estimate_sigma

    x = samples.astype(np.float32) / 255
    sigma = float(np.mean(estimate_sigma(x, channel_axis=2)))
    patches = {"patch_size": 5, "patch_distance": 6, "fast_mode": True, "channel_axis": 2}
    found = denoise_nl_means(x, h=0.8 * sigma, sigma=sigma, **patches)
    return (found * 255).round().clip(0, 255).astype(np.uint8)


def denoising_row(pairs: list[tuple[Samples, Samples]], model: Any, gain: float) -> dict[str, float]:
    """Of pairs (noisy, clean), and of each layer."""
    rows = []
    for given, clean in pairs:
        pixels = clean[..., 0].size
        blob = codec.encode(given, model, gain=gain)
        base = codec.keep(blob, "base")
        shown, whole = codec.decode(base, model=model), codec.decode(blob, model=model)
        residual = whole.astype(float) - shown
        rows.append(
            {
                "base_bpp": 8 * len(base) / pixels,
                "base_clean_db": metrics.psnr(clean, shown),
                "base_noisy_db": metrics.psnr(given, shown),
                "all_bpp": 8 * len(blob) / pixels,
                "all_noisy_db": metrics.psnr(given, whole),
                "given_db": metrics.psnr(clean, given),
                "residual_deviation": float(residual.std()),
                "residual_correlation": float(np.corrcoef(residual.ravel(), clean.astype(float).ravel())[0, 1]),
            }
        )
    return {name: mean(row[name] for row in rows) for name in rows[0]}


def cascades(
    pairs: list[tuple[Samples, Samples]], ladders: dict[str, Sequence[Rung]]
) -> dict[str, list[tuple[float, float]]]:
    """Mean bits a pixel and PSNR beside the clean picture: of codecs alone, before a denoiser and behind one."""
    smooth = [smoothed(given) for given, _ in pairs]
    found: dict[str, list[tuple[float, float]]] = {}
    for name, ladder in ladders.items():
        for rung in ladder:
            rates, first, alone, then = [], [], [], []
            for (given, clean), prepared in zip(pairs, smooth, strict=True):
                blob, other = rung.encode(given), rung.encode(prepared)
                shown = rung.decode(blob)
                rates.append([8 * len(one) / clean[..., 0].size for one in (blob, other)])
                alone.append(metrics.psnr(clean, shown))
                then.append(metrics.psnr(clean, smoothed(shown)))
                first.append(metrics.psnr(clean, rung.decode(other)))
            noisy_rate, smooth_rate = np.mean(rates, 0).tolist()
            found.setdefault(name, []).append((noisy_rate, mean(alone)))
            found.setdefault(f"{name}, then a denoiser", []).append((noisy_rate, mean(then)))
            found.setdefault(f"a denoiser, then {name}", []).append((smooth_rate, mean(first)))
    return found


def denoise(pictures: list[Samples], model: Any, plain: Any, real: str | None) -> None:
    kinds = {
        f"deviation {one}": [(noisy(samples, one, seed), samples) for seed, samples in enumerate(pictures)]
        for one in DEVIATIONS
    }
    if real:
        found = sorted(Path(real).rglob("*real.*"))
        twins = [path.with_name(path.name.replace("real.", "mean.")) for path in found]
        kinds["real"] = [(image.read(a).samples, image.read(b).samples) for a, b in zip(found, twins, strict=True)]
    ladders = {
        "one layer": scalecodec_ladder(plain, GAINS, "one layer"),
        "webp": anchors.ladder("webp", WEBP_QUALITIES),
    }
    for kind, pairs in kinds.items():
        rows = [denoising_row(pairs, model, gain) for gain in GAINS]
        for gain, row in zip(GAINS, rows, strict=True):
            say(noise=kind, gain=gain, **row)
        ours = metrics.improving((row["base_bpp"], row["base_clean_db"]) for row in rows)
        for name, points in cascades(pairs, ladders).items():
            better = metrics.improving(points)
            try:
                delta, gain = metrics.bd_rate(*better, *ours), metrics.bd_psnr(*better, *ours)
            except ValueError as error:  # curves that share no quality
                say(noise=kind, against=name, none=str(error), points=points)
            else:
                span = delta.low, delta.high
                say(noise=kind, against=name, percent=delta.value, db=span, db_at_equal_rate=gain.value, points=points)
    estimates(pictures, model)
