"""Entropy models by themselves: when the prepared table is rebuilt, copies, precision, and bad inputs of every kind."""

from __future__ import annotations

import copy
import math
import pickle  # noqa: TID251 - users send modules to worker processes
import warnings

import pytest
import torch

from scalecodec.entropy_models import EntropyBottleneck, GaussianConditional
from scalecodec.errors import BitstreamError, TableError

UNFILLED = "Uninitialized CDFs"


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def bottleneck(channels=4, spread=0.3):
    model = EntropyBottleneck(channels).eval()
    with torch.no_grad():
        for matrix in model.matrices:
            matrix.add_(torch.randn_like(matrix) * spread)
    model.update(update_quantiles=True)
    return model


def conditional():
    model = GaussianConditional()
    model.update()
    return model


def indexes_like(y):
    return torch.randint(64, y.shape, dtype=torch.int32)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_work_and_leave_the_prepared_table_behind(copied):
    model, x = bottleneck(), torch.randn(2, 4, 6) * 3
    strings = model.compress(x)
    other = copied(model)
    assert model._prepared._made is not None
    assert other._prepared._made is None
    assert other.compress(x) == strings
    other.update(force=True, update_quantiles=True)
    with torch.no_grad():
        other.biases[0].add_(1)
    other.update(force=True)
    assert other.compress(x) != strings, "the copy shares the original's table"
    assert model.compress(x) == strings


def test_the_prepared_table_stands_while_the_buffers_do():
    model, x = bottleneck(), torch.randn(2, 4, 6)
    table = model.table
    model.decompress(model.compress(x), (6,))
    model(x)
    model.train().eval().to("cpu").float()
    assert not model.update()
    assert model.table is table


@pytest.mark.parametrize("inference", [False, True])
def test_the_prepared_table_follows_every_change_of_the_buffers(inference):
    with torch.inference_mode(inference):
        model, sources = bottleneck(), [bottleneck(), bottleneck()]
        assert len({m.table.id for m in (model, *sources)}) == 3
        for source in sources * 3:
            for _ in range(2):  # twice: the second may get the memory of the first but one
                model.load_state_dict(source.state_dict())
            assert model.table.id == source.table.id
        model.matrices[0].mul_(1.1) if inference else model.matrices[0].data.mul_(1.1)
        assert model.update(force=True)
        fresh = EntropyBottleneck(4)
        fresh.load_state_dict(model.state_dict())
        assert model.table.id == fresh.table.id != sources[1].table.id


def test_the_prepared_table_sees_new_values_in_old_memory():
    model = bottleneck()
    memory = model._offset.numpy().copy()
    model._offset = torch.from_numpy(memory)
    before = model.table.offset.tolist()
    memory -= 1
    model._offset = torch.from_numpy(memory)
    assert model.table.offset.tolist() == [offset - 1 for offset in before]
    model._offset.add_(1)
    assert model.table.offset.tolist() == before


def test_a_model_without_tables_says_so():
    for model in (EntropyBottleneck(3), GaussianConditional()):
        y = torch.zeros(1, 3, 2)
        for call in (
            lambda m=model: m.table,
            lambda m=model, y=y: m.compress(*([y] if isinstance(m, EntropyBottleneck) else [y, y.int()])),
            lambda m=model, y=y: m.decompress([b"\0" * 8], (2,) if isinstance(m, EntropyBottleneck) else y.int()),
        ):
            with pytest.raises(ValueError, match=UNFILLED):
                call()


def test_what_their_coder_crashes_on_is_coded():
    one = bottleneck(1)
    for shape in ((1, 1, 1, 1), (2, 1), (2, 1, 0), (0, 1, 3)):
        x = torch.rand(shape) * 5
        decoded = one.decompress(one.compress(x), shape[2:])
        assert torch.equal(decoded, one(x)[0])
    far = torch.tensor([[[2.0**30, -(2.0**31), 0.0]]])
    assert torch.equal(one.decompress(one.compress(far), (3,)), one(far)[0])


def test_awkward_memory_codes_alike():
    model, y = conditional(), torch.randn(2, 4, 3, 5) * 4
    indexes, means = indexes_like(y), torch.randn(2, 4, 1, 1)
    strings = model.compress(y, indexes, means)
    swapped = [tensor.to(memory_format=torch.channels_last) for tensor in (y, indexes)]
    assert model.compress(*swapped, means) == strings
    assert model.compress(y, indexes.long(), means.requires_grad_()) == strings
    out = model.decompress(strings, swapped[1], means=means)
    assert torch.equal(out, model.decompress(tuple(map(bytearray, strings)), indexes.long(), means=means))


@pytest.mark.parametrize("gain", [1.0, 0.3])
@pytest.mark.parametrize("means", [None, (2, 3, 4, 5), (1, 3, 1, 1)])
def test_a_gain_scales_before_rounding_and_after_decoding(means, gain):
    model = conditional()
    y = torch.randn(2, 3, 4, 5) * 30
    centres = None if means is None else torch.randn(means)
    indexes = indexes_like(y)
    strings = model.compress(y, indexes, centres, gain=gain)
    centred = (y if centres is None else y - centres) * gain
    assert strings == model.compress(centred, indexes)
    symbols = torch.round(centred)
    if centres is None:
        for dtype in (torch.float32, torch.float64):
            decoded = model.decompress(strings, indexes, dtype, gain=gain)
            assert torch.equal(decoded, symbols.to(dtype) / gain)
            assert decoded.dtype is dtype
    else:
        spread = centres.expand(2, -1, -1, -1)
        assert torch.equal(model.decompress(strings, indexes, means=spread, gain=gain), symbols / gain + centres)


def test_scales_are_looked_up_with_their_gain_and_bound():
    model = conditional()
    scales = torch.cat([torch.randn(1000).exp(), model.scale_table, torch.tensor([0.0, -1.0, math.nan, math.inf])])
    for gain in (1.0, 0.3, 2.0):
        lifted = torch.max(scales * gain, torch.tensor([0.11]))
        expected = torch.bucketize(lifted, model.scale_table[:-1], out_int32=True)
        assert torch.equal(model.build_indexes(scales, gain), expected)
        assert torch.equal(model.build_indexes(scales.double(), gain), model.build_indexes(scales.double() * gain))
    assert model.build_indexes(scales.requires_grad_()).dtype is torch.int32


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 2.0**31, -3e9])
def test_latents_that_no_symbol_stands_for_are_refused(bad):
    y = torch.zeros(2, 4, 3)
    y[1, 2, 1] = bad
    with pytest.raises(ValueError, match="finite"):
        bottleneck().compress(y)
    with pytest.raises(ValueError, match="finite"):
        conditional().compress(torch.zeros_like(y), torch.zeros(y.shape, dtype=torch.int32), means=-y)


def test_wrong_shapes_and_types_are_refused():
    prior, model, y = bottleneck(), conditional(), torch.zeros(2, 4, 3)
    indexes, strings = indexes_like(y), conditional().compress(y, indexes_like(y))
    faults = {
        "at least 2 dimensions": [lambda: prior.compress(y[0, 0]), lambda: model.compress(y[0, 0], indexes[0, 0])],
        "same size": [lambda: prior.compress(y[:, :3]), lambda: model.compress(y, indexes[:1])],
        "do not fit": [
            lambda: model.compress(y, indexes, means=torch.zeros(3, 4, 3)),
            lambda: model.compress(y[:1], indexes[:1], means=y),
            lambda: model.compress(y, indexes, means=y[None]),
        ],
        "index": [lambda: model.compress(y, indexes + 64), lambda: model.decompress(strings, indexes - 64)],
        "strings": [
            lambda: model.decompress(strings[0], indexes),
            lambda: model.decompress(strings[:1], indexes),
            lambda: prior.decompress(strings[0], (3,)),
        ],
        "means": [
            lambda: model.decompress(strings, indexes, means=y[:1]),
            lambda: model.decompress(strings, indexes, means=y[:, :, :2]),
            lambda: model.decompress(strings, indexes, means=y[..., None]),
        ],
        "negative": [lambda: prior.decompress(strings, (-1,)), lambda: prior.decompress(strings, (2, -1))],
        "mode": [lambda: model.quantize(y, "round")],
    }
    for message, calls in faults.items():
        for call in calls:
            with pytest.raises(ValueError, match=message):
                call()
    for call in (lambda: model.compress(y, y), lambda: model.decompress(["text", "text"], indexes)):
        with pytest.raises(TypeError):
            call()
    for training in (False, True):  # 8 channels would fold into 4
        with pytest.raises(RuntimeError):
            prior(torch.zeros(2, 8, 3), training=training)


def test_damaged_streams_are_found():
    prior, model = bottleneck(), conditional()
    y = torch.randn(1, 4, 40) * 3
    indexes = indexes_like(y)
    for decode, data in (
        (lambda data: prior.decompress([data], (40,)), prior.compress(y)[0]),
        (lambda data: model.decompress([data], indexes), model.compress(y, indexes)[0]),
    ):
        sound, unseen = decode(data), 0
        for bad in [*(data[:n] for n in range(len(data))), data + data[:4], data + b"\0", data[4:], data[::-1]]:
            with pytest.raises(BitstreamError):
                decode(bad)
        for bit in range(8 * len(data)):
            flipped = bytearray(data)
            flipped[bit // 8] ^= 1 << bit % 8
            try:
                # Between neighbours of one frequency the coder's state does not tell: the container's CRC does.
                assert (decode(flipped) != sound).sum() == 1
                unseen += 1
            except BitstreamError:
                pass
        assert unseen < 0.03 * 8 * len(data)
    with pytest.raises(BitstreamError):
        bottleneck(spread=1).decompress(prior.compress(y), (40,))


def damage(name, value, place=(0, 1)):
    def change(state):
        state[name][place[: state[name].dim()]] = value

    return change


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (damage("_quantized_cdf", 65535, (0, 2)), TableError),  # falls after it
        (damage("_quantized_cdf", 1, (0, 0)), TableError),
        (damage("_quantized_cdf", -5), TableError),
        (damage("_cdf_length", 2**31 - 1), TableError),
        (damage("_cdf_length", -1), TableError),
        (damage("_cdf_length", 3), TableError),  # does not end at 65536
        (lambda state: state.update(_quantized_cdf=state["_quantized_cdf"][0]), ValueError),
        (lambda state: state.update(_cdf_length=state["_cdf_length"][:-1]), ValueError),
        (lambda state: state.update({name: state[name][:1] for name in list(state) if name[0] == "_"}), ValueError),
        (lambda state: state.update(_quantized_cdf=state["_quantized_cdf"][:0]), ValueError),
    ],
)
def test_hostile_tables_raise_at_use(change, error):
    state = {name: tensor.clone() for name, tensor in bottleneck().state_dict().items()}
    change(state)
    victim = EntropyBottleneck(4)
    victim.load_state_dict(state)
    for call in (lambda: victim.compress(torch.zeros(1, 4, 2)), lambda: victim.decompress([b"\1" * 16], (2,))):
        with pytest.raises(error) as caught:
            call()
        assert not isinstance(caught.value, BitstreamError)


@pytest.mark.parametrize("tail", [math.nan, math.inf, 3e38, 2**31, 32768])
def test_quantiles_too_far_apart_are_refused_before_memory_is_asked_for(tail):
    model = bottleneck()
    before = model.table
    with torch.no_grad():
        model.quantiles[2] = torch.tensor([-32767.0, 0.0, tail])
    with pytest.raises(TableError, match="quantiles"):
        model.update(force=True)
    assert model.table is before
    model.quantiles.data[2, 0, 2] = 32767  # 65535 symbols and the escape: each has a frequency of 1
    assert model.update(force=True)
    assert model.table.cdf_length[2] == 65537


@pytest.mark.parametrize("bad", [[], [1.0, 0.5], [0.0, 1.0], [-1.0], [math.nan], [math.inf], [[1.0]]])
def test_bad_scale_tables_are_refused_and_change_nothing(bad):
    model = conditional()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ValueError, match="scale_table"):
        model.update(torch.tensor(bad), force=True)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_scale_table_is_kept_and_copied():
    scales = torch.tensor([0.5, 2.0])
    model = GaussianConditional()
    assert model.update(scales)
    scales.zero_()
    assert model.scale_table.tolist() == [0.5, 2.0]
    assert not model.update(torch.tensor([3.0]))
    assert model.update(force=True)
    assert model.table.num_tables == 2


def test_autocast_and_narrow_inputs_leave_likelihoods_in_full_precision():
    prior, model, y = bottleneck(), conditional().eval(), (torch.randn(2, 4, 3, 5) * 9).bfloat16()
    scales = torch.rand(2, 4, 3, 5) + 0.2
    expected = prior(y.float())[1], prior.loss(), model(y.float(), scales)[1]
    with torch.autocast("cpu", torch.bfloat16):
        got = prior(y.float())[1], prior.loss(), model(y.float(), scales)[1]
    for training in (False, True):
        assert prior(y, training=training)[1].dtype == torch.float32
    assert all(torch.equal(one, other) for one, other in zip(expected, got, strict=True))


def test_quantiles_are_found_in_any_precision_without_end():
    with warnings.catch_warnings():
        model = bottleneck()
        for dtype, bound in ((torch.float64, 0.01), (torch.bfloat16, 0.5)):
            narrow = copy.deepcopy(model).to(dtype)
            narrow.solve_quantiles()
            assert (narrow.quantiles[:, 0, 1] - model.quantiles[:, 0, 1]).abs().max() < bound
