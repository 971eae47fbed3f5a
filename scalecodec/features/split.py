"""Any torch module cut in two at named layers: what runs on the device, and what runs on the server.

Traced with torch.fx, the back half holds what is behind the cut and nothing else. A module that cannot be traced is run
whole on either side: the front stops at the last named layer, the back goes through the layers before the cut with an
example in the picture's place and puts the tensors received where the named layers' outputs would be.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import RLock
from typing import Any

import torch
from torch import Tensor, fx, nn


def split(module: nn.Module, names: str | Sequence[str], example: Tensor | None = None) -> tuple[nn.Module, nn.Module]:
    """Cut ``module`` behind one or several of its layers.

    Parameters
    ----------
    module : in evaluation mode; its weights are shared, not copied
    names : of submodules, as ``named_modules`` has them, each of which gives one tensor and is called once: their
        outputs, in this order, are what crosses
    example : an input [B, ...]; where it is there, the halves are tried on it, and a module that torch.fx cannot trace
        is split nevertheless: its back half then takes inputs to have been of the example's size

    Returns
    -------
    front : nn.Module
        From the module's input to the tensor that crosses, or a tuple of them.
    back : nn.Module
        From these tensors, one argument each, to the module's output.

    Raises
    ------
    ValueError
        There is no such layer, it is not called once, it gives no tensor, or something else would have to cross as
        well: the message names it. Or tracing failed, and there is no example.
    """
    wanted = [names] if isinstance(names, str) else list(names)
    layers = dict(module.named_modules())
    if not wanted or len(set(wanted)) != len(wanted):
        raise ValueError(f"wanted names of different layers, got {wanted}")
    if unknown := [name for name in wanted if not name or name not in layers]:
        raise ValueError(f"there is no layer {unknown[0]!r} in {type(module).__name__}: see named_modules()")
    try:
        graph = _Tracer(wanted).trace(module)
        _refuse_hidden_effects(graph)
    except Exception as error:  # whatever the module's own Python raises when it sees no real tensor
        if example is None:
            reason = f"torch.fx cannot trace {type(module).__name__} ({error}): give an example to split it by hooks"
            raise ValueError(reason) from error
        front, back = _hooked(module, wanted, example)
    else:
        front, back = _cut(module, graph, wanted)
    if example is not None:
        _try(module, front, back, example)
    return front, back


def crossing(output: Any) -> tuple[Any, ...]:
    """What a front half gave, as a tuple."""
    return output if isinstance(output, tuple) else (output,)


class _Tracer(fx.Tracer):
    """Goes into every module but torch's own and the named ones."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self._names = set(names)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return module_qualified_name in self._names or super().is_leaf_module(m, module_qualified_name)


def _refuse_hidden_effects(graph: fx.Graph) -> None:
    """What nobody uses was done in place: a cut would lose it."""
    for node in graph.nodes:
        if node.op not in ("output", "placeholder") and not node.users:
            raise ValueError(f"{node.name} works in place")


def _cut(module: nn.Module, graph: fx.Graph, names: Sequence[str]) -> tuple[nn.Module, nn.Module]:
    """Two graphs, of what the named layers need and of what is behind them."""
    ends = [_call(graph, name) for name in names]
    before = _needed(ends, ())
    (output,) = (node for node in graph.nodes if node.op == "output")
    behind = _needed([output], ends)
    inputs = {node for node in behind if node.op == "placeholder"}
    if needed := [node for node in behind & before | inputs if node.op != "get_attr" and node not in ends]:
        needed = [node for node in needed if any(user in behind - before for user in node.users)]
        text = ", ".join(sorted(str(node.target if node.op == "call_module" else node.name) for node in needed))
        raise ValueError(f"behind {', '.join(names)} the network needs more: {text}")
    front, back = fx.Graph(), fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in graph.nodes:
        if node in before or node.op == "placeholder":
            copies[node] = front.node_copy(node, lambda one: copies[one])
    results = tuple(copies[end] for end in ends)
    front.output(results if len(results) > 1 else results[0])
    received = {end: back.placeholder(f"received_{at}") for at, end in enumerate(ends)}
    for node in graph.nodes:
        if node in behind and node not in received:
            received[node] = back.node_copy(node, lambda one: received[one])
    return fx.GraphModule(module, front), fx.GraphModule(module, back)


def _call(graph: fx.Graph, name: str) -> fx.Node:
    calls = [node for node in graph.nodes if node.op == "call_module" and node.target == name]
    if len(calls) != 1:
        raise ValueError(f"layer {name!r} is called {len(calls)} times, and can be cut behind one call only")
    return calls[0]


def _needed(roots: Sequence[fx.Node], known: Sequence[fx.Node]) -> set[fx.Node]:
    """All that the roots are computed from, and they themselves; not what ``known`` is computed from."""
    found: set[fx.Node] = set()
    waiting = list(roots)
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting += [] if node in known else node.all_input_nodes
    return found


class _Reached(Exception):
    """The last named layer has given its output: the front half is done."""


class _HookedFront(nn.Module):
    def __init__(self, module: nn.Module, names: Sequence[str], lock: RLock) -> None:
        super().__init__()
        self.module, self._names, self._lock = module, tuple(names), lock

    def forward(self, *inputs: Any) -> Any:
        with self._lock:
            return self._run(*inputs)

    def _run(self, *inputs: Any) -> Any:
        found: dict[str, Tensor] = {}
        layers = dict(self.module.named_modules())

        def keep(name: str, output: Any) -> None:
            if name in found or not isinstance(output, Tensor):
                what = "is called again" if name in found else f"gives a {type(output).__name__}"
                raise ValueError(f"layer {name!r} {what}: it must give one tensor, once")
            found[name] = output
            if len(found) == len(self._names):
                raise _Reached

        hooks = [
            layers[name].register_forward_hook(lambda _m, _i, output, name=name: keep(name, output))
            for name in self._names
        ]
        try:
            self.module(*inputs)
        except _Reached:
            pass
        finally:
            for hook in hooks:
                hook.remove()
        if missing := [name for name in self._names if name not in found]:
            raise ValueError(f"layer {missing[0]!r} was not called")
        results = tuple(found[name] for name in self._names)
        return results if len(results) > 1 else results[0]


class _HookedBack(nn.Module):
    def __init__(self, module: nn.Module, names: Sequence[str], example: Tensor, lock: RLock) -> None:
        super().__init__()
        self.module, self._names, self._lock = module, tuple(names), lock
        self._example: Tensor
        self.register_buffer("_example", torch.zeros_like(example[:1]), persistent=False)

    def forward(self, *received: Tensor) -> Any:
        with self._lock:
            return self._run(*received)

    def _run(self, *received: Tensor) -> Any:
        if len(received) != len(self._names):
            raise ValueError(f"wanted {len(self._names)} tensors, got {len(received)}")
        layers = dict(self.module.named_modules())
        hooks = [
            layers[name].register_forward_hook(lambda _m, _i, _o, tensor=tensor: tensor)
            for name, tensor in zip(self._names, received, strict=True)
        ]
        try:
            return self.module(self._example.repeat(len(received[0]), *[1] * (self._example.dim() - 1)))
        finally:
            for hook in hooks:
                hook.remove()


def _hooked(module: nn.Module, names: Sequence[str], example: Tensor) -> tuple[nn.Module, nn.Module]:
    lock = RLock()  # of the module, whose hooks both halves set
    return _HookedFront(module, names, lock), _HookedBack(module, names, example, lock)


@torch.no_grad()
def _try(module: nn.Module, front: nn.Module, back: nn.Module, example: Tensor) -> None:
    """The halves must do what the whole does."""
    tensors = crossing(front(example))
    if strange := [type(one).__name__ for one in tensors if not isinstance(one, Tensor)]:
        raise ValueError(f"a layer cut behind must give a tensor, got {strange[0]}")
    if not _equal(module(example), back(*tensors)):
        raise ValueError("the halves do not give the whole's output: more than the named layers' outputs crosses")


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and one.shape == other.shape and torch.equal(one, other)
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(_equal(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return isinstance(other, list | tuple) and len(one) == len(other) and all(map(_equal, one, other))
    return bool(one == other)
