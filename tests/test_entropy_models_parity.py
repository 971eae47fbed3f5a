"""Entropy models against CompressAI's: state dicts, likelihoods, tables, quantiles and bytes."""

from __future__ import annotations

import copy

import pytest
import torch

from scalecodec.entropy_models import EntropyBottleneck, GaussianConditional

SIZES = [(), (7,), (3, 5), (2, 3, 4)]
OLD_NAMES = {"matrices.": "_matrix", "biases.": "_bias", "factors.": "_factor"}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def their_bottleneck(compressai, channels=8, filters=(3, 3, 3, 3), tables=True):
    """Theirs, its distributions made unlike one another."""
    model = compressai.entropy_models.EntropyBottleneck(channels, filters=filters)
    with torch.no_grad():
        for matrix in model.matrices:
            matrix.add_(torch.randn_like(matrix) * 0.3)
        for skew in (*model.biases, *model.factors):
            skew.copy_(torch.randn_like(skew))
    if tables:
        assert model.update(update_quantiles=True)
    return model.eval()


def our_bottleneck(theirs):
    ours = EntropyBottleneck(theirs.channels, filters=theirs.filters)
    ours.load_state_dict(theirs.state_dict())
    return ours.eval()


def both_conditionals(compressai, scales=None):
    theirs = compressai.entropy_models.GaussianConditional(None)
    theirs.update_scale_table(compressai.models.base.get_scale_table() if scales is None else torch.tensor(scales))
    ours = GaussianConditional()
    ours.load_state_dict(theirs.state_dict())
    return theirs.eval(), ours.eval()


def shapes_of(model):
    return {name: (tensor.shape, tensor.dtype) for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("tables", [False, True])
@pytest.mark.parametrize("names", ["new", "old"])
def test_their_bottleneck_loads_under_new_and_old_names(compressai, tables, names):
    theirs = torch.nn.ModuleDict({"prior": their_bottleneck(compressai, tables=tables)})
    state = theirs.state_dict()
    if names == "old":
        for new, old in OLD_NAMES.items():
            state = {name.replace(new, old): tensor for name, tensor in state.items()}
        assert any("_matrix0" in name for name in state)
    given = list(state)
    ours = torch.nn.ModuleDict({"prior": EntropyBottleneck(8)})
    ours.load_state_dict(state)
    assert list(state) == given, "the caller's dict was changed"
    assert shapes_of(ours) == shapes_of(theirs)
    assert all(torch.equal(tensor, theirs.state_dict()[name]) for name, tensor in ours.state_dict().items())
    back = compressai.models.CompressionModel()
    back.prior = their_bottleneck(compressai, tables=False)
    back.load_state_dict(ours.state_dict())


@pytest.mark.parametrize("scales", [None, [0.3], [0.11, 1.0, 40.0]])
def test_their_conditional_loads_and_has_the_tables_that_ours_builds(compressai, scales):
    theirs, ours = both_conditionals(compressai, scales)
    fresh = GaussianConditional()
    assert fresh.update(None if scales is None else torch.tensor(scales))
    listed = GaussianConditional(scales)
    listed.update()
    for model in (ours, fresh, listed):
        assert shapes_of(model) == shapes_of(theirs)
        for name, tensor in model.state_dict().items():
            assert torch.equal(tensor, theirs.state_dict()[name]), name


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
@pytest.mark.parametrize("size", SIZES)
def test_bottleneck_forward_is_theirs(compressai, size, dtype, bound):
    theirs = their_bottleneck(compressai).to(dtype)
    ours = our_bottleneck(theirs).to(dtype)
    x = torch.randn(3, 8, *size, dtype=dtype) * 5
    for one, other in zip(theirs(x), ours(x), strict=True):
        assert other.dtype == dtype
        assert (one - other).abs().max() <= bound
    assert torch.equal(theirs(x)[0], ours(x)[0])

    x_hat, likelihood = ours(x, training=True)
    assert 0.1 < (x_hat - x).abs().max() <= 0.5 + 1e-5
    expected = theirs._likelihood(x_hat.transpose(0, 1).reshape(8, 1, -1))[0]
    expected = expected.clamp(min=1e-9).reshape(8, 3, *size).transpose(0, 1)
    assert (likelihood - expected).abs().max() <= bound
    assert (likelihood >= 1e-9).all()


def test_bottleneck_gradients_are_theirs(compressai):
    theirs = their_bottleneck(compressai)
    ours = our_bottleneck(theirs)
    x = torch.randn(2, 8, 4, 4) * 20  # some likelihoods at their lower bound
    for model in (theirs, ours):
        (-model(x)[1].log2().sum() + model.loss()).backward()
    wanted = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        if name != "quantiles":  # their rounding leaks the rate's gradient into the medians, which `loss` alone places
            assert torch.allclose(parameter.grad, wanted[name].grad, rtol=1e-4, atol=1e-4), name


@pytest.mark.parametrize("filters", [(3, 3, 3, 3), (2,), (3, 5)])
def test_bottleneck_tables_quantiles_and_loss_are_theirs(compressai, filters):
    theirs = their_bottleneck(compressai, 12, filters)
    ours = our_bottleneck(theirs)
    assert torch.allclose(ours.loss(), theirs.loss(), rtol=1e-6)
    assert ours.loss() > 0
    assert not ours.update()
    assert ours.update(force=True)
    for name, tensor in ours.state_dict().items():
        assert torch.equal(tensor, theirs.state_dict()[name]), name

    solved = copy.deepcopy(ours)
    with torch.no_grad():
        solved.quantiles.fill_(0)
    solved.solve_quantiles()
    # Both bisect until the ends are within 1e-3 + 1e-4 of the value.
    assert torch.allclose(solved.quantiles, theirs.quantiles, rtol=2e-4, atol=2e-3)
    assert solved.loss() < 0.02 * len(solved.quantiles) * 3


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("batch", [1, 2, 3])
def test_bottleneck_streams_are_theirs(compressai, size, batch):
    theirs = their_bottleneck(compressai)
    ours = our_bottleneck(theirs)
    x = torch.randn(batch, 8, *size) * 15  # beyond some tables: escapes too
    strings = theirs.compress(x)
    assert ours.compress(x) == strings
    assert ours.compress(x.transpose(0, 1).contiguous().transpose(0, 1)) == strings
    decoded = theirs.decompress(ours.compress(x), size)
    assert torch.equal(ours.decompress(strings, size), decoded)
    assert torch.equal(decoded, theirs(x)[0])


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("means", [False, True])
def test_conditional_forward_and_gradients_are_theirs(compressai, training, means):
    models = both_conditionals(compressai)
    y = torch.randn(2, 6, 4, 5) * 6
    scales = torch.rand(2, 6, 4, 5) * 4  # some below the bound of 0.11
    centres = torch.randn(2, 6, 4, 5) if means else None
    results = []
    for model in models:
        given = [tensor.clone().requires_grad_() for tensor in (y, scales, centres) if tensor is not None]
        torch.manual_seed(1)  # the same noise
        outputs, likelihood = model(*given, training=training)
        (-likelihood.log2().sum() + outputs.square().sum()).backward()
        results.append([outputs, likelihood, *(tensor.grad for tensor in given)])
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)
    assert (scales < 0.11).any()


@pytest.mark.parametrize("means", ["none", "full", "broadcast"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("batch", [1, 2, 3])
def test_conditional_streams_are_theirs(compressai, size, batch, means):
    theirs, ours = both_conditionals(compressai)
    shape = (batch, 6, *size)
    scales = torch.exp(torch.randn(shape) * 2)
    broadcast = (batch, 6, *[1] * len(size))
    centres = None if means == "none" else torch.randn(shape if means == "full" else broadcast)
    y = torch.randn(shape) * scales + (0 if centres is None else centres)
    y.view(-1)[:2] = torch.tensor([900.0, -900.0])  # escapes
    indexes = theirs.build_indexes(scales)
    assert torch.equal(ours.build_indexes(scales), indexes)
    strings = theirs.compress(y, indexes, centres)
    assert ours.compress(y, indexes, centres) == strings
    decoded = theirs.decompress(ours.compress(y, indexes, centres), indexes, means=centres)
    assert torch.equal(ours.decompress(strings, indexes, means=centres), decoded)
    assert torch.equal(decoded, theirs.quantize(y, "dequantize", centres))
