"""The anchors: JPEG, WebP, JPEG 2000 and AVIF as Pillow ships them, each at its best settings for RGB PSNR.

Surprise first: defaults would make weak anchors. Bjontegaard deltas of mean curves, six Kodak pictures: JPEG 2000
without its colour transform (Pillow's default) is 3.7 dB worse; AVIF loses 0.4 dB in its default tuning, 0.4 dB at
speed 6 instead of 4, 0.5 dB in 4:2:0; WebP loses 0.1 dB at method 4. JPEG is the other way round: 4:2:0 beats 4:4:4 by
0.4 dB, and 4:2:2 at every rate under 2.5 bits per pixel. `jpeg-flat` is JPEG with one step for all frequencies: over
all 24 pictures 9 % less rate at equal PSNR and 19 % more at equal MS-SSIM, so the field draws `jpeg`.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from PIL import Image, features

from scalecodec.errors import BackendError

from .ladder import Rung, Samples


@dataclass(frozen=True)
class _Anchor:
    """A ladder from about 0.1 to 2.5 bits per pixel on photographs, and Pillow's name for what it needs."""

    settings: tuple[float, ...]
    encode: Callable[[Samples, float], bytes]
    feature: str


def names() -> tuple[str, ...]:
    """The anchors that this Pillow can run."""
    return tuple(name for name, anchor in _ANCHORS.items() if features.check(anchor.feature))


def ladder(name: str, settings: Sequence[float] | None = None) -> tuple[Rung, ...]:
    """One anchor at several settings.

    Parameters
    ----------
    name : str
        "jpeg", "jpeg-flat", "webp", "jpeg2000" or "avif".
    settings : sequence of float, optional
        Quality 1 to 100 for JPEG, 0 to 100 for WebP and AVIF; the quantizer's step, 1 to 255, for "jpeg-flat"; target
        bits per pixel for JPEG 2000. By default 9 or 10 from about 0.1 to 2.5 bits per pixel.

    Raises
    ------
    ValueError
        The name is unknown.
    BackendError
        Pillow was built without this codec.

    Notes
    -----
    JPEG 2000 spends the same rate on every picture, the others hold the step. That flatters its mean curve: at the
    same mean rate it stands 1.6 dB above JPEG 2000 at one PSNR for all. The per-picture deltas of `compare` are free
    of this.
    """
    if name not in _ANCHORS:
        raise ValueError(f"no anchor {name!r}: there are {', '.join(_ANCHORS)}")
    anchor = _ANCHORS[name]
    if not features.check(anchor.feature):
        raise BackendError(f"this Pillow was built without {name}")
    return tuple(
        Rung(name, setting, partial(_encode, anchor.encode, setting), _decode)
        for setting in (anchor.settings if settings is None else settings)
    )


def _encode(encode: Callable[[Samples, float], bytes], setting: float, samples: Samples) -> bytes:
    return encode(samples, setting)


def _decode(data: bytes) -> Samples:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def _save(samples: Samples, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(samples).save(buffer, form, **options)
    return buffer.getvalue()


def _smaller_jpeg(samples: Samples, **options: Any) -> bytes:
    """Progressive, or baseline where that is smaller (the lowest rates): the same pixels either way."""
    both = (_save(samples, "JPEG", subsampling="4:2:0", optimize=True, progressive=p, **options) for p in (True, False))
    return min(both, key=len)


def _jpeg(samples: Samples, setting: float) -> bytes:
    return _smaller_jpeg(samples, quality=int(setting))


def _jpeg_flat(samples: Samples, setting: float) -> bytes:
    return _smaller_jpeg(samples, qtables=[[int(setting)] * 64] * 2)


def _webp(samples: Samples, setting: float) -> bytes:
    return _save(samples, "WEBP", quality=setting, method=6)


def _jpeg2000(samples: Samples, setting: float) -> bytes:
    ratio = 8 * samples.shape[2] / setting
    return _save(
        samples, "JPEG2000", quality_mode="rates", quality_layers=[ratio], irreversible=True, mct=1, no_jp2=True
    )


def _avif(samples: Samples, setting: float) -> bytes:
    return _save(
        samples,
        "AVIF",
        quality=int(setting),
        speed=4,
        subsampling="4:4:4",
        advanced={"tune": "psnr"},
        autotiling=False,  # tiles cost rate
        max_threads=1,  # one thread, as everybody else in the table of times
    )


_ANCHORS = {
    "jpeg": _Anchor((4, 8, 15, 25, 40, 55, 70, 80, 87, 91), _jpeg, "jpg"),
    "jpeg-flat": _Anchor((255, 150, 100, 64, 44, 30, 21, 15, 10, 7), _jpeg_flat, "jpg"),
    "webp": _Anchor((0, 2, 6, 15, 30, 50, 70, 80, 87, 92), _webp, "webp"),
    "jpeg2000": _Anchor((0.1, 0.2, 0.3, 0.45, 0.65, 0.9, 1.25, 1.75, 2.5), _jpeg2000, "jpg_2000"),
    "avif": _Anchor((4, 10, 18, 26, 34, 43, 52, 62, 73, 84), _avif, "avif"),
}
