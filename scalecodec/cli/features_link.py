"""scalecodec features serve, send: the two ends of a split network over TCP."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .features_codec import read_codec
from .tensor_files import read_tensors, write_tensor
from .terminal import add_json, show


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    serve = commands.add_parser("serve", help="receive coded tensors: store them, or run the rest of a network on them")
    serve.add_argument("codecs", nargs="+", metavar="CODEC", help="codec files of `features design`")
    serve.add_argument("--host", default="127.0.0.1")
    serve.add_argument("--port", type=int, default=0, help="0 takes a free one")
    serve.add_argument("--store", metavar="FOLDER", help="write what comes as .safetensors")
    serve.add_argument("--network", choices=("squeezenet", "fastestdet"), help="whose other half to run")
    serve.add_argument("--weights", help="of the network, .safetensors")
    serve.add_argument("--split", action="append", help="layer behind which it is cut; one for each codec")
    serve.add_argument("--max-bytes", type=int, default=1 << 26, help="of a message")
    serve.add_argument("--seconds", type=float, default=30.0, help="for a message to arrive")
    serve.add_argument("--connections", type=int, default=8, help="at once")
    serve.set_defaults(run=_serve)

    send = commands.add_parser("send", help="code tensors, send them to a server, and take its replies")
    send.add_argument("address", metavar="HOST:PORT")
    send.add_argument("tensors", nargs="+", metavar="TENSOR", help="activations in .npy or .safetensors")
    send.add_argument(
        "-c", "--codec", action="append", required=True, help="codec file, one for each tensor of a message"
    )
    send.add_argument("--rate", type=float, default=0.0, metavar="MBIT", help="Mbit/s to send at most (0: as it goes)")
    send.add_argument("--repeat", type=int, default=1, help="send all of them so many times")
    send.add_argument("--store", metavar="FOLDER", help="write the replies as .safetensors")
    add_json(send)
    send.set_defaults(run=_send)


def _serve(options: argparse.Namespace) -> None:
    from scalecodec.features import Limits, Server

    if bool(options.network) != bool(options.weights and options.split):
        raise ValueError("--network, --weights and --split go together")
    if not 0 <= options.port < 1 << 16:
        raise ValueError(f"a port lies in [0, 65535], got {options.port}")
    codecs = [read_codec(path) for path in options.codecs]
    handler = _back_half(options) if options.network else _keeper(options.store)
    limits = Limits(options.max_bytes, options.max_bytes, options.seconds)
    server = Server(handler, codecs, options.host, options.port, limits=limits, max_connections=options.connections)
    names = ", ".join(codec.id.hex() for codec in codecs)
    print(f"serving on {options.host}:{server.port}, codecs {names}; Ctrl-C ends it", flush=True)
    try:
        server.serve()
    finally:
        server.close()


def _back_half(options: argparse.Namespace) -> Callable[[Sequence[Any]], Sequence[Any]]:
    import torch

    from scalecodec import features
    from scalecodec.eval import networks

    network = getattr(networks, options.network).load(options.weights)
    _, back = features.split(network, options.split)

    def run(tensors: Sequence[Any]) -> Sequence[Any]:
        with torch.inference_mode():
            return [back(*tensors)]

    return run


def _keeper(folder: str | None) -> Callable[[Sequence[Any]], Sequence[Any]]:
    """Writes each message's tensors, and replies with none."""
    count = 0

    def keep(tensors: Sequence[Any]) -> Sequence[Any]:
        nonlocal count
        if folder:
            count += 1
            _store(folder, count, tensors)
        return []

    return keep


def _store(folder: str, number: int, tensors: Sequence[Any]) -> None:
    Path(folder).mkdir(parents=True, exist_ok=True)
    for place, tensor in enumerate(tensors):
        write_tensor(str(Path(folder, f"{number:06d}-{place}.safetensors")), tensor)


def _send(options: argparse.Namespace) -> None:
    import torch

    from scalecodec.features import Client

    host, separator, port = options.address.rpartition(":")
    if not (separator and host and port.isdecimal()):
        raise ValueError(f"wanted HOST:PORT, got {options.address}")
    codecs = [read_codec(path) for path in options.codec]
    tensors = [torch.as_tensor(tensor) for tensor in read_tensors(options.tensors)]
    if options.repeat < 1 or not tensors:
        raise ValueError(f"there is nothing to send: {len(tensors)} tensors, {options.repeat} times")
    if len(tensors) % len(codecs):
        raise ValueError(f"{len(tensors)} tensors do not make messages of {len(codecs)}")
    groups = [tensors[at : at + len(codecs)] for at in range(0, len(tensors), len(codecs))] * options.repeat
    rows = []
    with Client(codecs, host, int(port), bits_per_second=1e6 * options.rate) as client:
        for number, group in enumerate(groups, 1):
            began = time.perf_counter()
            replies = client.run(group)
            seconds = time.perf_counter() - began
            elements = max(1, sum(tensor.numel() for tensor in group))
            rows.append(
                {"bytes": client.num_bytes, "bits_per_element": 8 * client.num_bytes / elements, "seconds": seconds}
            )
            if options.store:
                _store(options.store, number, replies)
    middle = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
    text = f"{len(rows)} messages: {middle['bytes']:.0f} bytes, {middle['bits_per_element']:.3f} bits an element, "
    show(
        options,
        {"messages": rows, "median": middle},
        text + f"{1000 * middle['seconds']:.1f} ms there and back (medians)",
    )
