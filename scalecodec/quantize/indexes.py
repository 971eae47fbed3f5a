"""Scales to indexes of tables; and both halves of what an entropy coder is given, in one pass."""

from __future__ import annotations

import torch
from torch import Tensor

from scalecodec import _core
from scalecodec.arrays import as_floats

from .checks import bound_of, check_gain_and_threads, check_index_tables, suits_core
from .symbols import prepare_latent, to_symbols


def _indexes_by_torch(
    scale: Tensor, scale_table: Tensor, gain: float, scale_bound: float | Tensor | None, dtype: torch.dtype
) -> Tensor:
    scale = scale.detach() if gain == 1 else scale.detach() * gain
    if scale_bound is not None:
        bound = scale_bound if isinstance(scale_bound, Tensor) else torch.tensor([scale_bound], dtype=torch.float32)
        scale = torch.max(scale, bound.to(scale.device))
    return torch.bucketize(scale.contiguous(), scale_table[:-1].contiguous(), out_int32=True).to(dtype)


def build_indexes(
    scale: Tensor,
    scale_table: Tensor,
    *,
    gain: float = 1.0,
    scale_bound: float | Tensor | None = None,
    dtype: torch.dtype = torch.int32,
    threads: int = 1,
) -> Tensor:
    """Index of the first table scale that is not below ``scale``, or of the last: CompressAI's ``build_indexes``.

    Parameters
    ----------
    scale : float tensor, any shape; NaN selects the last table
    scale_table : float tensor [num_tables], ascending (which is checked in the core only: elsewhere it would cost a
        synchronization). Up to 64 scales are searched in registers.
    gain : number in [2**-126, 2**127]; ``scale * gain`` is looked up
    scale_bound : number, or tensor of one; a scaled scale below it counts as it. None: no bound
    dtype : torch.uint8 (at most 256 tables), torch.uint16 (65536) or torch.int32
    threads : how many may work at once on the CPU, 1 to 256; the result does not depend on it

    Returns
    -------
    Tensor of ``dtype``, of the shape and on the device of ``scale``, in [0, num_tables). The GIL is released meanwhile.

    Raises
    ------
    ValueError
        The table or the bound is not such.
    """
    check_gain_and_threads(gain, threads)
    check_index_tables(scale_table, scale_bound, dtype)
    if not suits_core(scale, scale_table):
        return _indexes_by_torch(scale, scale_table, gain, scale_bound, dtype)
    indexes = torch.empty(scale.shape, dtype=dtype)
    index_half = (as_floats(scale), as_floats(scale_table), bound_of(scale_bound), indexes.numpy())
    _core.quantize(None, index_half, gain, threads)
    return indexes


def quantize_and_index(
    latent: Tensor,
    scale: Tensor,
    scale_table: Tensor,
    *,
    mean: Tensor | None = None,
    gain: float = 1.0,
    scale_bound: float | Tensor | None = None,
    symbol_dtype: torch.dtype = torch.int32,
    index_dtype: torch.dtype = torch.int32,
    threads: int = 1,
) -> tuple[Tensor, Tensor]:
    """What an entropy coder is given: :func:`to_symbols` and :func:`build_indexes` in one pass.

    Parameters
    ----------
    latent, scale : float tensors of one shape
    scale_table, mean, gain, scale_bound, threads : as for :func:`to_symbols` and :func:`build_indexes`
    symbol_dtype, index_dtype : their ``dtype``

    Returns
    -------
    symbols, indexes : new tensors of the shape and on the device of ``latent``. The GIL is released meanwhile.

    Raises
    ------
    ValueError
        As from the two functions, or shapes differ.
    """
    check_gain_and_threads(gain, threads)
    check_index_tables(scale_table, scale_bound, index_dtype)
    if latent.shape != scale.shape:
        raise ValueError(f"latent and scale must have one shape, got {tuple(latent.shape)} and {tuple(scale.shape)}")
    latent, mean = prepare_latent(latent, mean, symbol_dtype)
    if not suits_core(latent, mean, scale, scale_table):
        symbols = to_symbols(latent, mean, gain=gain, dtype=symbol_dtype, threads=threads)
        return symbols, build_indexes(
            scale, scale_table, gain=gain, scale_bound=scale_bound, dtype=index_dtype, threads=threads
        )
    symbols, indexes = torch.empty(latent.shape, dtype=symbol_dtype), torch.empty(scale.shape, dtype=index_dtype)
    means = None if mean is None else as_floats(mean)
    index_half = (as_floats(scale), as_floats(scale_table), bound_of(scale_bound), indexes.numpy())
    _core.quantize((as_floats(latent), means, symbols.numpy()), index_half, gain, threads)
    return symbols, indexes
