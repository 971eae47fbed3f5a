"""The device's end: sends coded tensors to a server, and gets back what it made of them."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from torch import Tensor

from scalecodec.errors import BitstreamError, PeerError

from . import messages
from .codec import FeatureCodec
from .frames import ACCEPT, FAULT, HELLO, REFUSE, REPLY, TENSORS, Closed, Limits, Link


class Client:
    """A connection to a :class:`~.server.Server`, which has the same codecs; for one thread at a time.

    It is closed by whatever goes wrong once a message is on its way.

    Parameters
    ----------
    codecs : calibrated, one for each tensor of a message
    host, port : of the server
    limits : what a reply may cost, and how long a message may take
    bits_per_second : at which to send at most, as over a slow link; 0: as fast as it goes

    Raises
    ------
    PeerError
        The server refuses: it says why.
    OSError
        There is no server, or it does not answer in time.
    """

    def __init__(
        self,
        codecs: Sequence[FeatureCodec],
        host: str,
        port: int,
        *,
        limits: Limits | None = None,
        bits_per_second: float = 0.0,
    ) -> None:
        self._codecs, limits = list(codecs), limits or Limits()
        ids = [codec.id for codec in self._codecs]
        connection = socket.create_connection((host, port), timeout=limits.seconds)
        try:
            self._link = Link(connection, limits, bits_per_second)
        except ValueError:
            connection.close()
            raise
        self.num_bytes = 0  # of the last message
        self._closed = False
        try:
            self._link.send(HELLO, messages.hello(ids))
            self._answer(ACCEPT)
        except BaseException:
            self.close()
            raise

    def run(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Code and send one tensor for each codec, and wait for the reply's.

        Raises
        ------
        PeerError
            The server reports a fault, and is gone.
        BitstreamError
            Its answer is none.
        OSError
            It is gone, or does not answer in time.
        """
        if self._closed:
            raise PeerError("this connection is closed")
        content = messages.pack([codec.encode(one) for codec, one in zip(self._codecs, tensors, strict=True)])
        self.num_bytes = len(content)
        try:
            self._link.send(TENSORS, content)
            return [messages.read_raw(part) for part in messages.unpack(self._answer(REPLY))]
        except BaseException:  # a reply that comes later must not be taken for the next message's
            self.close()
            raise

    def close(self) -> None:
        self._closed = True
        self._link.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answer(self, wanted: int) -> bytes:
        try:
            kind, content = self._link.receive()
        except Closed:
            raise PeerError("the server closed the connection") from None
        if kind in (REFUSE, FAULT):
            raise PeerError(f"the server says: {content.decode(errors='replace')}")
        if kind != wanted:
            raise BitstreamError(f"a message of kind {kind} where kind {wanted} was awaited")
        return content
