"""Cumulative tables: built once from CompressAI's buffers, from probabilities or from scales; validated; shared."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _core
from .arrays import as_integers
from .errors import TableError

if TYPE_CHECKING:
    from torch import Tensor

PRECISION = 16
ID_BYTES = 8
_TAIL_MASS = 1e-9


def pmf_to_quantized_cdf(pmf: ArrayLike, precision: int = PRECISION) -> NDArray[np.int32]:
    """Integer cumulative table of a probability mass function, exactly as CompressAI's function of that name.

    Parameters
    ----------
    pmf : float array-like [n], finite, not negative, at least one positive; taken as float32; need not sum to 1
    precision : bits of probability resolution, 1 to 16

    Returns
    -------
    int32 [n + 1], from 0 to ``2**precision``, strictly increasing. O(n log n).

    Raises
    ------
    ValueError
        An entry is negative or not finite, all are zero, or there are more than ``2**precision``.
    """
    if not isinstance(precision, int):
        raise TypeError(f"precision must be an int, got {precision!r}")
    if not 1 <= precision <= PRECISION:
        raise ValueError(f"precision must lie in [1, {PRECISION}], got {precision}")
    row = np.asarray(pmf)
    if row.dtype.kind not in "fiu":
        raise TypeError(f"pmf must be real numbers, got dtype {row.dtype}")
    if row.ndim != 1:
        raise ValueError(f"pmf must be 1-D, got shape {row.shape}")
    with np.errstate(over="ignore"):  # beyond float32 becomes inf, which the core refuses
        return _core.pmf_to_quantized_cdf(np.ascontiguousarray(row, dtype=np.float32), precision)


def default_scale_table() -> Tensor:
    """CompressAI's 64 scales, log-spaced from 0.11 to 256: float32 tensor [64]."""
    import torch

    return torch.exp(torch.linspace(math.log(0.11), math.log(256), 64))


def gaussian_pmf(scale_table: Tensor) -> tuple[list[Tensor], Tensor]:
    """Probabilities of the integers under zero-mean Gaussians, each row ending with its tail mass (1e-9 at least).

    In float32 and with torch's erfc, as CompressAI computes them: the tables come out equal, not merely close.

    Parameters
    ----------
    scale_table : float32 CPU tensor [num_tables], ascending, positive

    Returns
    -------
    rows : one float32 tensor [2 * center + 2] a table
    offset : int32 tensor [num_tables], the symbol of each row's first entry
    """
    import torch

    reach = -float(torch.special.ndtri(torch.tensor(_TAIL_MASS / 2, dtype=torch.float64)))
    center = torch.ceil(scale_table * reach).int()
    # The law is symmetric: one side of it, mirrored.
    distance = torch.arange(int(center.max()) + 1, dtype=torch.float32)
    upper = 0.5 * torch.erfc((distance - 0.5) / scale_table[:, None] * 2**-0.5)
    lower = 0.5 * torch.erfc((distance + 0.5) / scale_table[:, None] * 2**-0.5)
    half = upper - lower
    rows = []
    for row, low, c in zip(half, lower, center.tolist(), strict=True):
        rows.append(torch.cat((row[: c + 1].flip(0), row[1 : c + 1], 2 * low[c : c + 1])))
    return rows, -center


class CdfTable:
    """Immutable set of cumulative tables, prepared for coding. Safe to share between threads.

    Attributes
    ----------
    cdf : int32 [num_tables, width], read-only; row ``i`` holds ``cdf_length[i]`` entries from 0 to 65536, then zeros
    cdf_length : int32 [num_tables], read-only; symbols of a row plus one, its last symbol being the escape
    offset : int32 [num_tables], read-only; the symbol that a row's first interval stands for
    num_tables : int
    id : 8 bytes, SHA-256 prefix of the canonical form: equal for equal tables, whatever their padding
    """

    cdf: NDArray[np.int32]
    cdf_length: NDArray[np.int32]
    offset: NDArray[np.int32]

    def __init__(self, cdf: NDArray[np.int32], cdf_length: NDArray[np.int32], offset: NDArray[np.int32]) -> None:
        self._core = _core.Table(cdf, cdf_length, offset)
        # Padding is not ours to keep: equal tables must look equal.
        cdf = np.where(np.arange(cdf.shape[1]) < cdf_length[:, None], cdf, 0).astype(np.int32)
        for name, array in (("cdf", cdf), ("cdf_length", cdf_length.copy()), ("offset", offset.copy())):
            array.flags.writeable = False
            setattr(self, name, array)
        self.num_tables = len(cdf_length)
        self.id = self._hash()

    @classmethod
    def from_cdf(cls, cdf: Any, cdf_length: Any, offset: Any) -> CdfTable:
        """From CompressAI's three buffers (``_quantized_cdf``, ``_cdf_length``, ``_offset``), precision 16; copied.

        Parameters
        ----------
        cdf : integers [num_tables, width], NumPy or CPU torch; entries beyond a row's length are ignored
        cdf_length, offset : integers [num_tables]

        Raises
        ------
        TableError
            A row does not start at 0, rise strictly and end at 65536, or its length does not fit.
        ValueError, TypeError
            Shapes do not agree, values are beyond int32, or a dtype is not an integer one.
        """
        named = {"cdf": cdf, "cdf_length": cdf_length, "offset": offset}
        arrays = [_as_int32(value, name) for name, value in named.items()]
        if arrays[0].ndim != 2:
            raise ValueError(f"cdf must be 2-D [num_tables, width], got shape {arrays[0].shape}")
        for name, array in zip(("cdf_length", "offset"), arrays[1:], strict=True):
            if array.shape != arrays[0].shape[:1]:
                raise ValueError(f"{name} must have shape {arrays[0].shape[:1]}, got {array.shape}")
        return cls(*arrays)

    @classmethod
    def from_pmf(cls, pmfs: Sequence[ArrayLike], offsets: ArrayLike) -> CdfTable:
        """From probabilities: one row a table, the last entry of each being the escape's (the tail mass).

        Parameters
        ----------
        pmfs : sequence of float rows, each as for :func:`pmf_to_quantized_cdf`
        offsets : integers [num_tables], the symbol of each row's first entry
        """
        rows = [pmf_to_quantized_cdf(pmf) for pmf in pmfs]
        if not rows:
            raise TableError("there must be at least one table, got no rows")
        length = np.array([len(row) for row in rows], dtype=np.int32)
        cdf = np.zeros((len(rows), int(length.max())), dtype=np.int32)
        for row, padded in zip(rows, cdf, strict=True):
            padded[: len(row)] = row
        return cls.from_cdf(cdf, length, np.asarray(offsets))

    @classmethod
    def gaussian(cls, scale_table: ArrayLike | None = None) -> CdfTable:
        """Zero-mean Gaussians rounded to integers, one table a scale; CompressAI's 64 scales by default. Loads torch.

        Parameters
        ----------
        scale_table : floats [num_tables], positive, ascending, at most 5000: wider laws have more than 65536 symbols

        Raises
        ------
        ValueError
            The scales are not such.
        """
        import torch

        scales = default_scale_table() if scale_table is None else torch.as_tensor(np.asarray(scale_table, np.float32))
        if scales.dim() != 1 or len(scales) == 0:
            raise ValueError(f"scale_table must be 1-D and not empty, got shape {tuple(scales.shape)}")
        if not bool(((scales > 0) & (scales <= 5000)).all() and (scales.diff() >= 0).all()):
            raise ValueError("scale_table must be ascending, with values in (0, 5000]")
        rows, offset = gaussian_pmf(scales)
        return cls.from_pmf([row.numpy() for row in rows], offset.numpy())

    def _hash(self) -> bytes:
        digest = hashlib.sha256(b"scalecodec tables v1")
        for row, length, offset in zip(self.cdf, self.cdf_length, self.offset, strict=True):
            digest.update(np.array([length, offset], dtype="<i4").tobytes())
            digest.update(row[:length].astype("<i4").tobytes())
        return digest.digest()[:ID_BYTES]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CdfTable) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"CdfTable(num_tables={self.num_tables}, width={self.cdf.shape[1]}, id={self.id.hex()})"

    def __reduce__(self) -> tuple[Any, ...]:
        return CdfTable.from_cdf, (self.cdf, self.cdf_length, self.offset)


def _as_int32(value: Any, name: str) -> NDArray[np.int32]:
    array = as_integers(value, name)
    narrow = array.astype(np.int32)
    if not np.array_equal(narrow, array):
        raise ValueError(f"{name} must fit int32, got values from {array.min()} to {array.max()}")
    return narrow
