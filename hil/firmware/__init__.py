"""The demonstration firmware, built on demand, for whoever flashes it: demo, tests and bench.

- `image_path` builds what is missing (`make` decides), once at a time on this machine, and returns the file.
- The builds are reproducible: the same sources and compiler give the same bytes in any directory.
"""

from __future__ import annotations

import fcntl
import subprocess
from pathlib import Path
from typing import Literal

SOURCES = Path(__file__).resolve().parent
BUILD = SOURCES / "build"

Version = Literal["1.0.0", "1.1.0"]
Size = Literal["small", "full"]
Format = Literal["elf", "hex", "bin"]


def image_path(version: Version = "1.0.0", size: Size = "small", kind: Format = "elf") -> Path:
    """The built firmware file; `full` is exactly 512 KiB of flash, `small` under 1 KiB.

    Raises `subprocess.CalledProcessError` when the compiler refuses.
    """
    BUILD.mkdir(exist_ok=True)
    with (BUILD / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run(["make", "--silent", "-C", str(SOURCES)], check=True)
    return BUILD / f"proofline-demo-{version}-{size}.{kind}"
