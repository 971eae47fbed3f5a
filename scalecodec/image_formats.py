"""What each format of picture file can hold, and how we have it written."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from . import png16


@dataclass(frozen=True)
class _Format:
    """Pillow's name, what beyond 8-bit samples it holds, and Pillow's options."""

    name: str
    alpha: bool
    profile: bool
    options: dict[str, Any] = field(default_factory=dict)


_JPEG = _Format("JPEG", False, True, {"quality": 95, "subsampling": "4:4:4", "optimize": True})
_TIFF = _Format("TIFF", True, True, {"compression": "tiff_adobe_deflate"})
_PPM = _Format("PPM", False, False)
_FORMATS = {
    ".png": _Format("PNG", True, True),
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".webp": _Format("WEBP", True, True, {"lossless": True, "exact": True}),
    ".avif": _Format("AVIF", True, True, {"quality": 90, "subsampling": "4:4:4"}),
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".bmp": _Format("BMP", False, False),
    ".ppm": _PPM,
    ".pgm": _PPM,
}


def encode(samples: npt.NDArray[Any], icc: bytes | None, suffix: str) -> bytes:
    """The bytes of a picture file.

    Parameters
    ----------
    samples : uint8 or uint16 [H, W, C], C of 1 to 4
    icc : bytes, optional
        Colour profile.
    suffix : str
        Names the format, in any case; see `scalecodec.image.write` for what each holds.

    Raises
    ------
    ValueError
        The suffix is unknown, or its format cannot hold the depth, the alpha channel, the profile or the size.
    """
    if suffix.lower() not in _FORMATS:
        raise ValueError(f"the suffix must be one of {', '.join(_FORMATS)}, got {suffix!r}")
    form = _FORMATS[suffix.lower()]
    if form.name == "PNG" and samples.dtype == np.uint16:
        return png16.encode(samples, icc)
    _check_holds(form, samples, icc)
    image = Image.fromarray(samples[:, :, 0] if samples.shape[2] == 1 else samples)
    profile = {"icc_profile": icc} if icc else {}
    buffer = io.BytesIO()
    try:
        image.save(buffer, form.name, **form.options, **profile)
    except (OSError, ValueError) as error:  # Pillow's way to say that a side is too long
        raise ValueError(f"{form.name} cannot hold this picture: {error}") from error
    return buffer.getvalue()


def _check_holds(form: _Format, samples: npt.NDArray[Any], icc: bytes | None) -> None:
    lost = (
        (samples.dtype != np.uint8, "16 bits a sample"),
        (samples.shape[2] in (2, 4) and not form.alpha, "an alpha channel"),
        (bool(icc) and not form.profile, "a colour profile"),
    )
    for is_lost, what in lost:
        if is_lost:
            raise ValueError(f"{form.name} does not hold {what}, .png does")
