"""The drop-in coder against CompressAI's own: the same bytes and symbols, and an answer or an error where it has none.

CompressAI is only ever called with what it codes correctly: see tests/core/test_rans64_parity.py.
"""

from __future__ import annotations

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import scalecodec as sc
from scalecodec.compressai import ans
from scalecodec.compressai.tables import MIN_SINGLE_USE
from scalecodec.errors import BitstreamError, TableError
from tests.core.test_rans64_parity import random_case, safe_for_compressai
from tests.oracle import rans64 as oracle

INT32 = np.iinfo(np.int32)
TABLES = [[0, 20000, 50000, 65535, 65536], [0, 1, 65535, 65536]], [5, 4], [-1, 3]
SYMBOLS = [-1, 0, 1, 2, -2, 5, -100, 100000, -100000, 3, 4]
INDEXES = [0] * 9 + [1] * 2
ONE_SYMBOL = [[0, 65536]], [2], [7]
STREAM = bytes.fromhex("6a13a9e657190f00ffff11ff61ffff0f52fcff5f3c0df3ffd5d33000")  # the first nine, as CompressAI's


def encode(*args):
    return ans.RansEncoder().encode_with_indexes(*args)


def decode(*args):
    return ans.RansDecoder().decode_with_indexes(*args)


def cases(seed, count=40):
    rng = np.random.default_rng(seed)
    found = (random_case(rng) for _ in range(2 * count))
    return [case for case, _ in zip(filter(safe_for_compressai, found), range(count), strict=False)]


def forms(case):
    """The same tables in every form."""
    rows, lengths, offsets = case.lists()
    array = case.cdf, case.lengths, case.offsets
    yield rows, lengths, offsets
    yield case.cdf.tolist(), lengths, offsets
    yield tuple(map(tuple, rows)), tuple(lengths), tuple(offsets)
    yield array
    yield tuple(torch.from_numpy(part.astype(np.int64)) for part in array)
    yield list(case.cdf), case.lengths, offsets  # a list of arrays
    yield (sc.CdfTable.from_cdf(*array),)


@pytest.mark.parametrize("seed", range(4))
def test_same_bytes_and_symbols(compressai, seed):
    for case in cases(seed):
        symbols, indexes, lists = case.symbols.tolist(), case.indexes.tolist(), case.lists()
        theirs = compressai.ans.RansEncoder().encode_with_indexes(symbols, indexes, *lists)
        assert encode(symbols, indexes, *lists) == theirs
        assert decode(theirs, indexes, *lists) == symbols
        assert compressai.ans.RansDecoder().decode_with_indexes(theirs, indexes, *lists) == symbols


@pytest.mark.parametrize("seed", range(4))
def test_several_calls(compressai, seed):
    some = cases(seed, 6)
    theirs, ours = compressai.ans.BufferedRansEncoder(), ans.BufferedRansEncoder()
    for case in some:
        for coder in (theirs, ours):
            call = coder.encode_with_indexes(case.symbols.tolist(), case.indexes.tolist(), *case.lists())
            assert call is None
    stream = theirs.flush()
    assert ours.flush() == stream
    assert ours.flush() == encode([], [], [], [], [])
    decoders = compressai.ans.RansDecoder(), ans.RansDecoder()
    for decoder in decoders:
        decoder.set_stream(stream)
        for case in some:
            for part in np.array_split(case.indexes, 3):  # cut otherwise than it was made
                symbols = decoder.decode_stream(part.tolist(), *case.lists())
                assert isinstance(symbols, list)
                case.symbols[: len(part)], rest = case.symbols[: len(part)], case.symbols[len(part) :]
                assert symbols == case.symbols[: len(part)].tolist()
                case = case._replace(symbols=rest)
    decoders[1].finish()


@pytest.mark.parametrize("seed", range(3))
def test_forms_of_tables(seed):
    for case in cases(seed, 10):
        symbols, indexes = case.symbols.tolist(), case.indexes.tolist()
        stream = oracle.encode(symbols, indexes, oracle.Tables(*case.lists()))
        for tables in forms(case):
            assert encode(symbols, indexes, *tables) == stream
            assert decode(stream, indexes, *tables) == symbols


def test_forms_of_symbols():
    stream = encode(SYMBOLS, INDEXES, *TABLES)
    assert encode(SYMBOLS[:9], INDEXES[:9], *TABLES) == STREAM
    symbols, indexes = np.array(SYMBOLS), np.array(INDEXES)
    for as_given in (list, tuple, np.int32, np.array, torch.tensor, lambda values: list(map(np.int64, values))):
        assert encode(as_given(SYMBOLS), as_given(INDEXES), *TABLES) == stream
    assert encode(symbols, INDEXES, *TABLES) == encode(SYMBOLS, indexes.astype(np.uint8), *TABLES) == stream
    assert encode(SYMBOLS, [*INDEXES, 77], *TABLES) == stream  # what is too much was never read
    assert encode(range(2), range(2), *TABLES) == encode([0, 1], [False, True], *TABLES)
    shaped = np.resize(indexes, (2, 3, 4))
    stream = encode(np.resize(symbols, (2, 3, 4)), shaped, *TABLES)
    for given in (shaped, torch.from_numpy(shaped), shaped.astype(np.uint8)[::1]):
        decoded = decode(stream, given, *TABLES)
        assert decoded.dtype == np.int32
        np.testing.assert_array_equal(decoded, np.resize(symbols, (2, 3, 4)))
    assert decode(stream, tuple(shaped.ravel()), *TABLES) == np.resize(SYMBOLS, 24).tolist()


def test_keywords():
    tables = dict(zip(("cdfs", "cdfs_sizes", "offsets"), TABLES, strict=True))
    stream = ans.RansEncoder().encode_with_indexes(symbols=SYMBOLS, indexes=INDEXES, **tables)
    assert ans.RansDecoder().decode_with_indexes(encoded=stream, indexes=INDEXES, **tables) == SYMBOLS
    decoder = ans.RansDecoder()
    decoder.set_stream(encoded=stream)
    assert decoder.decode_stream(indexes=INDEXES, **tables) == SYMBOLS


def test_forms_of_bytes():
    for given in (STREAM, bytearray(STREAM), memoryview(STREAM), np.frombuffer(STREAM, np.uint8)):
        assert decode(given, INDEXES[:9], *TABLES) == SYMBOLS[:9]
    changing = bytearray(STREAM)
    decoder = ans.RansDecoder()
    decoder.set_stream(changing)
    changing.clear()  # neither locked nor seen
    assert decoder.decode_stream(INDEXES[:9], *TABLES) == SYMBOLS[:9]
    for given in (STREAM.decode("latin-1"), "abcdefgh", None, list(STREAM), 7):
        with pytest.raises(TypeError, match="bytes-like"):
            decode(given, INDEXES[:9], *TABLES)
        with pytest.raises(TypeError, match="bytes-like"):
            decoder.set_stream(given)


def test_what_is_appended_is_copied():
    symbols, indexes = np.array(SYMBOLS, np.int32), np.array(INDEXES, np.int32)
    lists = list(SYMBOLS), list(INDEXES), [list(row) for row in TABLES[0]], list(TABLES[1]), list(TABLES[2])
    encoder = ans.BufferedRansEncoder()
    encoder.encode_with_indexes(symbols, indexes, *TABLES)
    encoder.encode_with_indexes(*lists)
    symbols[:], indexes[:], lists[2][0][1] = 0, 1, 5
    for given in lists:
        given.clear()
    assert encoder.flush() == encode(SYMBOLS * 2, INDEXES * 2, *TABLES)


# Where CompressAI crashes, hangs or reads what is not there


@pytest.mark.parametrize("tables", [TABLES, ([[0, 1, 2, 65536]], [4], [0]), ONE_SYMBOL])
@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_few_symbols(tables, count):
    for symbols in ([0] * count, [7] * count, list(range(count)), [INT32.min, INT32.max, -1][:count]):
        stream = encode(symbols, [0] * count, *tables)
        assert stream == oracle.encode(symbols, [0] * count, oracle.Tables(*tables))
        assert decode(stream, [0] * count, *tables) == symbols
        encoder = ans.BufferedRansEncoder()
        encoder.encode_with_indexes(symbols, [0] * count, *tables)
        assert encoder.flush() == stream


def test_nothing_at_all():
    start = encode([], [], [], [], [])
    assert len(start) == 8
    assert start == ans.BufferedRansEncoder().flush() == encode([], [], *TABLES)
    assert decode(start, [], [], [], []) == decode(start, [], *TABLES) == []
    assert decode(start, np.zeros((0, 3), int), *TABLES).shape == (0, 3)


@pytest.mark.parametrize("far", [2**27 - 20, 2**27 + 20, -(2**27), 2**28, 2**30, INT32.max, INT32.min])
def test_far_symbols(far):
    symbols = [0, far, 1, far]
    stream = encode(symbols, [0] * 4, *TABLES)
    assert stream == oracle.encode(symbols, [0] * 4, oracle.Tables(*TABLES))
    assert decode(stream, [0] * 4, *TABLES) == symbols


def coders():
    """Everything that takes indexes: for SYMBOLS, or for their stream."""
    stream = encode(SYMBOLS, INDEXES, *TABLES)
    begun = ans.RansDecoder()
    begun.set_stream(stream)
    yield lambda *args: encode(SYMBOLS, *args)
    yield lambda *args: ans.BufferedRansEncoder().encode_with_indexes(SYMBOLS, *args)
    yield lambda *args: decode(stream, *args)
    yield begun.decode_stream


@pytest.mark.parametrize("coder", range(4))
@pytest.mark.parametrize("form", [list, np.array])
@pytest.mark.parametrize("index", [-1, 2, 10**6, INT32.max, INT32.min])
def test_bad_index(coder, form, index):
    with pytest.raises(ValueError, match=r"\[0, 2\)"):
        list(coders())[coder](form([*INDEXES[:5], index, *INDEXES[6:]]), *TABLES)


@pytest.mark.parametrize("coder", range(4))
@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda i, c, s, o: (i, [[1, *c[0][1:]], c[1]], s, o), TableError),
        (lambda i, c, s, o: (i, [[0, 9, 9, 65535, 65536], c[1]], s, o), TableError),
        (lambda i, c, s, o: (i, c, [5, 5], o), TableError),  # longer than the row
        (lambda i, c, s, o: (i, c, [5, 1], o), TableError),
        (lambda i, c, s, o: (i, c, [5, -4], o), TableError),
        (lambda i, c, s, o: (i, c, [4, 4], o), TableError),  # does not end at 65536
        (lambda i, c, s, o: (i, c, s, [-1, INT32.max]), TableError),
        (lambda i, c, s, o: (i, [], [], []), TableError),
        (lambda i, c, s, o: (i, c[:1], s, o), ValueError),
        (lambda i, c, s, o: (i, c, s[:1], o), ValueError),
        (lambda i, c, s, o: (i, c, s, o[:1]), ValueError),
        (lambda i, c, s, o: (i, c, s, [2**31, 0]), ValueError),
        (lambda i, c, s, o: (i, [[0, 2**40, 65536], c[1]], [3, 4], o), ValueError),
        (lambda i, c, s, o: (i, np.zeros(4, int), s, o), ValueError),
        (lambda i, c, s, o: (i, np.full((2, 5), 2**40), [5, 4], o), ValueError),
        (lambda i, c, s, o: (i, c, np.array([[5], [4]]), o), ValueError),
        (lambda i, c, s, o: (i, [[0, 0.5, 65536], c[1]], [3, 4], o), TypeError),
        (lambda i, c, s, o: (i, np.zeros((2, 5)), s, o), TypeError),
        (lambda i, c, s, o: (i, [7, 8], s, o), TypeError),
        (lambda i, c, s, o: (i, "ab", s, o), TypeError),
        (lambda i, c, s, o: (i, [b"abcde", b"abcd"], s, o), TypeError),
        (lambda i, c, s, o: (i, c, None, o), TypeError),
        (lambda i, c, s, o: (i, c), TypeError),
        (lambda i, c, s, o: (i, sc.CdfTable.gaussian(), s, o), TypeError),
        (lambda i, c, s, o: (map(int, i), c, s, o), TypeError),
        (lambda i, c, s, o: ([float(x) for x in i], c, s, o), TypeError),
        (lambda i, c, s, o: (np.array(i, float), c, s, o), TypeError),
        (lambda i, c, s, o: ([[x] for x in i], c, s, o), TypeError),
        (lambda i, c, s, o: (dict.fromkeys(i), c, s, o), TypeError),
        (lambda i, c, s, o: ([2**31] * len(i), c, s, o), ValueError),
    ],
)
def test_bad_arguments(coder, change, error):
    with pytest.raises(error) as raised:
        list(coders())[coder](*change(INDEXES, *TABLES))
    assert raised.type is error


@pytest.mark.parametrize("coder", range(2))
def test_bad_symbols(coder):
    call = (ans.RansEncoder, ans.BufferedRansEncoder)[coder]().encode_with_indexes
    for symbols, indexes in (
        (SYMBOLS, INDEXES[:-1]),
        (np.array(SYMBOLS), np.array(INDEXES[:-1])),
        (np.array(SYMBOLS), np.array([*INDEXES, 0])),
        (np.array([SYMBOLS]), INDEXES),
        (SYMBOLS, [[0] * 11]),
        ([2**31], [0]),
        ([-(2**31) - 1], [0]),
        (np.array([2**31]), [0]),
        (np.array([2**64 - 1], np.uint64), [0]),
        ([0.5], [0]),
        ("abc", [0, 0, 0]),
        (b"abc", [0, 0, 0]),
        (np.array([0.5]), [0]),
        (None, [0]),
    ):
        with pytest.raises((ValueError, TypeError)):
            call(symbols, indexes, *TABLES)


def step_by_step(stream, indexes):
    decoder = ans.RansDecoder()
    decoder.set_stream(stream)
    decoder.decode_stream(indexes, *TABLES)
    decoder.finish()


def test_bad_streams():
    rng = np.random.default_rng(1)
    indexes = rng.integers(2, size=500).tolist()
    symbols = rng.integers(-3, 8, 500).tolist()
    stream = encode(symbols, indexes, *TABLES)
    for bad in (b"", b"1234567", stream[:-4], stream[:-1], stream[:8], stream + bytes(4), bytes(64), rng.bytes(900)):
        with pytest.raises(BitstreamError):
            decode(bad, indexes, *TABLES)
        with pytest.raises(BitstreamError):
            step_by_step(bad, indexes)
    for asked in (indexes[:-1], [1 - index for index in indexes], []):
        with pytest.raises(BitstreamError):
            decode(stream, asked, *TABLES)


def test_stream_state():
    stream = encode(SYMBOLS, INDEXES, *TABLES)
    decoder = ans.RansDecoder()
    for call in (decoder.finish, lambda: decoder.decode_stream([0], *TABLES)):
        with pytest.raises(ValueError, match="set_stream"):
            call()
    decoder.set_stream(stream)
    first = decoder.decode_stream(INDEXES[:4], *TABLES)
    assert decode(STREAM, INDEXES[:9], *TABLES) == decoder.decode_with_indexes(STREAM, INDEXES[:9], *TABLES)
    with pytest.raises(BitstreamError, match="left"):
        decoder.finish()
    with pytest.raises(TypeError):
        decoder.decode_stream(None, *TABLES)  # refused before anything was read
    assert first + decoder.decode_stream(INDEXES[4:], *TABLES) == SYMBOLS
    decoder.finish()
    with pytest.raises(BitstreamError):
        decoder.decode_stream([0] * 1000, *TABLES)
    with pytest.raises(ValueError, match="set_stream"):  # not from where the failure left it
        decoder.decode_stream([0], *TABLES)
    decoder.set_stream(stream)
    with pytest.raises(BitstreamError):
        decoder.set_stream(b"1")
    with pytest.raises(ValueError, match="set_stream"):  # not the stream before
        decoder.decode_stream([0], *TABLES)


def test_copies():
    for coder in (ans.RansEncoder(), ans.BufferedRansEncoder(), ans.RansDecoder()):
        assert type(copy.deepcopy(coder)) is type(coder)


# A table an element, as GaussianMixtureConditional has it


def single_use(rng, count, width=9):
    freq = rng.integers(1, 65536 // width, (count, width))
    freq[:, 3] += 65536 - freq.sum(axis=1)
    cdf = np.concatenate([np.zeros((count, 1), int), freq.cumsum(axis=1)], axis=1)
    symbols = rng.integers(-1, width + 1, count)
    return symbols, np.arange(count), cdf, np.full(count, width + 1), rng.integers(-1, 1, count)


@pytest.mark.parametrize("count", [MIN_SINGLE_USE - 1, MIN_SINGLE_USE, 3000])
def test_single_use(count):
    symbols, indexes, *tables = single_use(np.random.default_rng(count), count)
    lists = [array.tolist() for array in (symbols, indexes, *tables)]
    stream = sc.rans64.encode(symbols, indexes, sc.CdfTable.from_cdf(*tables))
    encoder = ans.BufferedRansEncoder()
    encoder.encode_with_indexes(*lists)
    encoder.encode_with_indexes([5], [0], *lists[2:])
    assert encode(*lists) == encode(symbols, indexes, *tables) == stream
    assert decode(stream, *lists[1:]) == lists[0]
    np.testing.assert_array_equal(decode(stream, indexes.reshape(1, -1), *tables), symbols.reshape(1, -1))
    decoder = ans.RansDecoder()
    decoder.set_stream(encoder.flush())
    assert decoder.decode_stream(*lists[1:]) == lists[0]
    assert decoder.decode_stream([0], *lists[2:]) == [5]
    decoder.finish()
    for bad in (stream[:-4], stream + bytes(4)):
        with pytest.raises(BitstreamError):
            decode(bad, *lists[1:])
    with pytest.raises(ValueError, match="fit int32"):
        encode(np.where(indexes == 2, 2**31, symbols), indexes, *tables)
    lists[2][count - 2][4] = lists[2][count - 2][3]
    for call in (lambda: encode(*lists), lambda: decode(stream, *lists[1:])):
        with pytest.raises(TableError, match=f"table {count - 2}"):
            call()


@pytest.fixture
def mixtures(compressai):
    """Two models, the second with our coders."""
    models = [compressai.entropy_models.GaussianMixtureConditional(K=3) for _ in range(2)]
    models[1].entropy_coder._encoder, models[1].entropy_coder._decoder = ans.RansEncoder(), ans.RansDecoder()
    return SimpleNamespace(theirs=models[0], ours=models[1])


def mixture(y, seed=0):
    random = torch.Generator().manual_seed(seed)
    shape = (1, 3 * y.shape[1], *y.shape[2:])
    means, weights = torch.randn(shape, generator=random), torch.rand(shape, generator=random) + 0.1
    weights = weights.reshape(3, -1) / weights.reshape(3, -1).sum(0)
    return lambda: (torch.full(shape, 1.5), means.clone(), weights.reshape(shape))  # they are changed in place there


@pytest.mark.parametrize("shape", [(1, 8, 4, 4), (1, 64, 8, 8)])
def test_mixture(mixtures, shape):
    y = 3 * torch.randn(shape, generator=torch.Generator().manual_seed(1))
    y[:, 2] = 0
    parameters = mixture(y)
    (theirs, abs_max, bitmap), _ = mixtures.theirs.compress(y, *parameters())
    (ours, our_abs_max, our_bitmap), _ = mixtures.ours.compress(y, *parameters())
    assert (ours, our_abs_max) == (theirs, abs_max)
    assert torch.equal(our_bitmap, bitmap)
    decoded = mixtures.ours.decompress(theirs, abs_max, bitmap, *parameters())
    assert torch.equal(decoded, mixtures.theirs.decompress(theirs, abs_max, bitmap, *parameters()))
    assert torch.equal(decoded, y.round())


def test_mixture_of_zeros(mixtures):
    y = torch.zeros(1, 4, 2, 2)  # there a crash
    (stream, _, bitmap), _ = mixtures.ours.compress(y, *mixture(y)())
    assert stream == encode([], [], [], [], [])
    assert not bitmap.any()


def test_bottleneck_of_one_element(compressai):
    """There a crash: one symbol."""
    model = compressai.entropy_models.EntropyBottleneck(1).eval()
    model.update()
    model.entropy_coder._encoder, model.entropy_coder._decoder = ans.RansEncoder(), ans.RansDecoder()
    x = torch.full((1, 1, 1, 1), 0.3)
    strings = model.compress(x)
    assert torch.equal(model.decompress(strings, (1, 1)), model.quantize(x, "dequantize", model._get_medians()[None]))


def test_autoregressive_model(compressai, monkeypatch):
    """Its loop passes all tables for every latent position."""
    from compressai.models import google

    torch.manual_seed(0)
    model = google.JointAutoregressiveHierarchicalPriors(N=8, M=12).eval()
    model.update()
    x = torch.rand(1, 3, 64, 128)
    theirs = model.compress(x)
    expected = model.decompress(**theirs)["x_hat"]
    monkeypatch.setattr(google, "BufferedRansEncoder", ans.BufferedRansEncoder)
    monkeypatch.setattr(google, "RansDecoder", ans.RansDecoder)
    model.entropy_bottleneck.entropy_coder._encoder = ans.RansEncoder()
    model.entropy_bottleneck.entropy_coder._decoder = ans.RansDecoder()
    ours = model.compress(x)
    assert ours["strings"] == theirs["strings"]
    assert torch.equal(model.decompress(**theirs)["x_hat"], expected)
