"""Durable appends with sixteen callers waiting, against this disk's bare fdatasync rate."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from appliance.recorder.entrylog import EntryLog
from hil.bench.figures import median, say, show

_WAITING = 16
_SECONDS = 3.0
_ENTRY = bytes(3500)


class NobodySigns:
    """The figure is about durability; no checkpoint is asked for."""

    def last(self) -> tuple[int, bytes | None]:
        return 0, None

    def sign(self, size: int, root: bytes, consistency: Sequence[bytes]) -> bytes:
        raise AssertionError("nobody asked for a checkpoint")


def durable(folder: Path) -> None:
    """Three rounds of both, in turn."""
    say(f"durable appends, {_WAITING} waiting")
    folder.mkdir(parents=True)
    ours, bare = [], []
    for round_ in range(3):
        bare.append(_bare_syncs_per_s(folder / f"bare-{round_}"))
        ours.append(_appends_per_s(folder / f"log-{round_}"))
    show(
        "log_appends_per_s",
        median(ours),
        "appends/s",
        median(bare),
        reference_is="write of 3500 bytes and fdatasync, one at a time, same disk",
        waiting=_WAITING,
        all_ours=[round(one) for one in ours],
        all_bare=[round(one) for one in bare],
    )


def _bare_syncs_per_s(path: Path) -> float:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        count, started = 0, time.perf_counter()
        while (took := time.perf_counter() - started) < _SECONDS:
            os.write(descriptor, _ENTRY)
            os.fdatasync(descriptor)
            count += 1
    finally:
        os.close(descriptor)
    return count / took


def _appends_per_s(folder: Path) -> float:
    (folder / "state").mkdir(parents=True)
    (folder / "log").mkdir()
    entries = EntryLog(folder / "state", folder / "log", NobodySigns())
    stop = threading.Event()
    counts = [0] * _WAITING

    def wait_for_one_after_the_other(who: int) -> None:
        while not stop.is_set():
            entries.settle(entries.stage(who.to_bytes(4, "big") + counts[who].to_bytes(4, "big") + _ENTRY))
            counts[who] += 1

    threads = [threading.Thread(target=wait_for_one_after_the_other, args=(who,)) for who in range(_WAITING)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    time.sleep(_SECONDS)
    stop.set()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - started)
