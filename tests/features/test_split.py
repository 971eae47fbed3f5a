"""Networks cut in two: traced where they can be, by hooks where not; the halves do what the whole does."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from scalecodec import features
from scalecodec.errors import BitstreamError


class Skip(nn.Module):
    """A pyramid with an arm around its middle."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.ReLU())
        self.third = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.ReLU())
        self.head = nn.Conv2d(12, 2, 1)

    def forward(self, x):
        one = self.first(x)
        two = self.second(one)
        return self.head(torch.cat((one, self.third(two)), 1))


class Branching(nn.Module):
    """What torch.fx cannot trace: Python decides on a value."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU())
        self.middle = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.ReLU())
        self.last = nn.Conv2d(6, 2, 1)

    def forward(self, x):
        y = self.middle(self.inner(x))
        if y.sum() > 0:
            y = y + 1
        return {"out": self.last(y)}


class Leaky(Branching):
    """One that needs its input behind the cut."""

    def forward(self, x):
        y = self.middle(self.inner(x))
        return self.last(y) + x.mean() if y.sum() > -1 else y


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Sequential(nn.Linear(4, 4), nn.ReLU())

    def forward(self, x):
        return self.layer(self.layer(x))


torch.manual_seed(3)
_BLOCK = nn.Sequential(nn.Conv2d(8, 8, 3), nn.ReLU())
CHAIN = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), _BLOCK, nn.Conv2d(8, 4, 1)).eval()
SKIP, BRANCHING = Skip().eval(), Branching().eval()
X = torch.randn(2, 3, 16, 12)


def outputs(front, back, x):
    crossing = front(x)
    return back(*crossing) if isinstance(crossing, tuple) else back(crossing)


@torch.no_grad()
@pytest.mark.parametrize(
    ("module", "names"),
    [
        (CHAIN, "1"),
        (CHAIN, "2"),
        (CHAIN, "2.0"),
        (CHAIN, "3"),
        (SKIP, "first"),
        (SKIP, ["first", "second"]),
        (SKIP, ["second", "first"]),
        (SKIP, ["first.0"]),
    ],
    ids=str,
)
def test_traced_halves_are_the_whole(module, names):
    front, back = features.split(module, names, X)
    whole, halves = module(X), outputs(front, back, X)
    assert torch.equal(whole, halves)
    assert torch.equal(module(X[:1]), outputs(front, back, X[:1]))
    shared = {id(p) for p in module.parameters()}
    assert {id(p) for half in (front, back) for p in half.parameters()} <= shared


def test_the_back_holds_nothing_of_the_front():
    _, back = features.split(CHAIN, "2")
    assert [name for name, _ in back.named_parameters()] == ["3.weight", "3.bias"]


class InPlace(Branching):
    def forward(self, x):
        y = self.inner(x)
        y.neg_()
        return self.last(self.middle(y))


class TwoInputs(Branching):
    def forward(self, x, scale=1.0):
        return self.last(self.middle(self.inner(x)) * scale)


@torch.no_grad()
def test_what_is_done_in_place_is_not_lost():
    module = InPlace().eval()
    with pytest.raises(ValueError, match="works in place"):
        features.split(module, "inner")
    front, back = features.split(module, "inner", X)
    assert torch.equal(outputs(front, back, X), module(X))


def test_an_input_that_is_needed_behind_the_cut():
    with pytest.raises(ValueError, match="behind middle the network needs more: scale"):
        features.split(TwoInputs().eval(), "middle")


@torch.no_grad()
def test_hooked_halves_in_threads():
    front, back = features.split(BRANCHING, "middle", X)
    inputs = [torch.randn(1, 3, 16, 12) for _ in range(40)]
    crossing = [front(x) for x in inputs]
    expected = [BRANCHING(x)["out"] for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda y: back(y)["out"], crossing))
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


@torch.no_grad()
def test_networks_in_double_precision():
    module = Skip().eval().double()
    network = features.calibrate(module, ["first", "second"], [X.double()])
    assert network(X.double()).dtype is torch.float64


@torch.no_grad()
@pytest.mark.parametrize("names", ["inner", "middle", ["inner", "middle"]])
def test_hooks_where_tracing_fails(names):
    front, back = features.split(BRANCHING, names, X)
    for x in (X, X[:1], torch.randn(5, 3, 16, 12)):
        assert torch.equal(outputs(front, back, x)["out"], BRANCHING(x)["out"])
    assert not any(layer._forward_hooks for layer in BRANCHING.modules())


@pytest.mark.parametrize(
    ("module", "names", "example", "words"),
    [
        (SKIP, "second", None, "behind second the network needs more: first"),
        (SKIP, "nowhere", None, "no layer 'nowhere' in Skip"),
        (SKIP, "", None, "no layer ''"),
        (SKIP, [], None, "names of different layers"),
        (SKIP, ["first", "first"], None, "different layers"),
        (Twice().eval(), "layer", None, "called 2 times"),
        (BRANCHING, "middle", None, "cannot trace Branching .*: give an example"),
        (Leaky().eval(), "middle", X, "more than the named layers' outputs crosses"),
    ],
    ids=str,
)
def test_what_cannot_be_cut(module, names, example, words):
    with pytest.raises(ValueError, match=words):
        features.split(module, names, example)


@torch.no_grad()
@pytest.mark.parametrize("names", ["first", ["first", "second"]])
def test_calibrated_networks_run_through_real_bytes(names):
    torch.manual_seed(1)
    loader = [torch.randn(4, 3, 24, 20) for _ in range(3)]
    seen = []
    network = features.calibrate(SKIP, names, loader, levels=8, progress=lambda done, text: seen.append(done))
    assert seen == sorted(seen)
    assert seen[-1] == 1
    x = torch.randn(2, 3, 24, 20)
    out, whole = network(x), SKIP(x)
    assert out.shape == whole.shape
    assert 0 < network.bits_per_element < 3
    error = (out - whole).square().mean() / whole.var()
    assert error < 0.05
    tensors = network.front(x)
    messages = network.encode(tensors if isinstance(tensors, tuple) else (tensors,))
    assert sum(map(len, messages)) == network.num_bytes
    with pytest.raises(BitstreamError):
        network.decode([message[:-1] for message in messages])


def test_pairs_of_input_and_label_are_taken():
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.randn(6, 3, 12, 12), torch.arange(6)), 2)
    assert features.calibrate(SKIP, "first", loader).codecs[0].known is not None


def test_loaders_that_cannot_be_walked_twice():
    with pytest.raises(ValueError, match="walked through twice"):
        features.calibrate(SKIP, "first", iter([X]))
    with pytest.raises(ValueError, match="nothing to calibrate with"):
        features.calibrate(SKIP, "first", [])
