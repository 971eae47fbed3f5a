"""The demo's layers: base, region and full of one file; and a noisy picture, cleaned by its base."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

_QUALITY = 60
_TILE = 64  # small, so that a region costs little
_DEVIATION = 25  # of the noise


def show_layers(folder: Path, samples: Any) -> list[dict[str, Any]]:
    """Write files and pictures, and ``layers.png`` of all; a row for each: file, bytes, PSNR."""
    from scalecodec import codec, image

    from .contact_sheet import sheet

    rows: list[dict[str, Any]] = []
    views: dict[str, Any] = {}

    def part(name: str, title: str, blob: bytes, model: str, wanted: Any) -> None:
        shown = codec.decode(blob, model=model)
        rows.append(_written(folder, name, blob, shown, wanted))
        views[name] = (f"{title}, {len(blob) / 1024:.1f} KB", shown)

    blob = codec.encode(samples, "frequency", quality=_QUALITY, tile=_TILE)
    part("base", "base", codec.keep(blob, "base"), "frequency", samples)
    part("enhanced", "middle enhanced", codec.keep(blob, roi=_middle(samples)), "frequency", samples)
    part("full", "full", blob, "frequency", samples)
    noise = np.random.default_rng(0).standard_normal(samples.shape) * _DEVIATION
    noisy = (samples + noise).round().clip(0, 255).astype(np.uint8)
    image.write(folder / "noisy.png", image.Picture(noisy))
    blob = codec.encode(noisy, "denoise-fine", quality=_QUALITY)
    part("denoised", "base: denoised", codec.keep(blob, "base"), "denoise-fine", samples)
    part("as_given", "all: as it was", blob, "denoise-fine", noisy)
    top = [views[name] for name in ("base", "enhanced", "full")]
    bottom = [("noisy", noisy), views["denoised"], views["as_given"]]
    image.write(folder / "layers.png", image.Picture(sheet([top, bottom])))
    return rows


def text_of(rows: list[dict[str, Any]]) -> list[str]:
    """Lines of a table."""
    lines = [f"{'layers':>14} {'bytes':>8} {'PSNR':>7}"]
    return lines + [f"{row['what']:>14} {row['bytes']:>8} {row['psnr_db']:>7.2f}" for row in rows]


def _written(folder: Path, name: str, blob: bytes, shown: Any, wanted: Any) -> dict[str, Any]:
    from scalecodec import image, metrics
    from scalecodec.container import write_atomic

    write_atomic(folder / f"{name}.scl", blob)
    image.write(folder / f"{name}.png", image.Picture(shown))
    return {"what": name, "bytes": len(blob), "psnr_db": metrics.psnr(wanted, shown)}


def _middle(samples: Any) -> tuple[int, int, int, int]:
    height, width = samples.shape[:2]
    return width // 4, height // 4, max(1, width // 2), max(1, height // 2)
