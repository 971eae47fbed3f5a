"""Bands of frequency: rates, where the base's error lies, and regions."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from scalecodec import codec, metrics
from scalecodec.container import unpack
from scalecodec.layers import Wavelet

from .measuring import GAINS, Samples, compare, estimates, mean, measured, say


def high_share(error: NDArray[np.float64]) -> float:
    """Share of an error's energy at radial frequencies above half of the highest along an axis."""
    power = np.abs(np.fft.fft2(error, axes=(0, 1))) ** 2
    rows, columns = np.fft.fftfreq(error.shape[0]), np.fft.fftfreq(error.shape[1])
    high = np.hypot(rows[:, None], columns[None, :]) >= 0.25
    return float(power[high].sum() / power.sum())


def low_passed(samples: Samples) -> Samples:
    """Without the finest octave: of the 9/7 wavelet's bands only the low one."""
    wavelet = Wavelet("9/7")
    low, high = wavelet(torch.from_numpy(samples.astype(np.float32)).permute(2, 0, 1)[None])
    kept = wavelet.inverse(low, torch.zeros_like(high))[0].permute(1, 2, 0)
    return kept.round().clamp(0, 255).byte().numpy()


def frequency(pictures: list[Samples], model: Any, plain: Any) -> None:
    ours = [measured(pictures, model, gain, ("all", "base")) for gain in GAINS]
    full, base = zip(*ours, strict=True)
    anchor = [measured(pictures, plain, gain, ("all",))[0] for gain in GAINS]
    for gain, one, alone, other in zip(GAINS, full, base, anchor, strict=True):
        say(gain=gain, full_bpp=one[0], full_db=one[1], base_bpp=alone[0], base_db=alone[1], plain=other)
    for name, points in (("full", full), ("base", base)):
        compare(name, anchor, points)
    for gain in GAINS:
        shares, gaps = [], []
        for samples in pictures:
            shown = codec.decode(codec.encode(samples, model, gain=gain), layers="base", model=model)
            shares.append(high_share(samples.astype(float) - shown))
            gaps.append(metrics.psnr(low_passed(samples), shown) - metrics.psnr(samples, shown))
        say(what="base", gain=gain, error_above_half_band=mean(shares), db_nearer_to_low_passed=mean(gaps))
    regions(pictures, model)
    estimates(pictures, model)


def regions(pictures: list[Samples], model: Any) -> None:
    """A region of a quarter of the area, on whole tiles and off them."""
    for tile, shift in ((128, 0), (64, 0), (64, 30)):
        for gain in (0.22, 1.0):
            rows = []
            for samples in pictures:
                height, width = (side // 2 // 64 * 64 for side in samples.shape[:2])
                roi = (64 + shift, 64 + shift, width - shift, height - shift)
                blob = codec.encode(samples, model, gain=gain, tile=tile)
                kept = codec.keep(blob, roi=roi)
                shown, whole, base = (codec.decode(one, model=model) for one in (kept, blob, codec.keep(blob, "base")))
                x, y, w, h = roi
                inside = np.s_[y : y + h, x : x + w]
                outside = np.ones(samples.shape[:2], bool)
                outside[max(0, y - 96) : y + h + 96, max(0, x - 96) : x + w + 96] = False
                sizes = [sum(map(len, unpack(one).layers[1])) for one in (kept, blob)]
                rows.append(
                    (
                        w * h / samples[..., 0].size,
                        sizes[0] / sizes[1],
                        metrics.psnr(samples[inside], whole[inside]) - metrics.psnr(samples[inside], shown[inside]),
                        float(np.abs(shown[outside].astype(int) - base[outside]).max(initial=0)),
                    )
                )
            area, share, lost, changed = np.mean(rows, 0).tolist()
            say(
                what="region",
                tile=tile,
                off_tiles=shift,
                gain=gain,
                area=area,
                bytes=share,
                lost_db=lost,
                outside=changed,
            )
