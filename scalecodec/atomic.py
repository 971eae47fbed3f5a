"""Write a file whole or not at all: whoever opens the path finds the old bytes or the new ones, also after a crash."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from functools import partial
from typing import Any, BinaryIO

BytesLike = bytes | bytearray | memoryview
_create: Any = partial(open, mode="xb")


def write_atomic(path: str | os.PathLike[str], data: BytesLike) -> None:
    """Replace the file at `path` by `data` in one step.

    The bytes go to a new file in the same directory, reach the disk, and take over the name; the directory entry then
    reaches the disk as well. A process killed on the way leaves the old file, and beside it a `.scl-*.tmp`.

    Parameters
    ----------
    path : str or path-like
        As in `open(path, "wb")`: the umask rules the mode of a new file, an old one keeps its mode, a symbolic link
        stays and its target is replaced. A device or a pipe has no old content to keep: it is written to directly.
    data : bytes-like
        Any C-contiguous buffer; not copied.

    Raises
    ------
    OSError
        The directory or the disk refuses. The old file is untouched and no temporary file stays; only if the last step
        fails, flushing the directory, is the new file in place.
    TypeError
        `data` is not bytes-like.
    """
    target = os.path.realpath(path)  # replacing the link itself would cut it from its target
    old = _stat(path)
    if old is not None and not stat.S_ISREG(old.st_mode):
        with open(path, "wb") as file:
            file.write(data)
        return
    directory = os.path.dirname(target)
    if not os.path.isdir(directory):
        raise FileNotFoundError(f"{os.fspath(path)}: no such folder")
    temporary = os.path.join(directory, f".scl-{secrets.token_hex(8)}.tmp")
    held: list[BinaryIO] = []
    try:
        # Ctrl-C strikes when a call returns, before its result has a name: `extend` has put the file by till then.
        held.extend(map(_create, (temporary,)))
        with held[0] as made:
            if old is not None:
                os.chmod(temporary, stat.S_IMODE(old.st_mode))
            made.write(data)
            made.flush()
            os.fsync(made.fileno())
        os.replace(temporary, target)
    except BaseException:
        for made in held:  # none where the name was taken: that file is not ours to remove
            with contextlib.suppress(OSError):
                made.close()
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        raise
    _flush_directory(directory)


def _stat(path: str | os.PathLike[str]) -> os.stat_result | None:
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def _flush_directory(directory: str) -> None:
    if not hasattr(os, "O_DIRECTORY"):  # Windows has no handle of a directory to flush
        return
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:  # it may be closed to readers, or its file system may not know how: the file is in place
        if error.errno not in (errno.EACCES, errno.EINVAL):
            raise
