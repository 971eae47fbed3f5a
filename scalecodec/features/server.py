"""The cloud's end: receives coded tensors, hands them to a function, sends back what it gives."""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
import time
from collections.abc import Callable, Sequence

from torch import Tensor

from scalecodec.errors import BitstreamError, PeerError, ScalecodecError

from . import messages
from .blob import read_blob
from .codec import FeatureCodec
from .frames import ACCEPT, FAULT, HELLO, REFUSE, REPLY, TENSORS, Closed, Limits, Link

_PASSING = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ECONNABORTED, errno.EINTR}
_PAUSE = 0.05  # seconds, until what an accept lacked may be there
_REFUSALS = 16  # that are being told at once

Handler = Callable[[Sequence[Tensor]], Sequence[Tensor]]


class Server:
    """Serves until :meth:`close`; each connection has a thread.

    Parameters
    ----------
    handler : from the tensors of one message to those of the reply; must bear being called from several threads
    codecs : calibrated codecs that a client may name; others are refused
    host, port : where to listen; port 0 takes a free one, which :attr:`port` names
    limits : of every connection
    max_connections : at once; others are refused as busy. Memory stays within that many times what limits allow.
    """

    def __init__(
        self,
        handler: Handler,
        codecs: Sequence[FeatureCodec],
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        limits: Limits | None = None,
        max_connections: int = 8,
    ) -> None:
        self._handler, self._limits = handler, limits or Limits()
        self._codecs = {codec.id: codec for codec in codecs}
        if max_connections < 1:
            raise ValueError(f"max_connections must be positive, got {max_connections}")
        self._free = threading.BoundedSemaphore(max_connections)
        self._refusing = threading.BoundedSemaphore(_REFUSALS)
        self._listener = socket.create_server((host, port))
        self._closing = threading.Event()
        self.port: int = self._listener.getsockname()[1]

    def serve(self) -> None:
        """Accept connections until closed."""
        while not self._closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError as error:
                if self._closing.is_set():
                    return
                if error.errno not in _PASSING:
                    raise
                time.sleep(_PAUSE)
                continue
            link = Link(connection, self._limits)
            if self._free.acquire(blocking=False):
                self._start(self._talk, link, self._free)
            elif self._refusing.acquire(blocking=False):
                self._start(self._refuse, link, self._refusing)
            else:
                connection.close()

    def _start(self, action: Callable[[Link], None], link: Link, held: threading.BoundedSemaphore) -> None:
        """In a thread of its own, that closes the link and gives back what it held."""

        def run() -> None:
            try:
                action(link)
            finally:
                link.close()
                held.release()

        try:
            threading.Thread(target=run, daemon=True).start()
        except RuntimeError:  # no thread is left
            link.close()
            held.release()

    def _refuse(self, link: Link) -> None:
        _say(link, REFUSE, "busy: no connection is free")

    def close(self) -> None:
        """Stop listening; connections that are open end by themselves."""
        self._closing.set()
        # Closing alone does not wake an accept that waits.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def __enter__(self) -> Server:
        threading.Thread(target=self.serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _talk(self, link: Link) -> None:
        """One connection, from handshake to end; whatever is wrong is told to the client and ends it."""
        try:
            codecs = self._shake(link)
            while True:
                kind, content = link.receive()
                if kind != TENSORS:
                    raise BitstreamError(f"a message of kind {kind} where tensors were awaited")
                link.send(REPLY, self._answer(self._tensors(content, codecs)))
        except (ScalecodecError, ValueError) as error:  # a reply beyond the limits is a ValueError
            _say(link, FAULT, str(error))
        except (Closed, OSError):  # the client is gone, or too slow
            pass

    def _answer(self, tensors: Sequence[Tensor]) -> bytes:
        try:
            return messages.pack([messages.raw(tensor) for tensor in self._handler(tensors)])
        except Exception as error:  # the handler's own: the client is told, and other connections go on
            raise PeerError(f"the server failed: {error}") from error

    def _shake(self, link: Link) -> list[FeatureCodec]:
        kind, content = link.receive()
        if kind != HELLO:
            raise BitstreamError(f"a message of kind {kind} where a handshake was awaited")
        ids = messages.read_hello(content)
        if unknown := [one.hex() for one in ids if one not in self._codecs]:
            _say(link, REFUSE, f"codec {unknown[0]} is not known here")
            raise Closed
        link.send(ACCEPT, b"")
        return [self._codecs[one] for one in ids]

    def _tensors(self, content: bytes, codecs: Sequence[FeatureCodec]) -> list[Tensor]:
        parts = messages.unpack(content)
        if len(parts) != len(codecs):
            raise BitstreamError(f"{len(parts)} tensors where {len(codecs)} were agreed on")
        left, tensors = self._limits.max_elements, []
        for part, codec in zip(parts, codecs, strict=True):
            if not isinstance(read_blob(part, max(1, left)).key, bytes):
                raise BitstreamError(f"a tensor that names no codec, where {codec.id.hex()} was agreed on")
            tensors.append(codec.decode(part, max_elements=max(1, left)))
            left -= tensors[-1].numel()
            if left < 0:
                raise BitstreamError(f"tensors of more than {self._limits.max_elements} elements together")
        return tensors


def _say(link: Link, kind: int, text: str) -> None:
    """Tell the client, if it still listens."""
    with contextlib.suppress(OSError, ValueError):
        link.send(kind, text.encode()[:1000])
