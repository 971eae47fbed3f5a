"""Models whose hyper-synthesis codes in integers: streams and latents are the same under every arithmetic there is."""

from __future__ import annotations

import contextlib
import copy
import itertools
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from scalecodec import backends, codec
from scalecodec.container import pack, unpack
from scalecodec.errors import BitstreamError
from scalecodec.models import MeanScaleHyperprior, ScaleHyperprior, freeze, load, save_weights
from scalecodec.streams import LANES

from .vbr_kit import CLASSES, awake


@pytest.fixture(scope="module", params=CLASSES)
def model(request):
    freeze(made := awake(request.param))
    return made


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def arithmetics() -> Iterator[tuple[str, contextlib.AbstractContextManager[object], torch.memory_format]]:
    """At least twelve ways to compute."""
    for name, count, layout in itertools.product(
        backends.available(), (1, 2), (torch.contiguous_format, torch.channels_last)
    ):
        stack = contextlib.ExitStack()
        stack.enter_context(backends.use(name))
        stack.enter_context(threads(count))
        yield f"{name}, {count} threads, {layout}", stack, layout
    yield "oneDNN off", torch.backends.mkldnn.flags(enabled=False), torch.contiguous_format
    yield "bfloat16 around", torch.autocast("cpu", torch.bfloat16), torch.contiguous_format


@pytest.mark.filterwarnings("ignore:TF32 acceleration")  # what torch says to the switch of oneDNN
@pytest.mark.parametrize("gain_index", [0, 100, 255])
def test_every_arithmetic_decodes_the_same_latents(model, gain_index):
    torch.manual_seed(gain_index)
    y = torch.randn(2, model.latent_channels, 8, 12) * 20
    with torch.no_grad():
        y_strings, z_strings, size = model.encode_latent(y, gain_index)
        wanted = model.decode_latent(y_strings, z_strings, size, gain_index)
        one = model.decode_latent(y_strings[1:], z_strings[1:], size, gain_index)
    assert torch.equal(one, wanted[1:]), "it depends on the batch"
    for name, how, layout in arithmetics():
        twin = copy.deepcopy(model).to(memory_format=layout)
        with how, torch.no_grad():
            assert torch.equal(twin.decode_latent(y_strings, z_strings, size, gain_index), wanted), name
            known = twin._known(z_strings, size, gain_index, LANES, ValueError)
            again = twin._encode_y(y, known, gain_index, LANES, 0.0)
        assert again == y_strings, name


@pytest.mark.parametrize("cls", CLASSES)
def test_evaluation_sees_what_is_coded(cls):
    """Without a step of the hyper-latent, which is taken to an eighth of an octave when it is coded."""
    freeze(model := awake(cls, hyper_step=False))
    x = torch.rand(1, 3, 64, 128)
    with torch.no_grad():
        coded = model.compress(x, 1.0)
        decoded = model.decompress(coded["strings"], coded["shape"], coded["gain_index"])["x_hat"]
        estimated = model(x, 1.0)["x_hat"].clamp(0, 1)
        floats = copy.deepcopy(model)
        floats.integers = None
        other = floats(x, 1.0)["x_hat"].clamp(0, 1)
    torch.testing.assert_close(decoded, estimated, rtol=0, atol=1e-3)
    assert not torch.equal(other, estimated), "the integer form changes nothing: this test sees nothing"


@pytest.mark.parametrize("cls", [MeanScaleHyperprior, ScaleHyperprior])  # the other's loop has none in evaluation
def test_gradients_still_reach_every_weight_in_evaluation(cls):
    freeze(model := awake(cls))
    output = model(torch.rand(1, 3, 64, 64), 0.5)
    (output["x_hat"].square().mean() - output["likelihoods"]["y"].log().mean()).backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in model.h_s.parameters())


def test_a_file_keeps_the_integers(model, tmp_path):
    save_weights(model, path := tmp_path / "model.safetensors")
    back = load(path)
    assert back.integers.id_of(back.h_s) == model.integers.id_of(model.h_s)
    assert back.table_id() == model.table_id()


def test_other_numbers_are_another_table_id(model):
    ids, refused = {model.table_id()}, 0
    for name, _ in model.integers.named_buffers():
        twin = copy.deepcopy(model)
        buffer = twin.integers.get_buffer(name)
        buffer.view(-1)[-1] += 1 if name != "limits" else -1
        assert twin.model_id() == model.model_id()
        try:
            ids.add(twin.table_id())
        except ValueError:  # what does not fit the network's biases
            refused += 1
    assert len(ids) + refused == 1 + len(list(model.integers.buffers()))
    assert len(ids) > 3


def test_hyper_latents_beyond_any_range_are_clamped(model):
    prior = model.entropy_bottleneck
    for symbol in (2**31 - 1, -(2**31)):
        symbols = torch.full((1, model.channels, 1, 1), symbol, dtype=torch.int32)
        integers = prior._integers(symbols, 1.0, model.integers.fraction)
        assert integers.abs().max() == 2**30
        assert bool(model._hyper_params(integers).float().isfinite().all())


def test_samples_are_what_the_tables_expect(model):
    prior, step = model.entropy_bottleneck, model._step_of(255)
    *_, values, planes = prior.samples()
    if step:  # the last samples are of the largest step
        step = (int(prior.exponents.argmax()),)
    for samples in (values, planes):
        strings = prior.compress(samples, *step)
        torch.testing.assert_close(prior.decompress(strings, samples.shape[2:], *step), samples)
    assert bool((planes == planes[:, :, :1, :1]).all())
    bits = sum(map(len, prior.compress(values, *step)))
    assert bits < sum(map(len, prior.compress(values + 3 * values.std(), *step)))


def test_a_form_that_is_no_longer_the_networks_is_refused(model, tmp_path):
    twin = copy.deepcopy(model)
    with torch.no_grad():
        twin.h_s[0].bias.add_(1)
    with pytest.raises(ValueError, match="the biases are not those"):
        save_weights(twin, tmp_path / "stale.safetensors")


def test_more_scales_than_an_index_names_are_refused():
    model = awake(CLASSES[0], offsets=False)
    model.update(torch.linspace(0.1, 60, 300), force=True)
    with pytest.raises(ValueError, match="takes at most 256 scales"):
        freeze(model)


def test_a_hostile_fraction_is_refused(model):
    twin = copy.deepcopy(model)
    twin.integers.get_buffer("input_fraction").fill_(99)
    with pytest.raises(ValueError, match="inputs must be in units of"):
        twin.table_id()


@pytest.mark.parametrize("cls", CLASSES)
def test_without_integers_a_machine_of_other_floats_is_told(cls):
    """The other machine: scales that are larger by less than a float's last bits may make them."""
    model = awake(cls)
    twin = copy.deepcopy(model)
    last = [module for module in twin.h_s.modules() if isinstance(module, torch.nn.Conv2d)][-1]
    with torch.no_grad():
        last.weight.mul_(1 + 1e-3)
        y = torch.randn(1, model.latent_channels, 8, 8) * 20
        chunk = model.encode_tile(y, 200)
        model.decode_tile(chunk, (8, 8), 200)
        with pytest.raises(BitstreamError, match="this machine computes other scales"):
            twin.decode_tile(chunk, (8, 8), 200)
        bare = (int.from_bytes(chunk[:4], "little") & 2**31 - 1).to_bytes(4, "little") + chunk[8:]
        assert torch.equal(model.decode_tile(bare, (8, 8), 200), model.decode_tile(chunk, (8, 8), 200))
        for cut in (0, 3, 4, 7):
            with pytest.raises(BitstreamError):
                model.decode_tile(chunk[:cut], (8, 8), 200)


def test_a_picture_says_why_it_may_not_decode():
    model = awake(CLASSES[0])
    blob = codec.encode(np.random.default_rng(0).integers(0, 256, (70, 80, 3), np.uint8), model)
    content = unpack(blob)
    chunk = content.layers[0][0]
    bare = (int.from_bytes(chunk[:4], "little") & 2**31 - 1).to_bytes(4, "little") + chunk[8:-1]
    with pytest.raises(BitstreamError, match=r"tables \w{16} in the file, \w{16} here; this model has no integer form"):
        codec.decode(pack(content.header, [[bare]], {}), model=model)
