"""The typed errors: data, table and machine each have one; a caller's own fault is a plain ValueError or TypeError."""


class ScalecodecError(Exception):
    """Base of every error that scalecodec raises by itself."""


class BitstreamError(ScalecodecError, ValueError):
    """The bytes given to a decoder are short, long, damaged, or made for another model."""


class TableError(ScalecodecError, ValueError):
    """A cumulative table breaks its contract (start, end, order, length)."""


class BackendError(ScalecodecError, RuntimeError):
    """A kernel set asked for by name cannot run on this machine."""


class PeerError(ScalecodecError, ConnectionError):
    """The other end of a connection refuses, or reports a fault of its own."""


class HostError(ScalecodecError, RuntimeError):
    """The package that is to be accelerated is missing, or not as it is known."""
