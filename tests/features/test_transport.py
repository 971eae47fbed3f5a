"""Device and server over real sockets: what is sent comes out, what is wrong is told, and nothing hangs or grows."""

from __future__ import annotations

import socket
import threading
import time

import numpy as np
import pytest
import torch

from scalecodec import features
from scalecodec.errors import BitstreamError, PeerError
from scalecodec.features import Client, FeatureCodec, Limits, Quantizer, Server, frames, messages

CODEC = FeatureCodec(Quantizer.uniform(0.0, 3.0, 4)).calibrate([torch.rand(1, 4, 8, 8) * 3])
OTHER = FeatureCodec(Quantizer.uniform(0.0, 2.0, 3)).calibrate([torch.rand(1, 4, 8, 8) * 3])
X = torch.rand(1, 4, 8, 8) * 3


def double(tensors):
    return [2 * tensor for tensor in tensors]


@pytest.fixture
def server():
    with Server(double, [CODEC, OTHER], limits=Limits(1 << 20, 1 << 20, 5.0), max_connections=4) as server:
        yield server


@pytest.fixture
def dial():
    """Opens plain connections to a server, and closes them in the end."""
    opened = []

    def connect(server):
        opened.append(socket.create_connection(("127.0.0.1", server.port), timeout=5))
        return frames.Link(opened[-1], Limits(1 << 20, 1 << 20, 5.0)), opened[-1]

    yield connect
    for connection in opened:
        connection.close()


def expected(codec, tensor):
    return 2 * codec.decode(codec.encode(tensor))


def test_replies_are_those_of_the_handler(server):
    with Client([CODEC], "127.0.0.1", server.port) as client:
        for _ in range(3):
            (reply,) = client.run([X])
            assert torch.equal(reply, expected(CODEC, X))
        assert client.num_bytes < 300
    with Client([OTHER, CODEC], "127.0.0.1", server.port) as client:
        one, two = client.run([X, X[:, :, :4].half()])
        assert torch.equal(one, expected(OTHER, X))
        assert torch.equal(two, expected(CODEC, X[:, :, :4].half()))
        assert two.dtype is torch.float16


def test_several_clients_at_once(server):
    found = []

    def run(seed):
        x = torch.rand(1, 4, 8, 8, generator=torch.Generator().manual_seed(seed)) * 3
        with Client([CODEC], "127.0.0.1", server.port) as client:
            found.append(all(torch.equal(client.run([x])[0], expected(CODEC, x)) for _ in range(5)))

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert found == [True] * 4


def test_a_codec_that_the_server_lacks_is_refused(server):
    stranger = FeatureCodec(Quantizer.uniform(0.0, 1.0, 2)).calibrate([X])
    with pytest.raises(PeerError, match=f"codec {stranger.id.hex()} is not known"):
        Client([stranger], "127.0.0.1", server.port)


def test_more_connections_than_allowed_are_told(server):
    clients = [Client([CODEC], "127.0.0.1", server.port) for _ in range(4)]
    with pytest.raises(PeerError, match="busy"):
        Client([CODEC], "127.0.0.1", server.port)
    clients[0].close()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:  # until the server has seen it go
        try:
            Client([CODEC], "127.0.0.1", server.port).close()
            break
        except PeerError:
            time.sleep(0.01)
    else:
        pytest.fail("a connection that ended was not given to another")
    for client in clients:
        client.close()


def test_a_handlers_failure_is_told_and_costs_one_connection():
    def fail(tensors):
        raise RuntimeError("no such layer")

    with Server(fail, [CODEC]) as server:
        for _ in range(2):
            with Client([CODEC], "127.0.0.1", server.port) as client, pytest.raises(PeerError, match="no such layer"):
                client.run([X])


HELLO = messages.hello([CODEC.id])
BLOB = CODEC.encode(X)
WRONG = {
    "tensors before the handshake": (frames.TENSORS, b"", "kind 4 where a handshake"),
    "no handshake": (frames.HELLO, b"GET / HTTP/1.1", "not a handshake"),
    "another version": (frames.HELLO, features.reader.sealed(b"SCFH", b"\x07\x00"), "version 7, this is version 1"),
    "too many codecs": (frames.HELLO, features.reader.sealed(b"SCFH", b"\x01\xff\x7f"), "16383 tensors, of which"),
}


@pytest.mark.parametrize(("kind", "content", "words"), WRONG.values(), ids=WRONG)
def test_a_wrong_beginning(server, dial, kind, content, words):
    link, _ = dial(server)
    link.send(kind, content)
    answer, text = link.receive()
    assert answer == frames.FAULT
    assert words in text.decode()
    with pytest.raises((frames.Closed, OSError)):
        link.receive()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (messages.pack([]), "0 tensors where 1"),
        (messages.pack([BLOB, BLOB]), "2 tensors where 1"),
        (messages.pack([OTHER.encode(X)]), f"of codec {OTHER.id.hex()}"),
        (messages.pack([BLOB[:-1]]), "checksum mismatch in a coded tensor"),
        (b"", "not a list of tensors"),
    ],
)
def test_wrong_tensors(server, dial, content, words):
    link, _ = dial(server)
    link.send(frames.HELLO, HELLO)
    assert link.receive()[0] == frames.ACCEPT
    link.send(frames.TENSORS, content)
    kind, text = link.receive()
    assert kind == frames.FAULT
    assert words in text.decode()


def test_a_reply_that_comes_late_is_nobodys():
    def slow(tensors):
        time.sleep(0.5)
        return tensors

    with (
        Server(slow, [CODEC]) as server,
        Client([CODEC], "127.0.0.1", server.port, limits=Limits(seconds=0.2)) as client,
    ):
        with pytest.raises(TimeoutError):
            client.run([X])
        time.sleep(0.5)
        with pytest.raises(PeerError, match="closed"):
            client.run([X])


def test_what_a_handler_lacks_is_told():
    def full(tensors):
        raise OSError(28, "No space left on device")

    with (
        Server(full, [CODEC]) as server,
        Client([CODEC], "127.0.0.1", server.port) as client,
        pytest.raises(PeerError, match="No space left"),
    ):
        client.run([X])


def test_many_refusals_do_not_hold_up_the_rest():
    with Server(double, [CODEC], max_connections=1) as server, Client([CODEC], "127.0.0.1", server.port) as client:
        idle = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(12)]
        began = time.monotonic()
        with pytest.raises(PeerError, match="busy"):
            Client([CODEC], "127.0.0.1", server.port)
        assert time.monotonic() - began < 3
        assert torch.equal(client.run([X])[0], expected(CODEC, X))
        for one in idle:
            one.close()


def test_a_tensor_that_names_no_codec(server, dial):
    link, _ = dial(server)
    link.send(frames.HELLO, HELLO)
    link.receive()
    link.send(frames.TENSORS, messages.pack([FeatureCodec(Quantizer.uniform(0.0, 9.0, 3)).encode(X)]))
    kind, text = link.receive()
    assert (kind, b"names no codec" in text) == (frames.FAULT, True)


def test_the_limit_is_of_all_tensors_together():
    limits = Limits(max_elements=2 * X.numel() - 1)
    with (
        Server(double, [CODEC], limits=limits) as server,
        Client([CODEC, CODEC], "127.0.0.1", server.port) as client,
        pytest.raises(PeerError, match="elements"),
    ):
        client.run([X, X])


@pytest.mark.parametrize("limits", [{"max_bytes": 20}, {"max_elements": 0}, {"seconds": 0}, {"seconds": np.inf}])
def test_limits_that_are_none(limits):
    with pytest.raises(ValueError, match="limits are at least"):
        Limits(**limits)


@pytest.mark.parametrize("rate", [-5.0, np.nan, np.inf])
def test_rates_that_are_none(server, rate):
    with pytest.raises(ValueError, match="bits_per_second"):
        Client([CODEC], "127.0.0.1", server.port, bits_per_second=rate)


def test_a_message_that_is_cut_off(server, dial):
    link, connection = dial(server)
    connection.sendall(bytes([frames.HELLO]) + (50).to_bytes(4, "little") + b"abc")
    connection.shutdown(socket.SHUT_WR)
    kind, text = link.receive()
    assert (kind, b"closed within a message" in text) == (frames.FAULT, True)


def test_a_tensor_beyond_the_limit(server):
    flat = FeatureCodec(Quantizer(np.array([0.5]), np.array([])), "static").calibrate([torch.zeros(4)])
    with (
        Server(double, [flat], limits=Limits(1 << 20, 10_000, 5.0)) as small,
        Client([flat], "127.0.0.1", small.port) as client,
        pytest.raises(PeerError, match="at most 10000 elements"),
    ):
        client.run([torch.zeros(10_001)])


def test_a_claimed_length_is_not_waited_for(server, dial):
    _, connection = dial(server)
    connection.sendall(bytes([frames.HELLO]) + (0xFFFFFFFF).to_bytes(4, "little"))
    link = frames.Link(connection, Limits())
    kind, text = link.receive()
    assert (kind, b"of which at most 1048576" in text) == (frames.FAULT, True)


def test_damage_on_the_way_is_found(server, dial):
    link, connection = dial(server)
    head = bytes([frames.HELLO]) + len(HELLO).to_bytes(4, "little")
    connection.sendall(head + HELLO + b"\0\0\0\0")
    kind, text = link.receive()
    assert (kind, text) == (frames.FAULT, b"checksum mismatch in a message")


@pytest.mark.parametrize("sent", [b"", b"\x01", bytes([1]) + (50).to_bytes(4, "little") + b"abc"])
def test_who_is_too_slow_is_dropped(sent, dial):
    with Server(double, [CODEC], limits=Limits(seconds=0.3)) as server:
        _, connection = dial(server)
        connection.settimeout(5)
        connection.sendall(sent)
        began = time.monotonic()
        assert connection.recv(1) == b""  # closed, within its deadline
        assert time.monotonic() - began < 2


def test_bytes_that_trickle_do_not_extend_the_deadline(dial):
    with Server(double, [CODEC], limits=Limits(seconds=0.5)) as server:
        _, connection = dial(server)
        connection.sendall(bytes([1]) + (1000).to_bytes(4, "little"))
        began = time.monotonic()
        ended = False
        while not ended and time.monotonic() - began < 5:
            try:
                connection.sendall(b"x")
                time.sleep(0.05)
            except OSError:
                ended = True
        assert 0.4 < time.monotonic() - began < 3


@pytest.mark.parametrize("rate", [2e5, 1e6])
def test_a_slow_link_takes_its_time(server, rate):
    x = torch.rand(1, 4, 60, 60) * 3
    with Client([CODEC], "127.0.0.1", server.port, bits_per_second=rate) as client:
        began = time.monotonic()
        client.run([x])
        seconds = time.monotonic() - began
        ideal = 8 * client.num_bytes / rate
        assert ideal < seconds < ideal + 0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", [(), (3,), (0, 7), (2, 3, 4)], ids=str)
def test_raw_tensors_come_back(shape, dtype):
    tensor = torch.randn(shape).to(dtype)
    again = messages.read_raw(messages.raw(tensor))
    assert (again.dtype, again.shape) == (dtype, tensor.shape)
    assert torch.equal(again, tensor)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (bytes([3, 0]), "kind 3"),
        (bytes([0, 17]), "17 axes"),
        (bytes([0, 1, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F]), "elements are allowed"),
        (bytes([0, 2, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F]), "elements are allowed"),
        (bytes([0, 1, 2]) + bytes(7), "it has 14 bytes, wanted 15"),
        (bytes([0, 1, 2]) + bytes(9), "1 bytes are left over"),
    ],
)
def test_raw_tensors_that_are_none(content, words):
    with pytest.raises(BitstreamError, match=words):
        messages.read_raw(features.reader.sealed(b"SCFR", content))
