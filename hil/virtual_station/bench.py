"""The part of `make image-bench` that takes boots: how soon a station is ready, beside a plain Debian.

- Both are started twice by the same U-Boot on the same emulated machine, one after the other; the second start counts.
  Seconds are from power-on to the marker: "ready or why not" on ours, the login prompt on the reference.
- The reference is made from the image's own locked packages: image/builder/reference.py.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from hil.virtual_station.places import SCRATCH, TREE
from hil.virtual_station.station import VirtualStation
from image.builder.tree import ToolsTree

_READY = r"proofline: (station ready|not ready: .*)$"
_LOGIN = r"^debian login: "
_SETTLE_S = 60
"""So long a plain Debian is left alone after its first login prompt, to finish what a first boot has to do."""


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


def ready_s() -> float:
    """Our second start."""
    with VirtualStation("bench-ours") as station:
        seconds_to(station, _READY)
        station.wait_kept("a")
        station.power_cut()
        return seconds_to(station, _READY)


def login_s() -> float:
    """The reference's second start."""
    with VirtualStation("bench-debian", like=reference()) as station:
        seconds_to(station, _LOGIN)
        time.sleep(_SETTLE_S)
        station.power_cut()
        return seconds_to(station, _LOGIN)


def main() -> int:
    ours, theirs = round(ready_s(), 1), round(login_s(), 1)
    figure = {"figure": "ready_vs_debian_login", "value": ours, "unit": "s", "reference": theirs}
    sys.stdout.write(json.dumps({**figure, "ratio": round(ours / theirs, 3)}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
