"""scalecodec demo: one photograph at several rates, into real files and back, in pictures."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from .demo_layers import show_layers, text_of
from .terminal import add_json, show

_QUALITIES = (10, 30, 50, 70, 90)
_SHOWN = (10, 50, 90)


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("demo", help="code a photograph at several rates and show the result")
    parser.add_argument("picture", nargs="?", help="a picture of your own (default: scikit-image's astronaut)")
    parser.add_argument("-o", "--output", default="scalecodec-demo", help="folder for files and pictures")
    parser.add_argument("-m", "--model", default="vbr-mean", help="name in the zoo or weight file")
    add_json(parser)
    parser.set_defaults(run=run)


def _photograph(path: str | None) -> Any:
    """RGB samples, uint8 [H, W, 3]."""
    from scalecodec import image

    if path is not None:
        samples = image.read(path).samples
        if samples.dtype != "uint8" or samples.shape[2] != 3:
            raise ValueError(f"{path}: the demo takes an 8-bit RGB picture; encode takes every kind")
        return samples
    try:
        from skimage import data
    except ImportError as error:
        raise ImportError(
            "the demo's photograph comes with scikit-image: pip install 'scalecodec-core[demo]'"
        ) from error
    return data.astronaut()


def run(options: argparse.Namespace) -> None:
    from scalecodec import codec, image, metrics
    from scalecodec.container import write_atomic

    from .contact_sheet import contact_sheet, jpeg_of_size

    samples = _photograph(options.picture)
    height, width = samples.shape[:2]
    folder = Path(options.output)
    folder.mkdir(parents=True, exist_ok=True)
    image.write(folder / "original.png", image.Picture(samples))
    # loads the weights, which are not what is timed
    codec.decode(codec.encode(samples, options.model), model=options.model)
    rows, columns = [], [("original", samples, samples)]
    for quality in _QUALITIES:
        start = time.perf_counter()
        blob = codec.encode(samples, options.model, quality=quality)
        encoded = time.perf_counter()
        write_atomic(folder / f"quality_{quality}.scl", blob)
        decoding = time.perf_counter()
        decoded = codec.decode((folder / f"quality_{quality}.scl").read_bytes(), model=options.model)
        end = time.perf_counter()
        image.write(folder / f"quality_{quality}.png", image.Picture(decoded))
        jpeg = jpeg_of_size(samples, len(blob))
        rows.append(
            {
                "quality": quality,
                "bytes": len(blob),
                "bits_per_pixel": 8 * len(blob) / (height * width),
                "psnr_db": metrics.psnr(samples, decoded),
                "jpeg_psnr_db": None if jpeg is None else metrics.psnr(samples, jpeg),
                "encode_seconds": encoded - start,
                "decode_seconds": end - decoding,
            }
        )
        if quality in _SHOWN:
            columns.append((f"{len(blob) / 1024:.1f} KB", decoded, jpeg))
    _region(folder, samples, options.model)
    image.write(folder / "demo.png", image.Picture(contact_sheet(columns)))
    layers = show_layers(folder, samples)
    text = _text(rows, options.picture or "astronaut") + text_of(layers)
    text.append(f"pictures and files: {folder} (demo.png and layers.png show all)")
    show(options, {"folder": str(folder), "rows": rows, "layers": layers}, "\n".join(text))


def _region(folder: Path, samples: Any, model: str) -> None:
    """A region decoded alone, from the middle quality's file."""
    from scalecodec import codec, image

    height, width = samples.shape[:2]
    region = (width // 4, 0, max(1, width // 2), max(1, height // 2))
    blob = (folder / f"quality_{_QUALITIES[2]}.scl").read_bytes()
    image.write(folder / "region.png", image.Picture(codec.decode(blob, layers="base", roi=region, model=model)))


def _text(rows: list[dict[str, Any]], name: str) -> list[str]:
    names = f"{'quality':>7} {'bytes':>8} {'bpp':>7} {'PSNR':>7} {'JPEG, same size':>16} {'encode':>8} {'decode':>8}"
    lines = [
        f"{row['quality']:>7} {row['bytes']:>8} {row['bits_per_pixel']:>7.3f} {row['psnr_db']:>7.2f} "
        + (f"{row['jpeg_psnr_db']:>16.2f}" if row["jpeg_psnr_db"] is not None else f"{'cannot':>16}")
        + f" {row['encode_seconds']:>6.2f} s {row['decode_seconds']:>6.2f} s"
        for row in rows
    ]
    return [name, names, *lines]
