"""Messages over a socket: a kind, a length, the content and a CRC-32C, each whole before its deadline (FORMAT.md, 8.5).

Nothing is allocated for a length that is only claimed: memory grows with what has arrived, up to the limit.
"""

from __future__ import annotations

import contextlib
import math
import socket
import time
from dataclasses import dataclass

from scalecodec import _core
from scalecodec.errors import BitstreamError

HELLO, ACCEPT, REFUSE, TENSORS, REPLY, FAULT = range(1, 7)
VERSION = 1
_HEAD = 5  # bytes: kind, length
_CHUNK = 1 << 16  # that are asked for at a time
_LINGER = 0.5  # seconds
_LEAST_BYTES = 2048  # what telling of a fault may take
_LONGEST = 86400  # seconds


class Closed(Exception):
    """The other side closed the connection between two messages."""


@dataclass(frozen=True)
class Limits:
    """What one connection may cost.

    Attributes
    ----------
    max_bytes : int, of a message's content
    max_elements : int, of all tensors of a message together
    seconds : float, for a message to arrive or leave, whole; who is silent for so long is gone
    """

    max_bytes: int = 1 << 26
    max_elements: int = 1 << 26
    seconds: float = 30.0

    def __post_init__(self) -> None:
        if self.max_bytes < _LEAST_BYTES or self.max_elements < 1 or not 0 < self.seconds <= _LONGEST:
            least = f"{_LEAST_BYTES} bytes, 1 element and a time above 0, up to {_LONGEST} s"
            raise ValueError(f"limits are at least {least}, got {self}")


class Link:
    """One end of a connection.

    Parameters
    ----------
    connection : a connected TCP socket; closed by :meth:`close`
    limits : Limits
    bits_per_second : float, at which this end sends at most; 0: as fast as it goes
    """

    def __init__(self, connection: socket.socket, limits: Limits, bits_per_second: float = 0.0) -> None:
        if not (math.isfinite(bits_per_second) and bits_per_second >= 0):
            raise ValueError(f"bits_per_second must be finite and not negative, got {bits_per_second}")
        self._socket, self._limits, self._rate = connection, limits, bits_per_second
        # A message's last packet must not wait for the answer to those before it.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._free_at = 0.0  # when what was sent before has left a link of this rate

    def send(self, kind: int, content: bytes) -> None:
        """One message; ValueError where it is too long, TimeoutError where it does not leave in time."""
        if len(content) > self._limits.max_bytes:
            raise ValueError(
                f"a message of {len(content)} bytes, of which at most {self._limits.max_bytes} are allowed"
            )
        head = bytes([kind]) + len(content).to_bytes(4, "little")
        checksum = _core.crc32c(content, _core.crc32c(head)).to_bytes(4, "little")
        deadline = time.monotonic() + self._limits.seconds
        data = memoryview(head + content + checksum)
        step = len(data) if not self._rate else max(1, min(1460, int(self._rate / 800)))  # a packet, or 10 ms
        for start in range(0, len(data), step):
            self._pace(min(step, len(data) - start), deadline)
            self._socket.settimeout(_left(deadline))
            self._socket.sendall(data[start : start + step])

    def receive(self) -> tuple[int, bytes]:
        """Kind and content of the next message.

        Raises
        ------
        Closed
            There is none.
        BitstreamError
            It is too long, damaged, or cut off.
        TimeoutError
            It did not arrive in time.
        """
        deadline = time.monotonic() + self._limits.seconds
        head = self._take(_HEAD, deadline)
        if not head:
            raise Closed
        length = int.from_bytes(head[1:], "little")
        if length > self._limits.max_bytes:
            raise BitstreamError(f"a message of {length} bytes, of which at most {self._limits.max_bytes} are allowed")
        content = self._take(length + 4, deadline)
        if len(head) < _HEAD or len(content) < length + 4:
            raise BitstreamError("the connection was closed within a message")
        body = bytes(content[:length])
        if _core.crc32c(body, _core.crc32c(bytes(head))).to_bytes(4, "little") != content[length:]:
            raise BitstreamError("checksum mismatch in a message")
        return head[0], body

    def close(self) -> None:
        """End the connection. What the other side still sends is let in for a moment: refused, it would make the last
        message to it vanish as well.
        """
        until = time.monotonic() + _LINGER
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
            while (seconds := until - time.monotonic()) > 0:
                self._socket.settimeout(seconds)
                if not self._socket.recv(_CHUNK):
                    break
        self._socket.close()

    def _take(self, count: int, deadline: float) -> bytearray:
        """``count`` bytes, or fewer where the other side ends before."""
        taken = bytearray()
        while len(taken) < count:
            self._socket.settimeout(_left(deadline))
            part = self._socket.recv(min(_CHUNK, count - len(taken)))
            if not part:
                break
            taken += part
        return taken

    def _pace(self, num_bytes: int, deadline: float) -> None:
        """Wait until a link of the rate is free, then take it for as long as these bytes need."""
        if not self._rate:
            return
        now = time.monotonic()
        start = max(now, self._free_at)
        self._free_at = start + 8 * num_bytes / self._rate
        if self._free_at > deadline:
            raise TimeoutError(f"{self._limits.seconds} s do not suffice at {self._rate:g} bits a second")
        time.sleep(self._free_at - now)


def _left(deadline: float) -> float:
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("a message took too long")
    return seconds
