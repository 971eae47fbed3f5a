"""The cloud's end: receives coded tensors, hands them to a function, sends back what it gives."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Sequence

from torch import Tensor

from scalecodec.errors import BitstreamError, ScalecodecError

from . import messages
from .codec import FeatureCodec
from .frames import ACCEPT, FAULT, HELLO, REFUSE, REPLY, TENSORS, Closed, Limits, Link

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
        self._free = threading.BoundedSemaphore(max_connections)
        self._listener = socket.create_server((host, port))
        self._closing = threading.Event()
        self.port: int = self._listener.getsockname()[1]

    def serve(self) -> None:
        """Accept connections until closed."""
        while not self._closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                if self._closing.is_set():
                    return
                raise
            link = Link(connection, self._limits)
            if self._free.acquire(blocking=False):
                threading.Thread(target=self._talk, args=(link,), daemon=True).start()
            else:
                _say(link, REFUSE, "busy: no connection is free")
                link.close()

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
        """One connection, from handshake to end; whatever goes wrong is told to the client and ends it."""
        try:
            codecs = self._shake(link)
            while True:
                kind, content = link.receive()
                if kind != TENSORS:
                    raise BitstreamError(f"a message of kind {kind} where tensors were awaited")
                reply = self._handler(self._tensors(content, codecs))
                link.send(REPLY, messages.pack([messages.raw(tensor) for tensor in reply]))
        except (Closed, OSError):  # the client is gone, or too slow
            pass
        except ScalecodecError as error:
            _say(link, FAULT, str(error))
        except Exception as error:  # the handler's own: the client is told, and other connections go on
            _say(link, FAULT, f"the server failed: {error}")
        finally:
            link.close()
            self._free.release()

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
            tensors.append(codec.decode(part, max_elements=left))
            left -= tensors[-1].numel()
        return tensors


def _say(link: Link, kind: int, text: str) -> None:
    """Tell the client, if it still listens."""
    with contextlib.suppress(OSError):
        link.send(kind, text.encode()[:1000])
