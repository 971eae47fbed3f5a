"""Run every case of bad_inputs.py and its like in a forked child and print its outcome as one line of JSON."""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import sys
import time
from pathlib import Path

import bad_arrays  # noqa: F401  registers its cases
import bad_lanes  # noqa: F401
from bad_inputs import CASES, DOORS, valid

TIME_LIMIT = 10.0  # seconds; an ordinary case takes milliseconds
MEMORY_LIMIT = 1 << 30  # bytes above what the parent has


def limit_memory():
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return  # not Linux: the time limit must do
    limit = pages * os.sysconf("SC_PAGE_SIZE") + MEMORY_LIMIT
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def outcome(case):
    """How the call ended, in this process."""
    limit_memory()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = {"end": "returned"}
    try:
        case.call()
    except BaseException as error:  # a panic that is no Exception is an outcome too
        types = [kind.__name__ for kind in type(error).__mro__]
        result = {"end": "raised", "types": types, "message": str(error)[:2000]}
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return result | {"grown_kib": (after - before) // (1024 if sys.platform == "darwin" else 1)}


def run(case):
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read_end)
        os.write(write_end, json.dumps(outcome(case)).encode())
        os._exit(0)
    os.close(write_end)
    text = b""
    deadline = time.monotonic() + TIME_LIMIT
    while select.select([read_end], [], [], max(0, deadline - time.monotonic()))[0]:
        part = os.read(read_end, 1 << 16)
        if not part:
            break
        text += part
    else:
        os.kill(child, signal.SIGKILL)
        text = json.dumps({"end": f"hung: {TIME_LIMIT} s were not enough"}).encode()
    os.close(read_end)
    _, status = os.waitpid(child, 0)
    if text:
        return json.loads(text)
    return {"end": f"died: wait status {status}, signal {os.WTERMSIG(status) if os.WIFSIGNALED(status) else None}"}


def main():
    for door in DOORS.values():
        valid(door)  # once, not in every child
    for name, case in CASES.items():
        sys.stdout.write(json.dumps({"name": name} | run(case)) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
