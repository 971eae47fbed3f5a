"""How far a picture is from its reference: PSNR and MS-SSIM.

Surprise first: MS-SSIM halves the picture four times, so a side under 161 samples has no value and raises.
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

Image: TypeAlias = "npt.NDArray[Any] | Tensor"

MS_SSIM_MIN_SIDE = 161  # an 11-tap window must still fit after four halvings: (11 - 1) * 2**4 + 1
_BLOCK = 1 << 22  # samples that one step widens to float64: 32 MiB


def psnr(reference: Image, test: Image, peak: float | None = None) -> float:
    """Peak signal-to-noise ratio over all samples, ``10 log10(peak^2 / MSE)``.

    Parameters
    ----------
    reference, test : ndarray or CPU/CUDA tensor, any shape, the same for both
        uint8, uint16 or floating point, the same type for both.
    peak : float, optional
        The largest value a sample can take. 255 for uint8, 65535 for uint16, 1.0 for floating point.

    Returns
    -------
    float
        dB; ``inf`` where the two are equal. Summed in float64, so it does not depend on the size.

    Raises
    ------
    ValueError
        The shapes differ, there are no samples, a sample is not finite, or `peak` is not positive and finite.
    TypeError
        One is an array and the other a tensor, or the types differ or are none of the above.
    """
    peak = _check_pair(reference, test, peak)
    first, second = _flat(reference), _flat(test)
    total = 0.0
    for start in range(0, first.size, _BLOCK):
        stop = start + _BLOCK
        error = first[start:stop].astype(np.float64) - second[start:stop]
        total += float(np.dot(error, error))
    if not math.isfinite(total):
        raise ValueError("a sample is not finite")
    return math.inf if total == 0 else 10 * math.log10(peak * peak * first.size / total)


def ms_ssim(reference: Image, test: Image, peak: float | None = None) -> float:
    """Multi-scale structural similarity, averaged over channels and pictures.

    Parameters
    ----------
    reference, test : ndarray [H, W] or [H, W, C], or tensor [C, H, W] or [N, C, H, W]
        uint8, uint16 or floating point, the same shape and type for both; both sides at least 161.
    peak : float, optional
        As for `psnr`.

    Returns
    -------
    float
        In [0, 1], 1 where the two are equal. Computed in float32, as the field does, on the tensor's device.

    Raises
    ------
    ValueError
        A side is under 161, the shapes differ or fit none of the above, a sample is not finite, or `peak` is bad.
    TypeError
        As for `psnr`.
    ImportError
        ``pytorch-msssim`` is missing; the message names the extra that brings it.

    Notes
    -----
    Wang, Simoncelli and Bovik, Multi-scale structural similarity for image quality assessment, Asilomar 2003.
    """
    peak = _check_pair(reference, test, peak)
    first, second = _batch(reference), _batch(test)
    if min(first.shape[-2:]) < MS_SSIM_MIN_SIDE:
        height, width = first.shape[-2:]
        raise ValueError(f"MS-SSIM needs sides of at least {MS_SSIM_MIN_SIDE}, the picture is {width}x{height}")
    try:
        import pytorch_msssim
    except ImportError as error:
        raise ImportError("MS-SSIM needs pytorch-msssim: pip install 'scalecodec-core[eval]'") from error
    value = float(pytorch_msssim.ms_ssim(first, second, data_range=peak))
    if not math.isfinite(value):
        raise ValueError("a sample is not finite")
    return min(value, 1.0)  # float32 rounding passes 1 by an ulp on equal pictures


def ms_ssim_db(value: float) -> float:
    """MS-SSIM on the scale that curves are drawn in, ``-10 log10(1 - value)``.

    Parameters
    ----------
    value : float
        In [0, 1].

    Returns
    -------
    float
        dB; ``inf`` for 1.

    Raises
    ------
    ValueError
        `value` lies outside [0, 1].
    """
    if not 0 <= value <= 1:
        raise ValueError(f"MS-SSIM lies in [0, 1], got {value}")
    return math.inf if value == 1 else -10 * math.log10(1 - value)


def _is_tensor(image: object) -> bool:
    torch = sys.modules.get("torch")  # whoever holds a tensor has loaded torch; an array must not load it
    return torch is not None and isinstance(image, torch.Tensor)


def _check_pair(reference: Image, test: Image, peak: float | None) -> float:
    """The peak to use, once both are found to be comparable."""
    for image in (reference, test):
        if not isinstance(image, np.ndarray) and not _is_tensor(image):
            raise TypeError(f"a picture must be an ndarray or a tensor, got {type(image).__name__}")
    if _is_tensor(reference) != _is_tensor(test) or reference.dtype != test.dtype:
        raise TypeError(
            f"the two differ in type: {type(reference).__name__} of {reference.dtype}, "
            f"{type(test).__name__} of {test.dtype}"
        )
    if tuple(reference.shape) != tuple(test.shape):
        raise ValueError(f"the two differ in shape: {tuple(reference.shape)} and {tuple(test.shape)}")
    if 0 in reference.shape:
        raise ValueError(f"a picture of shape {tuple(reference.shape)} has no samples")
    largest = _largest_sample(reference)
    if peak is None:
        return largest
    if not (math.isfinite(peak) and peak > 0):
        raise ValueError(f"peak must be positive and finite, got {peak}")
    return float(peak)


def _largest_sample(image: Image) -> float:
    name = str(image.dtype).removeprefix("torch.")
    if name in ("uint8", "uint16"):
        return 255.0 if name == "uint8" else 65535.0
    if name in ("bfloat16", "float16", "float32", "float64"):
        return 1.0
    raise TypeError(f"a picture must be uint8, uint16 or floating point, got {name}")


def _flat(image: Image) -> npt.NDArray[Any]:
    if isinstance(image, np.ndarray):
        return image.reshape(-1)
    # float64 holds every value of every accepted type, bfloat16 too, which numpy does not know
    return image.detach().cpu().double().numpy().reshape(-1)


def _batch(image: Image) -> Tensor:
    """[N, C, H, W] in float32."""
    import torch

    if isinstance(image, np.ndarray):
        if image.ndim not in (2, 3):
            raise ValueError(f"an array must be [H, W] or [H, W, C], got shape {image.shape}")
        planes = image.reshape(*image.shape[:2], -1).transpose(2, 0, 1)
        return torch.from_numpy(np.ascontiguousarray(planes, dtype=np.float32))[None]
    if image.ndim not in (3, 4):
        raise ValueError(f"a tensor must be [C, H, W] or [N, C, H, W], got shape {tuple(image.shape)}")
    return image.detach().float().reshape(-1, *image.shape[-3:])
