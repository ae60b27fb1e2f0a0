"""What emulated stations need of this machine; asked before a test waits for what cannot come."""

from __future__ import annotations

import os
import shutil

from hil.release_desk import MODULE
from hil.virtual_station.places import CHECKOUT, SCRATCH, TREE

_PROGRAMS = ("nsenter", "setpriv", "softhsm2-util", "unshare")
_FREE_GIB = 12


def missing() -> list[str]:
    """What is missing, a sentence each; empty when image tests can run."""
    told = []
    if os.geteuid() != 0:
        told.append("Root: the tools tree is mounted, and each station has a network of its own.")
    told += [f"The program {name} (requirements/setup installs it)." for name in _PROGRAMS if not shutil.which(name)]
    if not os.path.exists(MODULE):
        told.append(f"SoftHSM, {MODULE} (requirements/setup installs it).")
    for path in (SCRATCH / "out" / "disk.raw", TREE / "usr" / "bin" / "qemu-system-aarch64"):
        if not path.exists():
            told.append(f"{os.path.relpath(path, CHECKOUT)}: `make image` makes it.")
    free = shutil.disk_usage(SCRATCH if SCRATCH.exists() else CHECKOUT).free >> 30
    if free < _FREE_GIB:
        told.append(f"{_FREE_GIB} GiB of disk; {free} are free.")
    return told
