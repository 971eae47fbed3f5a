"""scales="integer": CompressAI's hyperprior models, their strings the same under every arithmetic."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from scalecodec import backends
from scalecodec.errors import BitstreamError

from .comparing import accelerate, contents, same

NAMES = ("ScaleHyperprior", "MeanScaleHyperprior", "JointAutoregressiveHierarchicalPriors", "Cheng2020Anchor")


@pytest.fixture(params=NAMES)
def model(request, compressai):
    torch.manual_seed(0)
    made = getattr(compressai.models, request.param)(*((8,) if "Cheng" in request.param else (8, 12)))
    with torch.no_grad():
        for name, parameter in made.named_parameters():  # something to code
            if name.startswith("h_a") and name.endswith("weight"):
                parameter.mul_(3)
            if name in ("g_a.6.weight", "g_a.6.bias"):
                parameter.mul_(40)
            if name.startswith("h_s") and name.endswith("bias"):
                parameter.add_(0.2)
    made.update()
    return made.eval()


X = torch.rand(2, 3, 64, 128, generator=torch.Generator().manual_seed(1))


def coded_by(model):
    with torch.no_grad():
        return model.compress(X)


def decoded_by(model, coded):
    with torch.no_grad():
        return model.decompress(coded["strings"], coded["shape"])["x_hat"]


@pytest.mark.filterwarnings("ignore:TF32 acceleration")  # what torch says to the switch of oneDNN
def test_strings_decode_under_every_arithmetic(model):
    stock = copy.deepcopy(model)
    report = accelerate(model, stream="lanes", scales="integer")
    assert "in integers, weights of 12 bits" in str(report)
    coded = coded_by(model)
    wanted = decoded_by(model, coded)
    torch.testing.assert_close(wanted, decoded_by(stock, coded_by(stock)), rtol=0, atol=0.1)
    for name in backends.available():
        with backends.use(name):
            assert same(coded_by(model)["strings"], coded["strings"])
            assert same(decoded_by(model, coded), wanted)
    other = copy.deepcopy(stock)
    accelerate(other, stream="lanes", scales="integer", threads=1)
    twin = copy.deepcopy(other).to(memory_format=torch.channels_last)
    with torch.backends.mkldnn.flags(enabled=False):
        torch.testing.assert_close(decoded_by(twin, coded), wanted, rtol=0, atol=1e-4)


def test_other_strings_are_refused_by_what_they_need(model):
    other, stock = copy.deepcopy(model), copy.deepcopy(model)
    accelerate(model, stream="lanes", scales="integer")
    accelerate(other, stream="lanes")
    with pytest.raises(BitstreamError, match="made with integer scales: accelerate with scales='integer'"):
        decoded_by(other, coded_by(model))
    with pytest.raises(BitstreamError, match="made with float scales: accelerate with scales='float'"):
        decoded_by(model, coded_by(other))
    accelerate(other)
    with pytest.raises(BitstreamError, match="carries a lane stream"):
        decoded_by(other, coded_by(model))
    with pytest.raises(BitstreamError, match="is a rans64 stream"):
        decoded_by(model, coded_by(stock))
    with torch.no_grad():
        next(layer for layer in stock.h_s.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)).weight.mul_(
            1.1
        )
    tables = copy.deepcopy(stock)
    with torch.no_grad():
        tables.gaussian_conditional._quantized_cdf[0, 2] -= 1
    ids = set()
    for twin in (stock, tables):
        accelerate(twin, stream="lanes", scales="integer")
        ids.add(twin.entropy_bottleneck._scalecodec_settings.scales_id)
    assert len(ids) == 2, "another machine's tables have the same id"
    with pytest.raises(BitstreamError, match=r"needs integer scales \w{16}, this model's are \w{16}"):
        decoded_by(stock, coded_by(model))


def test_there_is_a_way_back(model):
    before, stock = contents(model), coded_by(model)
    with accelerate(model, stream="lanes", scales="integer"):
        assert not same(coded_by(model)["strings"], stock["strings"])
    assert contents(model) == before
    assert same(coded_by(model), stock)
    accelerate(model, stream="lanes", scales="integer")
    accelerate(model)  # floats again
    assert same(coded_by(model), stock)


def test_training_goes_on_in_floats(model):
    accelerate(model, stream="lanes", scales="integer")
    model.train()(X)["likelihoods"]["y"].log().sum().backward()
    assert all(parameter.grad is not None for parameter in model.h_s.parameters())
    with torch.no_grad():
        next(model.h_s.parameters()).add_(0.1)
    with pytest.raises(ValueError, match="weights changed after accelerate"):
        coded_by(model.eval())


def test_pictures_may_set_the_ranges(model):
    twin, other = copy.deepcopy(model), copy.deepcopy(model)
    model.h_s.train()
    for one, pictures in ((model, [X]), (twin, [X]), (other, [X * 1e-3])):
        accelerate(one, stream="lanes", scales="integer", calibration=pictures)
    assert (model.training, model.h_s.training) == (False, True)
    model.eval()
    assert same(decoded_by(twin, coded_by(model)), decoded_by(model, coded_by(model)))
    numbers = [one.h_s._scalecodec_form.numbers for one in (model, other)]
    assert numbers[0].input_fraction != numbers[1].input_fraction or not same(numbers[0][2], numbers[1][2])


def test_a_loop_that_is_not_compiled_is_refused_when_it_codes(compressai):
    model = compressai.models.JointAutoregressiveHierarchicalPriors(8, 12).eval()
    model.update()
    accelerate(model, stream="lanes", scales="integer")
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(ValueError, match="without autocast"):
        coded_by(model)


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("FactorizedPrior", {"N": 8, "M": 12}, "this model has none"),
        ("Cheng2020AnchorCheckerboard", {"N": 12}, "its context comes from float networks"),
        ("JointAutoregressiveHierarchicalPriorsVbr", {"N": 8, "M": 12}, "what its gain adds to the context"),
        ("MeanScaleHyperpriorVbr", {"N": 8, "M": 12, "vr_entbttlnck": True}, "its step comes from a float network"),
    ],
)
def test_models_that_choose_by_other_networks_are_refused(compressai, name, arguments, words):
    classes = {**vars(compressai.models), **vars(compressai.models.vbr), **vars(compressai.models.sensetime)}
    model = classes[name](**arguments).eval()
    before = contents(model)
    with pytest.raises(ValueError, match=words):
        accelerate(model, stream="lanes", scales="integer")
    assert contents(model) == before


def test_methods_of_ones_own_are_refused(compressai):
    class Own(compressai.models.ScaleHyperprior):
        def compress(self, x):
            return super().compress(x * 0.5)

    model = Own(8, 12).eval()
    model.update()
    with pytest.raises(ValueError, match="its compress and decompress are none that this knows"):
        accelerate(model, stream="lanes", scales="integer")
    with pytest.raises(ValueError, match="it is not float32"):
        accelerate(compressai.models.ScaleHyperprior(8, 12).double(), stream="lanes", scales="integer")


def test_arguments_are_checked(compressai):
    model = compressai.models.ScaleHyperprior(8, 12)
    with pytest.raises(ValueError, match="scales must be 'float' or 'integer', got 'fixed'"):
        accelerate(model, stream="lanes", scales="fixed")
    with pytest.raises(ValueError, match="needs stream='lanes'"):
        accelerate(model, scales="integer")
    with pytest.raises(ValueError, match="update"):
        accelerate(model, stream="lanes", scales="integer")
    model.update()
    model.h_s[1] = nn.Sigmoid()
    with pytest.raises(ValueError, match="does not suit h_s: Sigmoid"):
        accelerate(model, stream="lanes", scales="integer")
