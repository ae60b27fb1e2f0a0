"""The part of `make image-bench` that takes boots: how soon a station is ready, beside a plain Debian.

- Both are started by the same U-Boot on the same emulated machine, never at the same time. A first start does what is
  done once; then they are started in turn, and the median of each one's starts counts.
  Seconds are from power-on to the marker: "ready or why not" on ours, the login prompt on the reference.
- The reference is made from the image's own locked packages: image/builder/reference.py.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from hil.virtual_station.places import SCRATCH, TREE
from hil.virtual_station.station import VirtualStation
from image.builder.tree import ToolsTree

_READY = r"proofline: (station ready|not ready: .*)$"
_LOGIN = r"^debian login: "
_SETTLE_S = 60
"""So long a plain Debian is left alone after its first login prompt, to finish what a first boot has to do."""
_PAIRS = 5
"""One start differs from the next by a quarter on a machine that others use as well."""


def reference() -> Path:
    """The plain Debian's disk; made when it is not there."""
    epoch = json.loads((SCRATCH / "out/build.json").read_text("utf-8"))["source_date_epoch"]
    tools = ToolsTree(TREE, SCRATCH)
    surroundings = {"SOURCE_DATE_EPOCH": str(epoch)}
    tools.run(["python3", "-m", "image.builder.reference", str(epoch)], "reference.log", env=surroundings)
    return SCRATCH / "reference" / "disk.raw"


def seconds_to(station: VirtualStation, marker: str) -> float:
    """From power-on to a line of the console."""
    station.power_on()
    station.wait_console(marker, timeout_s=900)
    return time.monotonic() - station.powered_at


def starts() -> Iterator[tuple[float, float]]:
    """Seconds of our start and of the reference's, one pair after the other."""
    with VirtualStation("bench-ours") as ours, VirtualStation("bench-debian", like=reference()) as theirs:
        seconds_to(ours, _READY)
        ours.wait_kept("a")
        ours.power_cut()
        seconds_to(theirs, _LOGIN)
        time.sleep(_SETTLE_S)
        theirs.power_cut()
        for _pair in range(_PAIRS):
            took = []
            for station, marker in ((ours, _READY), (theirs, _LOGIN)):
                took.append(seconds_to(station, marker))
                station.power_cut()
            yield took[0], took[1]


def main() -> int:
    ours, theirs = (round(statistics.median(one), 1) for one in zip(*starts(), strict=True))
    figure = {"figure": "ready_vs_debian_login", "value": ours, "unit": "s", "reference": theirs}
    sys.stdout.write(json.dumps({**figure, "ratio": round(ours / theirs, 3)}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
