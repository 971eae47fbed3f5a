"""Pictures in and out of files: modes, depth, orientation, profiles, refusals, damage, round trips."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageOps

from scalecodec import image
from scalecodec.errors import BitstreamError

from . import png_oracle as oracle

RNG = np.random.default_rng(8)
ORIENTATION = 0x0112


def noise(height: int, width: int, channels: int, dtype: type = np.uint8) -> npt.NDArray[np.generic]:
    return RNG.integers(0, np.iinfo(dtype).max + 1, (height, width, channels)).astype(dtype)


def smooth(height: int, width: int) -> npt.NDArray[np.uint8]:
    y, x = np.mgrid[:height, :width]
    return np.stack((2 * x + y, 255 - x - 2 * y, x + 3 * y), axis=2).clip(0, 255).astype(np.uint8)


def saved(picture: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def profile(model: bytes) -> bytes:
    return bytes(16) + model + bytes(108)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_plain_modes_arrive_as_they_are(mode: str) -> None:
    samples = noise(5, 7, len(mode))
    file = saved(Image.fromarray(samples[:, :, 0] if mode == "L" else samples), "PNG")
    for source in (file, bytearray(file), memoryview(file), Image.open(io.BytesIO(file))):
        picture = image.read(source)
        assert picture.samples.dtype == np.uint8
        assert np.array_equal(picture.samples, samples)
        assert picture.icc_profile is None
        assert picture.samples.flags.c_contiguous
        assert picture.samples.flags.writeable
        assert picture.samples.flags.owndata


@pytest.mark.parametrize(
    ("mode", "channels"),
    [
        ("1", 1), ("P", 3), ("PA", 4), ("RGBX", 3), ("RGBa", 4), ("La", 2), ("CMYK", 3), ("YCbCr", 3), ("HSV", 3),
        ("LAB", 3),
    ],
)  # fmt: skip
def test_other_modes_are_converted_as_pillow_converts_them(mode: str, channels: int) -> None:
    rgba = Image.fromarray(np.dstack((smooth(6, 8), np.full((6, 8), 255, np.uint8))))
    source = Image.new("LAB", (8, 6), (120, 10, 20)) if mode == "LAB" else _in_mode(rgba, mode)
    assert source.mode == mode
    picture = image.read(source)
    assert picture.samples.shape == (6, 8, channels)
    expected = source.convert({1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels])
    assert np.array_equal(picture.samples, np.asarray(expected).reshape(6, 8, channels))


def _in_mode(rgba: Image.Image, mode: str) -> Image.Image:
    if mode in ("RGBa", "PA"):
        return rgba.convert(mode) if mode == "RGBa" else rgba.convert("RGB").convert("P").convert("PA")
    if mode == "La":
        return rgba.convert("LA").convert("La")
    return rgba.convert("RGB").convert(mode)


@pytest.mark.parametrize("mode", ["I;16", "I;16L", "I;16B"])
def test_sixteen_bit_grey_of_pillow(mode: str) -> None:
    samples = noise(4, 3, 1, np.uint16)
    source = Image.frombytes(mode, (3, 4), samples.astype(">u2" if mode == "I;16B" else "<u2").tobytes())
    picture = image.read(source)
    assert picture.samples.dtype == np.uint16
    assert picture.samples.dtype.isnative
    assert np.array_equal(picture.samples, samples)


@pytest.mark.parametrize("form", ["PNG", "TIFF", "PPM", "JPEG2000"])
def test_sixteen_bit_grey_files(form: str) -> None:
    samples = noise(40, 30, 1, np.uint16)
    picture = image.read(saved(Image.fromarray(samples[:, :, 0]), form))
    assert picture.samples.dtype == np.uint16
    assert np.array_equal(picture.samples, samples)


def test_one_bit_and_few_bits() -> None:
    bits = RNG.integers(0, 2, (5, 9)).astype(bool)
    assert np.array_equal(image.read(saved(Image.fromarray(bits), "PNG")).samples[:, :, 0], bits * np.uint8(255))
    data = b"".join(b"\0" + bytes([0b00011011]) for _ in range(2))
    file = (
        oracle.SIGNATURE
        + oracle.header(4, 2, 2, 0)
        + oracle.chunk(b"IDAT", zlib.compress(data))
        + oracle.chunk(b"IEND")
    )
    assert np.array_equal(image.read(file).samples[:, :, 0], [[0, 85, 170, 255]] * 2)


@pytest.mark.parametrize("interlace", [False, True])
def test_eight_bit_files_of_the_slow_encoder(interlace: bool) -> None:
    samples = noise(9, 10, 3)
    assert np.array_equal(image.read(oracle.png(samples, (4, 3, 2, 1, 0), interlace)).samples, samples)


@pytest.mark.parametrize(("depth", "level"), [(1, 1), (2, 2), (4, 11), (8, 200)])
def test_a_transparent_grey_of_any_depth(depth: int, level: int) -> None:
    levels = np.arange(1 << depth)
    packed = int("".join(format(one, f"0{depth}b") for one in levels), 2).to_bytes(max(depth << depth, 8) // 8, "big")
    if depth == 1:
        packed = b"\x40"
    head = oracle.header(levels.size, 1, depth, 0) + oracle.chunk(b"tRNS", struct.pack(">H", level))
    data = oracle.chunk(b"IDAT", zlib.compress(b"\0" + packed))
    picture = image.read(oracle.SIGNATURE + head + data + oracle.chunk(b"IEND"))
    assert np.array_equal(picture.samples[0, :, 0], levels * 255 // levels[-1])
    assert np.array_equal(picture.samples[0, :, 1], np.where(levels == level, 0, 255))


@pytest.mark.parametrize("transparency", [1, b"\xff\x80\x00\x40"])
def test_palettes_with_transparency(transparency: int | bytes) -> None:
    indexes = np.array([[0, 1, 2, 3]], np.uint8)
    paletted = Image.fromarray(indexes).convert("L")
    paletted.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120])
    picture = image.read(saved(paletted, "PNG", transparency=transparency))
    alpha = [255, 0, 255, 255] if isinstance(transparency, int) else list(transparency)
    assert picture.samples[0].tolist() == [[30 * i + 10, 30 * i + 20, 30 * i + 30, alpha[i]] for i in range(4)]


def test_a_transparent_colour_of_rgb() -> None:
    samples = noise(4, 4, 3)
    picture = image.read(saved(Image.fromarray(samples), "PNG", transparency=tuple(int(one) for one in samples[1, 2])))
    assert np.array_equal(picture.samples[:, :, :3], samples)
    assert np.array_equal(picture.samples[:, :, 3] == 0, (samples == samples[1, 2]).all(axis=2))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_orientation_is_applied(orientation: int, form: str) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    options = {"lossless": True} if form == "WEBP" else {}
    file = saved(Image.fromarray(smooth(24, 40)), form, exif=exif, **options)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(file)))
    assert upright.size == ((24, 40) if orientation > 4 else (40, 24))
    for source in (file, Image.open(io.BytesIO(file)), upright):
        assert np.array_equal(image.read(source).samples, np.asarray(upright))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_sixteen_bits(orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    samples = noise(5, 7, 3, np.uint16)
    block = oracle.chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
    planes = [Image.fromarray((samples >> shift & 255).astype(np.uint8)) for shift in (0, 8)]
    for plane in planes:
        plane.getexif()[ORIENTATION] = orientation
    low, high = (np.asarray(ImageOps.exif_transpose(plane)) for plane in planes)
    assert np.array_equal(image.read(oracle.png(samples, extra=block)).samples, low + 256 * high.astype(np.uint16))


@pytest.mark.filterwarnings("ignore::UserWarning")  # of Pillow
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_damaged_exif_block_costs_no_picture(dtype: type) -> None:
    samples = noise(3, 4, 3, dtype)
    for block in (b"", b"II", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\0\x01\x01\x12"):
        file = oracle.png(samples, extra=oracle.chunk(b"eXIf", block))
        assert np.array_equal(image.read(file).samples, samples)


@pytest.mark.parametrize(
    ("mode", "model", "kept"), [("RGB", b"RGB ", True), ("L", b"GRAY", True), ("RGB", b"GRAY", False)]
)
def test_profiles_of_the_samples_own_model_are_kept(mode: str, model: bytes, kept: bool) -> None:
    file = saved(Image.new(mode, (4, 4)), "PNG", icc_profile=profile(model))
    assert image.read(file).icc_profile == (profile(model) if kept else None)


def test_a_profile_of_cmyk_goes_with_the_cmyk() -> None:
    file = saved(Image.new("CMYK", (8, 8), (200, 10, 30, 4)), "JPEG", icc_profile=profile(b"CMYK"))
    picture = image.read(file)
    assert picture.icc_profile is None
    assert picture.samples.shape == (8, 8, 3)


def test_multi_picture_jpeg_is_its_first_picture() -> None:
    first, second = Image.fromarray(smooth(16, 16)), Image.new("RGB", (16, 16))
    file = saved(first, "MPO", save_all=True, append_images=[second])
    assert np.array_equal(image.read(file).samples, np.asarray(Image.open(io.BytesIO(file)).convert("RGB")))


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_several_pictures_are_refused_and_one_may_be_chosen(form: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    file = saved(frames[0], form, save_all=True, append_images=frames[1:])
    with pytest.raises(BitstreamError, match="several pictures"):
        image.read(file)
    opened = Image.open(io.BytesIO(file))
    opened.seek(1)
    assert np.abs(image.read(opened).samples[4, 4, :3].astype(int) - [0, 255, 0]).max() < 8


def tiff(bits: int, samples_per_pixel: int, photometric: int) -> bytes:
    """An uncompressed TIFF of one row of four black pixels."""
    count, size = samples_per_pixel, 4 * samples_per_pixel * bits // 8
    depths = struct.pack("<I", bits if count == 1 else 8 + size)
    shorts = {256: 4, 257: 1, 259: 1, 262: photometric, 277: count, 278: 1}
    entries = {tag: struct.pack("<HHII", tag, 3, 1, value) for tag, value in shorts.items()}
    entries |= {tag: struct.pack("<HHII", tag, 4, 1, value) for tag, value in ((273, 8), (279, size))}
    entries[258] = struct.pack("<HHI", 258, 3, count) + depths
    body = bytes(size) + struct.pack(f"<{count}H", *[bits] * count)
    directory = struct.pack("<H", len(entries)) + b"".join(entries[tag] for tag in sorted(entries)) + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(body)) + body + directory


def patched(data: bytes, marker: bytes, offset: int, value: int) -> bytes:
    at = data.index(marker) + offset
    return data[:at] + bytes([data[at] | value]) + data[at + 1 :]


def deep_avif(bits: int) -> bytes:
    """A header that says so, over data of 8 bits."""
    data = patched(saved(Image.new("RGB", (8, 8)), "AVIF"), b"av1C", 6, {10: 0x40, 12: 0x60}[bits])
    for channel in range(3):
        data = patched(data, b"pixi", 9 + channel, bits - 8)
    return data


def test_the_tiff_of_this_test_is_one() -> None:
    assert image.read(tiff(8, 3, 2)).samples.shape == (1, 4, 3)
    assert image.read(tiff(16, 1, 1)).samples.dtype == np.uint16


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (tiff(16, 3, 2), "16 bits"),
        (tiff(16, 4, 5), "16 bits"),
        (tiff(12, 1, 1), "12 bits"),
        (saved(Image.new("F", (4, 4)), "TIFF"), "mode F"),
        (saved(Image.new("I", (4, 4)), "TIFF"), "mode I"),
        (b"P6 2 2 65535\n" + bytes(24), "16 bits"),
        (b"P6 2 2 1023\n" + bytes(24), "10 bits"),
        (b"P5 2 2 1023\n" + bytes(8), "10 bits"),
        (b"P3 1 1 1023\n1 2 3\n", "10 bits"),
        (patched(saved(Image.new("RGB", (8, 8)), "JPEG2000"), b"\xff\x4f\xff\x51", 42, 15), "16 bits"),
        (patched(saved(Image.new("RGB", (8, 8)), "JPEG2000", no_jp2=True), b"\xff\x4f\xff\x51", 48, 15), "16 bits"),
        (deep_avif(10), "10 bits"),
        (deep_avif(12), "12 bits"),
    ],
)
def test_samples_that_would_lose_bits_are_refused(tmp_path: Path, file: bytes, message: str) -> None:
    path = tmp_path / "deep.bin"
    path.write_bytes(file)
    with pytest.raises(BitstreamError, match=f"deep.bin: .*{message}"):
        image.read(path)


def test_a_sixteen_bit_png_opened_by_pillow_is_refused() -> None:
    opened = Image.open(io.BytesIO(oracle.png(noise(3, 3, 3, np.uint16))))
    with pytest.raises(ValueError, match="16 bits") as caught:
        image.read(opened)
    assert not isinstance(caught.value, BitstreamError)
    grey = Image.open(io.BytesIO(oracle.png(noise(3, 3, 1, np.uint16))))
    assert image.read(grey).samples.dtype == np.uint16


FORMATS = ["PNG", "JPEG", "WEBP", "AVIF", "JPEG2000", "TIFF", "BMP", "GIF", "PPM"]


@pytest.mark.filterwarnings("ignore::UserWarning")  # of Pillow
@pytest.mark.parametrize("form", FORMATS)
def test_a_file_cut_short_is_an_error_or_a_picture_of_its_size(tmp_path: Path, form: str) -> None:
    file = saved(Image.fromarray(noise(32, 32, 3)), form)
    path = tmp_path / "cut.bin"
    errors = 0
    for length in [*range(0, len(file), max(1, len(file) // 60)), len(file) // 2]:
        path.write_bytes(file[:length])
        try:
            picture = image.read(path)
        except BitstreamError:
            errors += 1
        else:
            assert picture.samples.shape[:2] == (32, 32)
    assert errors > 20
    path.write_bytes(file[:20])
    with pytest.raises(BitstreamError, match=r"cut\.bin: "):
        image.read(path)


@pytest.mark.filterwarnings("ignore::UserWarning")  # of Pillow
@pytest.mark.parametrize("form", FORMATS)
def test_a_damaged_file_raises_nothing_else(form: str) -> None:
    file = saved(Image.fromarray(noise(16, 16, 3)), form)
    for _ in range(60):
        damaged = bytearray(file)
        for position in RNG.integers(0, len(file), 3):
            damaged[position] = RNG.integers(0, 256)
        try:
            image.read(damaged)
        except BitstreamError:
            continue


@pytest.mark.parametrize("data", [b"", b"\x89PNG", b"not a picture at all", b"%!PS-Adobe-3.0 EPSF-3.0\n", bytes(1000)])
def test_no_picture(data: bytes) -> None:
    with pytest.raises(BitstreamError, match="no known picture format"):
        image.read(data)


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6) + b"," + bytes(8) + b"\0\2\0;"


def bmp(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IIIIiiHHIIIIII", 154, 0, 54, 40, width, height, 1, 24, 0, 100, 0, 0, 0, 0) + bytes(100)


@pytest.mark.parametrize(
    "file",
    [gif(40000, 40000), bmp(30000, 30000), bmp(32769, 1), bmp(1, 32769), b"P6 20000 20000 255\n" + bytes(100)],
)
def test_a_header_over_the_limits_is_refused_before_any_pixel(file: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(BitstreamError, match=r"over 32768 a side|limit of"):
            image.read(file)


def test_the_limit_of_pillow_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    file = saved(Image.fromarray(smooth(20, 20)), "WEBP", lossless=True)
    assert np.array_equal(image.read(file).samples, smooth(20, 20))
    with pytest.raises(BitstreamError):
        image.read(b"junk")
    assert Image.MAX_IMAGE_PIXELS == 10


def test_faults_of_the_caller(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        image.read(tmp_path / "missing.png")
    for source in (None, 3, np.zeros((4, 4, 3), np.uint8)):
        with pytest.raises(TypeError, match="a path, bytes or a PIL image"):
            image.read(source)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="mode F"):
        image.read(Image.new("F", (4, 4)))
    with pytest.raises(ValueError, match="or empty"):
        image.read(Image.new("RGB", (0, 4)))
    with pytest.raises(ValueError, match="is over"):
        image.read(Image.new("1", (32769, 1)))


def test_a_picture_is_checked() -> None:
    for samples in ([[[1]]], np.zeros((2, 2, 3)), np.zeros((2, 2, 3), np.int16)):
        with pytest.raises(TypeError, match="uint8 or uint16"):
            image.Picture(samples)  # type: ignore[arg-type]
    for shape in ((2, 2), (2, 2, 5), (2, 2, 0), (0, 2, 3), (1, 2, 2, 3)):
        with pytest.raises(ValueError, match="1 to 4 channels"):
            image.Picture(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("suffix", [".png", ".PNG", ".webp", ".tif", ".tiff", ".bmp", ".ppm", ".pgm"])
def test_lossless_formats_round_trip(tmp_path: Path, suffix: str, channels: int) -> None:
    picture = image.Picture(noise(20, 30, channels))
    path = tmp_path / f"picture{suffix}"
    if channels in (2, 4) and suffix in (".bmp", ".ppm", ".pgm"):
        with pytest.raises(ValueError, match="alpha"):
            image.write(path, picture)
        assert not path.exists()
        return
    image.write(path, picture)
    back = image.read(path).samples
    if suffix == ".webp" and channels < 3:  # it has colour only
        assert np.array_equal(back[:, :, 0], back[:, :, 2])
        back = back[:, :, [0, 3][:channels]]
    assert np.array_equal(back, picture.samples)


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".avif"])
def test_lossy_formats_come_close(tmp_path: Path, suffix: str) -> None:
    picture = image.Picture(smooth(40, 60))
    image.write(tmp_path / f"picture{suffix}", picture)
    back = image.read(tmp_path / f"picture{suffix}").samples
    assert np.abs(back.astype(int) - picture.samples).mean() < 2


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_sixteen_bits_round_trip_as_png_only(tmp_path: Path, channels: int) -> None:
    picture = image.Picture(noise(9, 8, channels, np.uint16), profile(b"RGB " if channels > 2 else b"GRAY"))
    image.write(tmp_path / "deep.png", picture)
    back = image.read(tmp_path / "deep.png")
    assert back.samples.dtype == np.uint16
    assert np.array_equal(back.samples, picture.samples)
    assert back.icc_profile == picture.icc_profile
    with pytest.raises(ValueError, match=r"deep.tif: TIFF does not hold 16 bits"):
        image.write(tmp_path / "deep.tif", picture)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".avif", ".tif"])
def test_profiles_are_written(tmp_path: Path, suffix: str) -> None:
    image.write(tmp_path / f"p{suffix}", image.Picture(smooth(9, 9), profile(b"RGB ")))
    assert image.read(tmp_path / f"p{suffix}").icc_profile == profile(b"RGB ")


def test_what_a_format_cannot_hold_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "old.bmp"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match="BMP does not hold a colour profile"):
        image.write(path, image.Picture(smooth(4, 4), b"profile"))
    assert path.read_bytes() == b"old"
    with pytest.raises(ValueError, match=r"suffix must be one of \.png"):
        image.write(tmp_path / "picture.gif", image.Picture(smooth(4, 4)))
    with pytest.raises(ValueError, match=r"long\.webp: WEBP cannot hold this picture"):
        image.write(tmp_path / "long.webp", image.Picture(np.zeros((1, 20000, 3), np.uint8)))
    assert [one.name for one in tmp_path.iterdir()] == ["old.bmp"]


def test_invisible_colours_survive(tmp_path: Path) -> None:
    samples = noise(8, 8, 4)
    samples[:, :, 3] = 0
    for suffix in (".png", ".webp", ".tif"):
        image.write(tmp_path / f"p{suffix}", image.Picture(samples))
        assert np.array_equal(image.read(tmp_path / f"p{suffix}").samples, samples)
