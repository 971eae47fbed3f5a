from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Buffer

class Table:
    def __init__(self, cdf: NDArray[np.int32], cdf_length: NDArray[np.int32], offset: NDArray[np.int32]) -> None: ...
    @property
    def num_tables(self) -> int: ...

class TableRows:
    def __init__(
        self, cdfs: object, cdf_length: NDArray[np.int32], offset: NDArray[np.int32], keep_objects: bool
    ) -> None: ...
    def matches(
        self, cdfs: object, cdf_length: NDArray[np.int32], offset: NDArray[np.int32], indexes: NDArray[np.integer]
    ) -> bool: ...
    def equals(self, other: TableRows) -> bool: ...
    def check(self) -> None: ...
    def prepare(self) -> Table: ...
    @property
    def num_tables(self) -> int: ...
    @property
    def num_bytes(self) -> int: ...

class Rans64Encoder:
    def __init__(self) -> None: ...
    def prepend(self, symbols: NDArray[np.integer], indexes: NDArray[np.integer], table: Table) -> None: ...
    def prepend_rows(self, symbols: NDArray[np.integer], rows: TableRows) -> None: ...
    def finish(self) -> bytes: ...

class Rans64Decoder:
    def __init__(self, data: Buffer | NDArray[np.uint8]) -> None: ...
    def decode(self, indexes: NDArray[np.integer], table: Table, out: NDArray[np.integer]) -> None: ...
    def decode_rows(self, rows: TableRows, out: NDArray[np.integer]) -> None: ...
    def finish(self) -> None: ...

def pmf_to_quantized_cdf(pmf: NDArray[np.float32], precision: int) -> NDArray[np.int32]: ...
def rans64_encode_batch(
    items: Sequence[tuple[NDArray[np.integer], NDArray[np.integer]]], table: Table, threads: int
) -> list[bytes]: ...
def rans64_decode_batch(
    items: Sequence[tuple[Buffer, NDArray[np.integer], NDArray[np.integer]]], table: Table, threads: int
) -> None: ...
def int32_array(sequence: object, name: str) -> NDArray[np.int32]: ...
def int_list(array: NDArray[np.int32]) -> list[int]: ...
def rans_encode(
    items: Sequence[tuple[NDArray[np.integer], NDArray[np.integer]]], table: Table, threads: int
) -> list[bytes]: ...
def rans_decode(
    items: Sequence[tuple[Buffer, NDArray[np.integer], NDArray[np.integer]]], table: Table, threads: int
) -> None: ...
def quantize(
    symbol_half: tuple[NDArray[np.float32], NDArray[np.float32] | None, NDArray[np.integer]] | None,
    index_half: tuple[NDArray[np.float32], NDArray[np.float32], float, NDArray[np.integer]] | None,
    gain: float,
    threads: int,
) -> None: ...
def dequantize(
    symbols: NDArray[np.integer],
    mean: NDArray[np.float32] | None,
    gain: float,
    latent: NDArray[np.float32],
    threads: int,
) -> None: ...

_Floats = NDArray[np.float32]
MAX_OFFSETS: int

def offset_quantize(
    latent: _Floats,
    mean: _Floats | None,
    scale: _Floats,
    gains: _Floats,
    offsets: _Floats | None,
    table: _Floats,
    bound: float,
    symbols: NDArray[np.integer],
    indexes: NDArray[np.uint8],
    latent_hat: _Floats,
    threads: int,
) -> int | None: ...
def offset_dequantize(
    symbols: NDArray[np.integer],
    indexes: NDArray[np.uint8],
    mean: _Floats | None,
    gains: _Floats,
    offsets: _Floats | None,
    latent_hat: _Floats,
    threads: int,
) -> None: ...
def offset_simulate(
    latent: _Floats,
    mean: _Floats | None,
    scale: _Floats,
    gains: _Floats,
    offsets: _Floats | None,
    table: _Floats,
    bound: float,
    noise: _Floats,
    noisy: _Floats,
    bounded: _Floats,
    latent_hat: _Floats,
    indexes: NDArray[np.uint8],
    threads: int,
) -> None: ...
def offset_backward(
    grad_noisy: _Floats,
    grad_bounded: _Floats,
    grad_latent_hat: _Floats,
    scale: _Floats,
    gains: _Floats,
    bound: float,
    grad_latent: _Floats,
    grad_mean: _Floats | None,
    grad_scale: _Floats,
    threads: int,
) -> None: ...
def offset_gradients(
    grad_latent_hat: _Floats,
    latent: _Floats,
    mean: _Floats | None,
    gains: _Floats,
    indexes: NDArray[np.uint8],
    threads: int,
) -> _Floats: ...

_Sums = Sequence[tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]]
_Rate = tuple[float, NDArray[np.float32] | None, OffsetNetwork | None]

class OffsetNetwork:
    def __init__(
        self,
        layers: Sequence[tuple[NDArray[np.float32], NDArray[np.float32], Sequence[_Sums]]],
        kinds: NDArray[np.int32],
    ) -> None: ...
    def offsets(self, scales: NDArray[np.float32], gain: float) -> NDArray[np.float32]: ...

class ContextNetwork:
    def __init__(
        self,
        weight: NDArray[np.float32],
        bias: NDArray[np.float32],
        layers: Sequence[tuple[NDArray[np.float32], NDArray[np.float32], float | None]],
        sums: Sequence[_Sums],
    ) -> None: ...
    def predict(
        self,
        latent: NDArray[np.float32],
        params: NDArray[np.float32],
        rate: _Rate,
        distributions: NDArray[np.float32],
        threads: int,
    ) -> None: ...
    def encode(
        self,
        latent: NDArray[np.float32],
        params: NDArray[np.float32],
        scale_table: NDArray[np.float32],
        scale_bound: float,
        table: Table,
        wavefront: bool,
        rate: _Rate,
        latent_hat: NDArray[np.float32],
        threads: int,
    ) -> list[bytes]: ...
    def decode(
        self,
        data: Sequence[NDArray[np.uint8]],
        params: NDArray[np.float32],
        scale_table: NDArray[np.float32],
        scale_bound: float,
        table: Table,
        wavefront: bool,
        rate: _Rate,
        latent_hat: NDArray[np.float32],
        threads: int,
    ) -> None: ...

_Phase = tuple[
    NDArray[np.int16],
    tuple[int, int],
    NDArray[np.int64],
    NDArray[np.int32],
    NDArray[np.int32],
    NDArray[np.int32],
]

class IntegerNetwork:
    def __init__(
        self, input_limit: int, layers: Sequence[tuple[int, int, int, tuple[int, int], Sequence[_Phase]]]
    ) -> None: ...
    @property
    def sum_bits(self) -> list[int]: ...
    def run(self, input: NDArray[np.int32], threads: int) -> NDArray[np.int32]: ...

def integer_indexes(scales: NDArray[np.int32], thresholds: NDArray[np.int32], indexes: NDArray[np.uint8]) -> None: ...

MAP_PASSES: int
MAP_CONTEXTS: int
_Bytes = NDArray[np.uint8]

def feature_quantize(
    values: NDArray[np.float32] | NDArray[np.uint16],
    is_bfloat16: bool,
    thresholds: NDArray[np.float32],
    symbols: _Bytes,
    threads: int,
) -> int | None: ...
def feature_reconstruct(
    symbols: _Bytes,
    levels: NDArray[np.float32] | NDArray[np.uint16],
    values: NDArray[np.float32] | NDArray[np.uint16],
    threads: int,
) -> None: ...

ESTIMATE_BINS: int

def feature_surroundings(symbols: _Bytes, classes: _Bytes, indexes: _Bytes, threads: int) -> None: ...
def feature_estimate(
    symbols: _Bytes,
    classes: _Bytes,
    table: NDArray[np.float32] | NDArray[np.uint16],
    values: NDArray[np.float32] | NDArray[np.uint16],
    threads: int,
) -> None: ...
def count_symbols(symbols: _Bytes, indexes: _Bytes | None, counts: NDArray[np.int64]) -> None: ...
def map_pass_size(height: int, width: int, index: int) -> int: ...
def map_read_pass(
    symbols: _Bytes, classes: _Bytes, index: int, indexes: _Bytes, taken: _Bytes | None, threads: int
) -> None: ...
def map_write_pass(symbols: _Bytes, classes: _Bytes, index: int, taken: _Bytes, threads: int) -> None: ...
def crc32c(data: Buffer, value: int = 0) -> int: ...
def available_backends() -> list[str]: ...
def active_backend() -> str: ...
def force_backend(name: str) -> bool: ...
