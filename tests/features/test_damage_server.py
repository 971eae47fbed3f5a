"""Hostile messages over real sockets: each ends in an answer or the connection's end, and the server goes on.

python -m tests.features.test_damage_server [COUNT]    # as many messages of each kind, default 25,000
"""

from __future__ import annotations

import resource
import socket
import sys

import numpy as np
import pytest
import torch

from scalecodec import _core, features
from scalecodec.features import Client, FeatureCodec, Histogram, Limits, Server, frames, messages
from tests.features.test_damage import mutated

LIMITS = Limits(1 << 20, 1 << 16, 10.0)
TENSOR = torch.relu(torch.randn(1, 6, 12, 11, generator=torch.Generator().manual_seed(5)))
CODEC = FeatureCodec(features.design(Histogram(TENSOR), 4, target_bits=1.0)).calibrate([TENSOR])
HELLO, CODED = messages.hello([CODEC.id]), CODEC.encode(TENSOR)


def framed(kind, content):
    head = bytes([kind]) + len(content).to_bytes(4, "little")
    return head + content + _core.crc32c(content, _core.crc32c(head)).to_bytes(4, "little")


GREETING = framed(frames.HELLO, HELLO)

# What is put on the wire, of a generator; the later ones get through more checks.
ATTACKS = {
    "handshake": lambda rng: framed(frames.HELLO, mutated(HELLO, rng)),
    "frame": lambda rng: GREETING + mutated(framed(frames.TENSORS, messages.pack([CODED])), rng),
    "list": lambda rng: GREETING + framed(int(rng.integers(8)), mutated(messages.pack([CODED]), rng)),
    "tensor": lambda rng: GREETING + framed(frames.TENSORS, messages.pack([mutated(CODED, rng)])),
}


def answers(port, data):
    """Kinds of the messages that come back until the server ends the connection."""
    kinds = []
    with socket.create_connection(("127.0.0.1", port), timeout=LIMITS.seconds) as connection:
        link = frames.Link(connection, LIMITS)
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        try:
            while True:
                kinds.append(link.receive()[0])
        except frames.Closed:
            return kinds


def attack(server, make, count, seed):
    """How many of the messages were answered as if they were whole."""
    rng = np.random.default_rng(seed)
    taken = 0
    for _ in range(count):
        kinds = answers(server.port, make(rng))
        assert kinds in (
            [frames.ACCEPT],
            [frames.FAULT],
            [frames.REFUSE],
            [frames.ACCEPT, frames.FAULT],
            [frames.ACCEPT, frames.REPLY],
            [frames.ACCEPT, frames.REPLY, frames.FAULT],
        ), kinds
        taken += frames.REPLY in kinds or kinds == [frames.ACCEPT]
    with Client([CODEC], "127.0.0.1", server.port, limits=LIMITS) as client:
        assert torch.equal(client.run([TENSOR])[0], CODEC.decode(CODED))
    return taken


@pytest.fixture
def server():
    with Server(list, [CODEC], limits=LIMITS) as server:
        yield server


@pytest.mark.parametrize("name", ATTACKS)
def test_mutants_on_the_wire(server, name):
    assert attack(server, ATTACKS[name], 150, 1) < 75


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 25_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number, (name, make) in enumerate(ATTACKS.items()):
        with Server(list, [CODEC], limits=LIMITS) as server:
            taken = attack(server, make, count, number)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        sys.stdout.write(f"{name}: {count} messages, {taken} taken, peak memory +{grown:.0f} MB\n")
        sys.stdout.flush()
