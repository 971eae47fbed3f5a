"""Picture files to arrays and back: PNG of 8 and 16 bits; JPEG, WebP, AVIF, JPEG 2000, TIFF and more through Pillow.

Surprise first: nothing is dropped without a word. A file of which only a part would arrive (more bits a sample than
can be read, many frames) is refused, and so is writing to a format that cannot hold the picture. EXIF orientation is
applied.
"""

from __future__ import annotations

import io
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from . import png16
from .atomic import write_atomic
from .errors import BitstreamError
from .image_depth import declared_bits
from .image_formats import encode

Source: TypeAlias = "str | os.PathLike[str] | bytes | bytearray | memoryview | Image.Image"
Samples = npt.NDArray[Any]

# none that runs a program; JPEG covers MPO
_READABLE = ("PNG", "JPEG", "WEBP", "AVIF", "JPEG2000", "TIFF", "BMP", "GIF", "PPM")
_DEEP_MODES = ("I;16", "I;16L", "I;16B", "I;16N")
# Pillow's mode to ours, without and with transparency
_MODES = {mode: ("L", "LA") for mode in ("1", "L", "LA", "La")}
_MODES |= {mode: ("RGB", "RGBA") for mode in ("P", "PA", "RGB", "RGBA", "RGBa")}
_MODES |= {mode: ("RGB", "RGB") for mode in ("RGBX", "CMYK", "YCbCr", "HSV", "LAB")}
_UPRIGHT: dict[object, Callable[[Samples], Samples]] = {  # by EXIF orientation
    2: lambda samples: samples[:, ::-1],
    3: lambda samples: samples[::-1, ::-1],
    4: lambda samples: samples[::-1],
    5: lambda samples: samples.transpose(1, 0, 2),
    6: lambda samples: np.rot90(samples, -1),
    7: lambda samples: samples[::-1, ::-1].transpose(1, 0, 2),
    8: lambda samples: np.rot90(samples),
}
_ORIENTATION = 0x0112
_MANY_FRAMES = "the file holds several pictures: open the one you want with Pillow and pass the image"
_open_lock = threading.Lock()


class _RefusedError(Exception):
    """The picture is sound, but not all of it would arrive."""


@dataclass(frozen=True, eq=False)
class Picture:
    """Samples, and the colour profile that says what they look like.

    Attributes
    ----------
    samples : uint8 or uint16 [H, W, C]
        C of 1 (grey), 2 (grey and alpha), 3 (RGB) or 4 (RGBA); alpha is not premultiplied.
    icc_profile : bytes or None
        None is taken for sRGB.

    Raises
    ------
    TypeError
        `samples` is no such array.
    ValueError
        Its shape is none of these.
    """

    samples: Samples
    icc_profile: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.samples, np.ndarray) or self.samples.dtype not in (np.uint8, np.uint16):
            found = getattr(self.samples, "dtype", type(self.samples).__name__)
            raise TypeError(f"samples must be an ndarray of uint8 or uint16, got {found}")
        if self.samples.ndim != 3 or not 1 <= self.samples.shape[2] <= 4 or 0 in self.samples.shape:
            raise ValueError(f"samples must be [H, W, C] with 1 to 4 channels, got shape {self.samples.shape}")


def read(source: Source) -> Picture:
    """Read one picture.

    Parameters
    ----------
    source : path, bytes-like or PIL.Image.Image
        A file, its content, or an opened image (then its current frame). PNG, JPEG, WebP, AVIF, JPEG 2000, TIFF, BMP,
        GIF and PPM; palettes, CMYK, YCbCr, HSV and CIELAB become RGB, a transparent colour becomes an alpha channel.

    Returns
    -------
    Picture
        Upright (EXIF orientation applied, a damaged EXIF block ignored), in memory of its own. uint16 where the file
        holds 16 bits a sample. A colour profile that describes another colour model than the samples (as that of a
        CMYK file) is left out.

    Raises
    ------
    BitstreamError
        The file is damaged, cut off, of no known format, over 32768 a side or 2**28 pixels in all, or holds what would
        arrive in part only: an animation or several pages, floating-point samples, or a depth other than 8 and 16 bits
        (16-bit colour is read from PNG alone). The message names the file.
    ValueError
        As above, for a `source` that is a PIL image.
    OSError
        The file is missing or may not be read.
    TypeError
        `source` is none of the above.
    """
    if isinstance(source, Image.Image):
        try:
            return _from_pillow(source)
        except _RefusedError as error:
            raise ValueError(str(error)) from error
    if isinstance(source, bytes | bytearray | memoryview):
        name, data = "<bytes>", bytes(source)
    elif isinstance(source, str | os.PathLike):
        name, data = os.fspath(source), Path(source).read_bytes()
    else:
        raise TypeError(f"a picture is read from a path, bytes or a PIL image, got {type(source).__name__}")
    try:
        return _from_png(data) if data.startswith(png16.SIGNATURE) else _from_file(_open(data))
    except (_RefusedError, BitstreamError) as error:
        raise BitstreamError(f"{name}: {error}") from error


def write(path: str | os.PathLike[str], picture: Picture) -> None:
    """Write one picture, whole or not at all; the suffix names the format.

    Parameters
    ----------
    path : path
        .png holds every picture. .webp and .tif(f) hold 8 bits a sample, lossless; .avif (quality 90), .jpg and .jpeg
        (quality 95, without alpha) are lossy; .bmp, .ppm and .pgm hold neither alpha nor a colour profile.
    picture : Picture

    Raises
    ------
    ValueError
        The suffix is unknown, or its format cannot hold the depth, the alpha channel, the colour profile or the size.
    OSError
        The directory or the disk refuses; an old file is untouched.
    """
    try:
        data = encode(picture.samples, picture.icc_profile, Path(path).suffix)
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from error
    write_atomic(path, data)


@contextmanager
def _pillow() -> Iterator[None]:
    """Blame the data for whatever Pillow's readers trip over; they raise many types."""
    try:
        yield
    except (MemoryError, _RefusedError):
        raise
    except UnidentifiedImageError as error:
        raise BitstreamError("the file is damaged, or of no known picture format") from error
    except Exception as error:
        raise BitstreamError(f"the file is damaged: {error}") from error


def _open(data: bytes) -> Image.Image:
    """Identify a file and read its header, under our limit of pixels in place of Pillow's."""
    with _open_lock, warnings.catch_warnings(), _pillow():  # Pillow's limit is one number for the whole process
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, png16.MAX_PIXELS
        try:
            return Image.open(io.BytesIO(data), formats=_READABLE)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _from_png(data: bytes) -> Picture:
    chunks = png16.parse(data)
    if chunks.frames > 1:
        raise _RefusedError(_MANY_FRAMES)
    if chunks.bit_depth == 16:
        orientation = _orientation(lambda: _parsed_exif(chunks.ancillary.get(b"eXIf", b"")))
        return _picture(png16.decode(chunks), orientation, png16.icc_profile(chunks))
    image = _open(data)
    if chunks.colour_type == 0 and b"tRNS" in chunks.ancillary:  # Pillow scales 2 and 4 bits to 8, but not this one
        top = (1 << chunks.bit_depth) - 1
        image.info["transparency"] = (int.from_bytes(chunks.ancillary[b"tRNS"][:2], "big") & top) * (255 // top)
    return _from_file(image)


def _from_file(image: Image.Image) -> Picture:
    with _pillow():
        if getattr(image, "is_animated", False) and image.format != "MPO":  # MPO: a photograph and its previews
            raise _RefusedError(_MANY_FRAMES)
    return _from_pillow(image)


def _from_pillow(image: Image.Image) -> Picture:
    width, height = image.size
    if max(width, height) > png16.MAX_SIDE or not 0 < width * height <= png16.MAX_PIXELS:
        raise _RefusedError(png16.over_limits(width, height))
    deep = image.mode in _DEEP_MODES or (image.mode == "I" and image.format in ("PNG", "PPM"))
    if not deep and image.mode not in _MODES:
        raise _RefusedError(f"samples of Pillow's mode {image.mode} are neither of 8 nor of 16 bits")
    with _pillow():
        bits = declared_bits(image)
        if bits > 8 and (bits != 16 or not deep):
            raise _RefusedError(
                f"not all of its {bits} bits a sample would arrive: convert it to a 16-bit PNG or to 8 bits"
            )
        image.load()
        shown = image if deep else image.convert(_MODES[image.mode][image.has_transparency_data])
        samples = np.asarray(shown).astype(np.uint16 if deep else np.uint8, copy=False).reshape(height, width, -1)
    return _picture(samples, _orientation(image.getexif), image.info.get("icc_profile"))


def _parsed_exif(block: bytes) -> Image.Exif:
    exif = Image.Exif()
    exif.load(block)
    return exif


def _orientation(load: Callable[[], Image.Exif]) -> object:
    try:
        return load().get(_ORIENTATION)
    except Exception:  # as viewers do: a damaged EXIF block costs the rotation, not the picture
        return None


def _picture(samples: Samples, orientation: object, icc: bytes | None) -> Picture:
    upright = _UPRIGHT.get(orientation, lambda same: same)
    model = b"RGB " if samples.shape[2] > 2 else b"GRAY"
    describes_another = icc is not None and icc[16:20] in {b"RGB ", b"GRAY", b"CMYK", b"Lab "} - {model}
    return Picture(np.array(upright(samples), order="C"), None if describes_another else icc or None)
