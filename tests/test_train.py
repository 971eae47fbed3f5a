"""Training runs: they end, resume to the very weights, skip bad steps, and share the work as one process would."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from scalecodec.errors import BitstreamError
from scalecodec.eval.networks import SqueezeNet
from scalecodec.eval.task_networks import named
from scalecodec.gains import GAIN_TABLE
from scalecodec.layers import GDN
from scalecodec.models import create, freeze, save_weights
from scalecodec.train import TrainConfig, loop, train
from scalecodec.train.config import OBJECTIVES
from scalecodec.train.data import RandomCrops
from scalecodec.train.layered_start import by_scale, layered_weights
from scalecodec.train.optimizers import make_optimizers
from scalecodec.train.start import new_model
from tests.codec_kit import small_model
from tests.models.layered_kit import awake

CHECKPOINT = "checkpoint.safetensors"
ROW = {"step", "done", "loss", "bpp", "psnr_db", "learning_rate", "crops_per_second", "seconds_left", "skipped"}


@pytest.fixture(autouse=True)
def one_thread():
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    torch.set_num_threads(1)  # the sums of a gradient, and so the weights' last bits, depend on it
    yield
    torch.set_num_threads(threads)
    torch.set_rng_state(state)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for number, size in enumerate([(90, 70), (64, 64), (20, 100)]):
        coarse = Image.fromarray(rng.integers(0, 256, (5, 4, 3), dtype=np.uint8))
        coarse.resize(size, Image.Resampling.BICUBIC).save(path / f"{number}.png")
    return path


def config(folder, out, **changes):
    small = {"channels": 4, "latent_channels": 6, "steps": 12, "batch": 2, "crop": 64, "warmup": 3}
    small |= {"precision": "float32", "log_every": 5, "checkpoint_every": 4, "learning_rate": 1e-3}
    return TrainConfig(data=str(folder), out=str(out), **small | changes)


def scalars_of(out):
    with safe_open(Path(out) / CHECKPOINT, framework="pt") as file:
        return json.loads(file.metadata()["scalars"])


def strict_rows(out):
    """Rows of the log; JSON has no NaN, whatever Python says."""

    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    return [json.loads(line, parse_constant=refuse) for line in (Path(out) / "log.jsonl").read_text().splitlines()]


def weights(out):
    return {name: tensor for name, tensor in load_file(Path(out) / CHECKPOINT).items() if name.startswith("model.")}


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


@pytest.fixture(scope="module")
def whole_run(folder, tmp_path_factory):
    """An uninterrupted run; no pickle is made or read in it."""
    out = tmp_path_factory.mktemp("run") / "new" / "folder"
    with pytest.MonkeyPatch.context() as patch:
        for name in ("save", "load"):
            patch.setattr(torch, name, lambda *args, **kwargs: pytest.fail("pickle"))
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        model = train(config(folder, out))
        torch.set_num_threads(threads)
    return out, model


def test_a_run_leaves_a_log_a_checkpoint_and_a_model(whole_run):
    out, model = whole_run
    assert sorted(os.listdir(out)) == [CHECKPOINT, "log.jsonl"]
    rows = strict_rows(out)
    assert [row["step"] for row in rows] == [5, 10, 12]
    for row in rows:
        assert row.keys() == ROW
        assert row["skipped"] == 0
        assert all(math.isfinite(value) for value in row.values())
        assert min(row["bpp"], row["loss"], row["learning_rate"], row["crops_per_second"]) > 0
    assert rows[-1]["done"] == 1
    assert rows[-1]["seconds_left"] == 0
    assert rows[0]["learning_rate"] > rows[-1]["learning_rate"]
    scalars = scalars_of(out)
    assert scalars["step"] == 12
    assert scalars["config"]["channels"] == 4
    assert not model.training
    assert model.entropy_bottleneck.loss() < 0.5, "the quantiles were not solved for"
    x = torch.rand(1, 3, 64, 64)
    assert model.decompress(**model.compress(x, gain=0.5))["x_hat"].shape == x.shape
    trained = {name: tensor for name, tensor in weights(out).items() if "parameters" not in name}
    fresh = create("vbr-mean", channels=4, latent_channels=6, offsets=True, hyper_step=True).state_dict()
    assert trained.keys() == {f"model.{name}" for name in fresh}
    assert trained["model.entropy_bottleneck.quantiles"].tolist() == [[[-10, 0, 10]]] * 4


@pytest.mark.parametrize("options", [{"model": "frequency"}, {"model": "denoise", "shared": True}], ids=str)
def test_a_layered_model_trains(folder, tmp_path, options):
    model = train(config(folder, tmp_path, layers="4,2", offsets=True, hyper_step=True, **options))
    assert model.layer_channels == (4, 2)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert rows[-1]["loss"] < rows[0]["loss"]
    coded = model.compress(torch.rand(1, 3, 64, 64), gain=0.5)
    assert model.decompress(coded["strings"][:1], coded["shape"], coded["gain_index"])["x_hat"].shape == (1, 3, 64, 64)


@pytest.mark.parametrize("parts", [True, False])
def test_a_layered_model_goes_on_from_a_file(folder, tmp_path, parts):
    """Its integers are left behind, and what follows the rate may be new, and learns at a rate of its own."""
    model = awake("frequency", channels=4, layer0=4, layer1=2, offsets=int(parts), hyper_step=int(parts))
    save_weights(model, tmp_path / "start.safetensors")
    options = {"model": "frequency", "layers": "4,2", "offsets": True, "hyper_step": True}
    settings = config(folder, tmp_path / "run", start=str(tmp_path / "start.safetensors"), **options)
    begun = new_model(settings)
    for name, weight in begun.state_dict().items():
        if name.startswith(("g_a.", "g_s.")) or ".h_a." in name:
            assert torch.equal(weight, model.state_dict()[name])
    adam = make_optimizers(begun, settings)[0]
    fast = [len(group["params"]) for group in adam.param_groups if group["factor"] == 5]
    assert fast == [24]
    assert train(settings).layer_channels == (4, 2)


def test_a_model_of_one_layer_begins_a_layered_one(folder, tmp_path):
    """Decoded whole it shows the same pictures; the channels of the largest scales are the base's."""
    plain = small_model(channels=4, latent_channels=6)
    save_weights(plain, tmp_path / "plain.safetensors")
    options = {"model": "denoise", "layers": "4,2", "shared": True, "offsets": False, "hyper_step": False}
    model = new_model(config(folder, tmp_path / "run", start=str(tmp_path / "plain.safetensors"), **options)).eval()
    model.update(force=True)
    order = by_scale(plain)
    assert sorted(order.tolist()) == list(range(6))
    x = torch.rand(1, 3, 64, 128, generator=torch.Generator().manual_seed(0))
    plain.integers = None
    with torch.no_grad():
        torch.testing.assert_close(model.analyse(x), plain.g_a(x)[:, order])
        torch.testing.assert_close(model(x, 0.5)["x_hat"], plain(x, 0.5)["x_hat"], atol=1e-4, rtol=1e-4)
        y_hat = torch.rand(1, 6, 4, 8)
        y_hat[:, 4:] = 0
        torch.testing.assert_close(model.reconstruct(y_hat, 1), model.reconstruct(y_hat, 2))


def test_four_convolutions_begin_two_branches(folder, tmp_path):
    """The same latents and pictures, where channels of different branches do not divide each other."""
    plain = small_model(channels=4, latent_channels=6)
    for norm in [module for module in plain.modules() if isinstance(module, GDN)]:
        norm.gamma.data = norm.gamma_reparam.inverse(torch.diag(torch.rand(4)))
    freeze(plain)
    save_weights(plain, tmp_path / "plain.safetensors")
    options = {"model": "frequency", "layers": "4,2", "channels": 2, "start": str(tmp_path / "plain.safetensors")}
    model = new_model(config(folder, tmp_path / "run", **options)).eval()
    order = by_scale(plain)
    x = torch.rand(1, 3, 64, 128, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        y = plain.g_a(x)[:, order]
        torch.testing.assert_close(model.analyse(x), y, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(model.reconstruct(y, 2), plain.g_s(plain.g_a(x)), atol=1e-4, rtol=1e-4)
    wrong = ({"channels": 4}, "4 stages of 2 channels and 6 latents in all, got 4 of 4"), ({"layers": "4,4"}, "and 8")
    for changes, words in wrong:
        with pytest.raises(ValueError, match=f"plain.safetensors: .*{words}"):
            new_model(config(folder, tmp_path / "run", **(options | changes)))


def test_norms_across_branches_leave_their_mean(folder, tmp_path):
    """Constant activations know nothing but their mean: then nothing is lost."""
    plain = small_model(channels=4, latent_channels=6)
    for norm in [module for module in plain.modules() if isinstance(module, GDN)]:
        norm.gamma.data = norm.gamma_reparam.inverse(torch.rand(4, 4, generator=torch.Generator().manual_seed(1)))
    with torch.no_grad():
        for step in [*plain.g_a[::2], *plain.g_s[::2]]:  # of 2 x 2 equal taps: no border shows, no phase differs
            kept = 3 * step.weight[:, :, 2:3, 2:3].clone()
            step.weight.zero_()
            step.weight[:, :, 2:4, 2:4] = kept
    model = create("frequency", channels=2, layer0=4, layer1=2, offsets=True, hyper_step=True)
    order, x = by_scale(plain), torch.full((1, 3, 64, 64), 0.4)
    with torch.no_grad():
        y = plain.g_a(x)
        model.load_state_dict(layered_weights(plain, model, lambda: x), strict=False)
        torch.testing.assert_close(model.analyse(x), y[:, order], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(model.reconstruct(y[:, order], 2), plain.g_s(y), atol=1e-4, rtol=1e-4)
        model.load_state_dict(layered_weights(plain, model, lambda: 0 * x), strict=False)
        assert not torch.allclose(model.analyse(x), y[:, order], atol=1e-2, rtol=1e-2)
        assert not torch.allclose(model.reconstruct(y[:, order], 2), plain.g_s(y), atol=1e-2, rtol=1e-2)


def test_one_layer_begins_as_a_whole_model(folder, tmp_path):
    """The base of a denoising model, the enhancement of a disentangled one."""
    plain = small_model(channels=4, latent_channels=6)
    save_weights(plain, tmp_path / "plain.safetensors")
    options = {"start": str(tmp_path / "plain.safetensors"), "offsets": False, "hyper_step": False}
    x = torch.rand(1, 3, 64, 128, generator=torch.Generator().manual_seed(0))
    plain.integers = None
    with torch.no_grad():
        wanted, y = plain(x, 0.5)["x_hat"], plain.g_a(x)
    denoise = new_model(config(folder, tmp_path / "one", model="denoise-fine", layers="6", **options)).eval()
    denoise.update(force=True)
    with torch.no_grad():
        y_hat, _ = denoise.simulate(denoise.analyse(x), torch.tensor([0.5]))
        torch.testing.assert_close(denoise.reconstruct(y_hat, 1), wanted, atol=1e-4, rtol=1e-4)
    save_file(SqueezeNet().state_dict(), tmp_path / "network.safetensors")
    task = f"squeezenet:{tmp_path}/network.safetensors:features.7"
    settings = config(folder, tmp_path / "two", model="disentangled", layers="4,6", tasks=task, **options)
    model = new_model(settings, [named(task)]).eval()
    with torch.no_grad():
        torch.testing.assert_close(model.analyse(x)[:, 4:], y)
        torch.testing.assert_close(model.reconstruct(model.analyse(x), 2), plain.g_s(y), atol=1e-4, rtol=1e-4)
    blind = new_model(dataclasses.replace(settings, blind=True), [named(task)])
    blind.load_state_dict(model.state_dict())
    with torch.no_grad():
        assert not torch.equal(blind.analyse(x)[:, :4], model.analyse(x)[:, :4])
    task_options = {"model": "scalable", "layers": "4,2", "tasks": task, **options}
    apart = new_model(config(folder, tmp_path / "three", **task_options), [named(task)])
    with torch.no_grad():
        torch.testing.assert_close(apart.analyse(x), y[:, by_scale(plain)])  # of hyperpriors there is none to take
        y_hat = y[:, by_scale(plain)]
        y_hat[:, 4:] = 0
        torch.testing.assert_close(apart.tasks[0][:4](y_hat[:, :4]), apart.g_s[:4](y_hat))
    with pytest.raises(ValueError, match="layer 0 is to have the plain model's latent channels, 6, got 4"):
        new_model(config(folder, tmp_path / "four", model="denoise-fine", layers="4", **options))


def test_a_run_of_another_form_is_refused(folder, tmp_path):
    """As a checkpoint of a version whose model of this name was another."""
    settings = config(folder, tmp_path, model="frequency", layers="4,2", steps=4)
    train(settings)
    tensors = load_file(tmp_path / CHECKPOINT)
    with safe_open(tmp_path / CHECKPOINT, "pt") as file:
        metadata = file.metadata()
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith("model.g_a.stages.3")}
    save_file(kept, tmp_path / CHECKPOINT, metadata)
    with pytest.raises(ValueError, match="another form of this model"):
        train(settings)


def test_a_model_with_tasks_trains(folder, tmp_path):
    save_file(SqueezeNet().state_dict(), tmp_path / "network.safetensors")
    tasks = [f"squeezenet:{tmp_path}/network.safetensors:features.{layer}" for layer in (7, 4)]
    options = {"model": "scalable", "layers": "4,3,2", "shared": True, "tasks": ",".join(tasks), "task_weight": 2.0}
    networks = [named(text) for text in tasks]
    model = train(config(folder, tmp_path / "run", **options), fronts=networks)
    assert (model.layer_channels, model.sizes, model.strides) == ((4, 3, 2), (256, 128), (8, 4))
    assert (model.gammas > 0).all()
    coded = model.compress(torch.rand(1, 3, 64, 64), gain=0.5)
    decoded = model.decompress(coded["strings"][:1], coded["shape"], coded["gain_index"])
    assert model.features(decoded["y_hat"], 0).shape == (1, 256, 8, 8)
    again = train(config(folder, tmp_path / "run", **options), fronts=networks)
    assert torch.equal(again.gammas, model.gammas)
    with pytest.raises(ValueError, match=r"task_weight 2\.0, got 1\.0"):
        train(config(folder, tmp_path / "run", **(options | {"task_weight": 1.0})), fronts=networks)


@pytest.mark.parametrize("only", ["tasks.", "g_s.0.bias", "g_s.0.weight"])
def test_only_the_named_weights_are_trained(folder, tmp_path, only):
    """A transform can be trained for a codec that stands: its files stay as they are."""
    save_file(SqueezeNet().state_dict(), tmp_path / "network.safetensors")
    task = f"squeezenet:{tmp_path}/network.safetensors:features.7"
    options = {"model": "scalable", "layers": "4,3", "shared": True, "tasks": task}
    first = train(config(folder, tmp_path / "first", **options), fronts=[named(task)])
    freeze(first)
    save_weights(first, tmp_path / "first.safetensors")
    options |= {"start": str(tmp_path / "first.safetensors"), "only": only}
    second = train(config(folder, tmp_path / "second", **options), fronts=[named(task)])
    freeze(second)
    before, after = dict(first.named_parameters()), dict(second.named_parameters())
    assert {name for name in before if not torch.equal(before[name], after[name])} == {
        name for name in before if name.startswith(only)
    }
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert first.compress(x, 0.5) == second.compress(x, 0.5)
    assert (first.model_id() == second.model_id()) is (only == "tasks.")
    assert first.table_id() == second.table_id()
    again = train(config(folder, tmp_path / "second", steps=10, **options), fronts=[named(task)])
    freeze(again)
    assert again.compress(x, 0.5) == first.compress(x, 0.5)
    other = options | {"hyper_step": not config(folder, tmp_path).hyper_step}
    with pytest.raises(ValueError, match="what is not trained must be as it is there, missing or unknown coders"):
        train(config(folder, tmp_path / "fourth", **other), fronts=[named(task)])
    with pytest.raises(ValueError, match=r"only must begin names of scalable's weights, got 'task\.'"):
        train(config(folder, tmp_path / "third", **(options | {"only": "task."})), fronts=[named(task)])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "frequency", "layers": "4,2", "tasks": "squeezenet:x"}, "want as many front halves, got 0"),
        ({"model": "frequency"}, "wants layers as in 96,32, got ''"),
        ({"model": "frequency", "layers": "4"}, "wants layers as in 96,32, got '4'"),
        ({"model": "scalable", "layers": "4,3,2,1"}, "wants layers as in 96,32 or 64,32,32"),
        ({"model": "denoise-fine", "layers": "4,2"}, "wants layers as in 128, got '4,2'"),
        ({"shared": True}, "shared is for a model of several layers"),
        ({"channels": 10**9}, "no model has sizes"),
        ({"only": "g_s."}, "want a start to come from"),
        ({"layers": "4,2"}, "vbr-mean has one layer"),
        ({"model": "scalable", "layers": "4,2"}, "is for 1 tasks, got ''"),
        ({"model": "frequency", "layers": "4,2", "blind": True}, "blind is for a disentangled model, got frequency"),
        ({"model": "frequency", "layers": "700,2"}, "sizes from 1 to 640"),
        ({"model": "frequency", "layers": "100000000,2"}, "sizes from 1 to 640"),
        ({"latent_channels": 641}, "sizes from 1 to 640"),
        ({"model": "vbr-tall"}, "no model named 'vbr-tall'"),
        ({"model": "denoise-fine", "layers": "4", "shared": True}, "share no hyperprior"),
        ({"model": "frequency", "layers": "4,,2"}, "as in 96,32, got '4,,2'"),
        ({"model": "frequency", "layers": "4,0"}, "as in 96,32, got '4,0'"),
    ],
)
def test_layers_that_fit_no_model(folder, tmp_path, changes, words):
    with pytest.raises(ValueError, match=words):
        train(config(folder, tmp_path, **changes))


@pytest.mark.parametrize("killed_at", [7, 8, 12])
def test_a_killed_run_resumes_to_the_very_weights(folder, whole_run, tmp_path, killed_at):
    def kill(row):
        if row["step"] == killed_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config(folder, tmp_path, log_every=1), kill)
    saved = scalars_of(tmp_path)["step"]
    assert saved == (killed_at - 1) // 4 * 4
    torch.manual_seed(99)
    torch.rand(5)  # whatever else the process does
    rows = []
    train(config(folder, tmp_path, log_every=1), rows.append)
    assert [row["step"] for row in rows] == list(range(saved + 1, 13))
    assert equal(weights(tmp_path), weights(whole_run[0]))
    moments = [load_file(Path(out) / CHECKPOINT) for out in (tmp_path, whole_run[0])]
    assert equal(*moments)
    before = (tmp_path / "log.jsonl").read_text()
    assert train(config(folder, tmp_path)) is not None  # nothing is left to do
    assert (tmp_path / "log.jsonl").read_text() == before
    assert equal(weights(tmp_path), weights(whole_run[0]))


def test_a_damaged_checkpoint_is_refused(folder, tmp_path):
    train(config(folder, tmp_path, steps=4))
    path = tmp_path / CHECKPOINT
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BitstreamError, match="damaged checkpoint"):
        train(config(folder, tmp_path, steps=8))


@pytest.mark.parametrize("change", [{"seed": 1}, {"batch": 3}, {"lambda_max": 0.1}, {"latent_channels": 8}])
def test_a_run_is_not_resumed_as_another(folder, tmp_path, change):
    train(config(folder, tmp_path, steps=4))
    with pytest.raises(ValueError, match=next(iter(change))):
        train(config(folder, tmp_path, steps=8, **change))


def test_a_run_of_an_older_version_goes_on(folder, tmp_path):
    """What it did not know yet is as it was then; a weight of no task is none."""
    train(config(folder, tmp_path, steps=4))
    tensors = load_file(tmp_path / CHECKPOINT)
    with safe_open(tmp_path / CHECKPOINT, "pt") as file:
        scalars = json.loads(file.metadata()["scalars"])
    for name in ("task_weight", "blind", "only", "tilt"):
        del scalars["config"][name]
    save_file(tensors, tmp_path / CHECKPOINT, {"scalars": json.dumps(scalars)})
    assert train(config(folder, tmp_path, steps=8)) is not None


def test_workers_draw_what_the_process_itself_would(folder, whole_run, tmp_path):
    train(config(folder, tmp_path, workers=1))
    assert equal(weights(tmp_path), weights(whole_run[0]))


@pytest.mark.parametrize("log_every", [1, 3])
def test_minutes_end_the_run_and_its_schedule(folder, tmp_path, monkeypatch, log_every):
    clock = iter(range(10**6))  # a second a look
    monkeypatch.setattr(loop, "time", types.SimpleNamespace(monotonic=lambda: next(clock)))
    settings = config(folder, tmp_path, steps=60, minutes=4 / 60, warmup=0, log_every=log_every)
    train(settings)
    rows = strict_rows(tmp_path)
    assert [row["done"] for row in rows] == [0.25, 0.5, 0.75, 1]
    assert [row["step"] for row in rows] == [log_every * n for n in range(1, 5)]
    assert [row["seconds_left"] for row in rows] == pytest.approx([3, 2, 1, 0])
    share = [row["learning_rate"] / 1e-3 for row in rows]
    cosine = [0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2 for done in (0, 0.25, 0.5, 0.75)]
    assert share == pytest.approx(cosine, rel=0.02)
    train(settings)
    assert strict_rows(tmp_path) == rows


def test_a_step_with_a_bad_gradient_is_skipped_and_counted(folder, whole_run, tmp_path, monkeypatch):
    plain = RandomCrops.__getitem__
    trained = []

    def damaged(self, index):
        item = plain(self, index)
        return item * math.nan if self.first + index in (10, 23) else item  # batches of two: steps 6 and 12

    monkeypatch.setattr(RandomCrops, "__getitem__", damaged)
    original = loop.Trainer.train_step

    def noted(self, x):
        before = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        result, norm = original(self, x)
        trained.append(not equal(before, self.model.state_dict()))
        assert trained[-1] == math.isfinite(norm)
        return result, norm

    monkeypatch.setattr(loop.Trainer, "train_step", noted)
    train(config(folder, tmp_path, log_every=6))
    assert trained == [step not in (6, 12) for step in range(1, 13)]
    rows = strict_rows(tmp_path)
    assert [row["skipped"] for row in rows] == [1, 2]
    assert all(math.isfinite(row["loss"]) for row in rows)
    assert all(tensor.isfinite().all() for tensor in weights(tmp_path).values())

    monkeypatch.setattr(RandomCrops, "__getitem__", lambda self, index: plain(self, index) * math.nan)
    train(config(folder, tmp_path / "none", steps=2))
    assert [(row["loss"], row["bpp"], row["psnr_db"], row["skipped"]) for row in strict_rows(tmp_path / "none")] == [
        (None, None, None, 2)
    ]


RANK = """
import sys, types
from itertools import count
import torch
from safetensors.torch import save_file
from scalecodec.train import TrainConfig, loop

torch.set_num_threads(1)
first, save, step = [], loop.Trainer.save, loop.Trainer.train_step
looks = count(1)

def noted_step(self, x):
    first.append(x)
    loop.time.monotonic = lambda: next(looks) * (1 + self.here.rank)  # a second a look here, two there
    return step(self, x)

def noted_save(self):
    save(self)
    weights = {f"model.{name}": tensor.contiguous() for name, tensor in self.model.state_dict().items()}
    gain_seed = torch.tensor(torch.initial_seed())
    save_file({**weights, "first": first[0], "seed": gain_seed}, f"{sys.argv[2]}/rank{self.here.rank}.safetensors")

loop.time = types.SimpleNamespace(monotonic=lambda: 0)
loop.Trainer.train_step, loop.Trainer.save = noted_step, noted_save
model = loop.train(TrainConfig(
    data=sys.argv[1], out=sys.argv[2], channels=4, latent_channels=6, steps=1000, minutes=0.1, batch=2, crop=64,
    warmup=0, precision="float32", log_every=1, checkpoint_every=3, learning_rate=1e-3, objective=sys.argv[3], levels=2,
))
print("model" if model is not None else "none", flush=True)
"""


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_two_processes_keep_equal_weights_and_draw_different_crops(folder, tmp_path, objective):
    script, out = tmp_path / "rank.py", tmp_path / "run"
    script.write_text(RANK)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(
        [*command, str(script), str(folder), str(out), objective],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert sorted(done.stdout.split()) == ["model", "none"]
    rows = strict_rows(out)
    assert [row["step"] for row in rows] == list(range(1, 7)), "the main process's clock ends the run: 6 of its seconds"
    ranks = [load_file(out / f"rank{rank}.safetensors") for rank in (0, 1)]
    firsts, seeds = [rank.pop("first") for rank in ranks], [rank.pop("seed") for rank in ranks]
    assert equal(*ranks)
    assert equal(ranks[0], weights(out))
    assert seeds[0] != seeds[1]
    crops = RandomCrops(folder, 64, 4)
    assert torch.equal(firsts[0], torch.stack([crops[0], crops[2]]))
    assert torch.equal(firsts[1], torch.stack([crops[1], crops[3]]))
    assert rows[0]["loss"] != rows[1]["loss"]


def test_gains_and_noise_follow_from_the_step(folder, tmp_path, monkeypatch):
    seen = []

    def forward(self, x, gain):
        seen.append((gain, torch.rand(1).item()))
        raise KeyboardInterrupt

    monkeypatch.setattr("scalecodec.models.MeanScaleHyperprior.forward", forward)
    here = loop.World(0, 1, torch.device("cpu"))
    for rank, step, seed in ((0, 0, 0), (0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)):
        trainer = loop.Trainer(config(folder, tmp_path, seed=seed), here)
        trainer.step, trainer.here = step, loop.World(rank, 1, here.device)
        with pytest.raises(KeyboardInterrupt):
            trainer.train_step(torch.rand(8, 3, 64, 64))
    assert torch.equal(seen[0][0], seen[1][0])
    assert len({noise for _, noise in seen}) == len({tuple(gain.tolist()) for gain, _ in seen}) == 4
    assert all(float(one) in {float(np.float32(gain)) for gain in GAIN_TABLE} for gains, _ in seen for one in gains)
