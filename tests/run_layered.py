"""What the layered models of the zoo are worth: the acceptance lists for frequency bands and for denoising, in figures.

    python tests/run_layered.py frequency FOLDER [--model NAME] [--plain NAME] [--every N]
    python tests/run_layered.py denoise FOLDER [--model NAME] [--plain NAME] [--every N] [--real FOLDER]

FOLDER has 8-bit RGB photographs that no model was trained on; ``--real`` pairs of a noisy and a clean picture of one
scene, names ending in ``real`` and ``mean``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from scalecodec import codec, image, metrics, models
from scalecodec.container import unpack
from scalecodec.eval import Rung, anchors, find_images, scalecodec_ladder
from scalecodec.gains import GAIN_TABLE, nearest_gain_index
from scalecodec.layers import Wavelet

GAINS = (0.064, 0.12, 0.22, 0.4, 0.7, 1.0)
DEVIATIONS = (15, 25, 50)
WEBP_QUALITIES = (1, 10, 30, 60, 85)
Samples = NDArray[np.uint8]


def say(**figures: Any) -> None:
    sys.stdout.write(json.dumps(figures) + "\n")
    sys.stdout.flush()


def curve(points: Iterable[tuple[float, float]]) -> tuple[list[float], list[float]]:
    rates, qualities = zip(*sorted(points), strict=True)
    return list(rates), list(qualities)


def mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def measured(pictures: list[Samples], model: Any, gain: float, layers: str | int) -> tuple[float, float]:
    """Mean bits a pixel and PSNR of the first layers."""
    rates, qualities = [], []
    for samples in pictures:
        blob = codec.keep(codec.encode(samples, model, gain=gain), layers)
        rates.append(8 * len(blob) / samples[..., 0].size)
        qualities.append(metrics.psnr(samples, codec.decode(blob, model=model)))
    return mean(rates), mean(qualities)


def estimates(pictures: list[Samples], model: Any) -> None:
    """Bits of whole files beside those that the likelihoods say; of sides cut to multiples of 64."""
    pictures = [one[: one.shape[0] // 64 * 64, : one.shape[1] // 64 * 64] for one in pictures]
    for gain in (GAIN_TABLE[nearest_gain_index(gain)] for gain in GAINS):
        real = told = 0.0
        for samples in pictures:
            real += 8 * len(codec.encode(samples, model, gain=gain))
            x = torch.from_numpy(samples.astype(np.float32) / 255).permute(2, 0, 1)[None]
            with torch.no_grad():
                told += sum(float(-p.log2().sum()) for p in model(x, gain)["likelihoods"].values())
        say(what="real over estimated bits", gain=gain, percent=100 * (real / told - 1))


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
    full = [measured(pictures, model, gain, "all") for gain in GAINS]
    base = [measured(pictures, model, gain, "base") for gain in GAINS]
    anchor = [measured(pictures, plain, gain, "all") for gain in GAINS]
    for gain, one, alone, other in zip(GAINS, full, base, anchor, strict=True):
        say(gain=gain, full_bpp=one[0], full_db=one[1], base_bpp=alone[0], base_db=alone[1], plain=other)
    for name, points in (("full", full), ("base", base)):
        delta = metrics.bd_rate(*curve(anchor), *curve(points))
        say(what=f"BD-rate of {name} against one layer", percent=delta.value, db=(delta.low, delta.high))
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
        ours = curve((row["base_bpp"], row["base_clean_db"]) for row in rows)
        for name, points in cascades(pairs, ladders).items():
            better = best(points)
            try:
                delta, gain = metrics.bd_rate(*better, *ours), metrics.bd_psnr(*better, *ours)
            except ValueError as error:  # curves that share no quality
                say(noise=kind, against=name, none=str(error), points=points)
            else:
                span = delta.low, delta.high
                say(noise=kind, against=name, percent=delta.value, db=span, db_at_equal_rate=gain.value, points=points)
    estimates(pictures, model)


def best(points: Iterable[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """A curve of those settings that beat every cheaper one: more bits may only bring noise back."""
    kept: list[tuple[float, float]] = []
    for rate, quality in sorted(points):
        if not kept or quality > kept[-1][1]:
            kept.append((rate, quality))
    return curve(kept)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("frequency", "denoise"))
    parser.add_argument("folder")
    parser.add_argument("--model", help="default: the one of that name")
    parser.add_argument("--plain", default="vbr-mean", help="a model of one layer to stand beside it")
    parser.add_argument("--every", type=int, default=1, help="take every Nth picture")
    parser.add_argument("--real", help="folder of noisy and clean pictures")
    options = parser.parse_args(arguments)
    pictures = [image.read(path).samples for path in find_images(options.folder)[:: options.every]]
    model, plain = models.load(options.model or options.what), models.load(options.plain)
    if options.what == "frequency":
        frequency(pictures, model, plain)
    else:
        denoise(pictures, model, plain, options.real)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
