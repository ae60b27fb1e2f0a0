"""The slot that runs, read from its first block to its last through dm-verity.

- What nothing has needed yet would be found wrong only when it is needed: a flipped byte in such a block is found here,
  before the slot is committed. Verity answers it with a panic (`panic-on-corruption`) or with a read error.
- Reading what is not behind verity would prove nothing, so that is refused.
"""

from __future__ import annotations

import os
from pathlib import Path

from appliance.update.errors import SlotUnreadable, SlotUnverified

_CHUNK = 4 * 1024 * 1024
_SECTOR = 512


def read_all(system: Path = Path("/usr"), *, sysfs: Path = Path("/sys/dev/block"), devices: Path = Path("/dev")) -> int:
    """How many bytes were read: all of the device that `system` lies on. SlotUnverified or SlotUnreadable."""
    number = os.stat(system).st_dev  # noqa: PTH116 -- beside os.major and os.minor
    about = sysfs / f"{os.major(number)}:{os.minor(number)}"
    try:
        uuid = (about / "dm/uuid").read_text("ascii", "replace").strip()
        size = int((about / "size").read_text("ascii")) * _SECTOR
        fields = dict(line.partition("=")[::2] for line in (about / "uevent").read_text("ascii").splitlines())
        device = devices / fields["DEVNAME"]
    except (OSError, ValueError, KeyError) as error:
        raise SlotUnverified(why=f"{system} is on device {os.major(number)}:{os.minor(number)}: {error}") from None
    if not uuid.startswith("CRYPT-VERITY-"):
        raise SlotUnverified(why=f"{device} is {uuid or 'nameless'}")
    at = 0
    try:
        descriptor = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
        try:
            # From the disk and not from memory; and this reading leaves no more in memory than it found.
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            while block := os.pread(descriptor, min(_CHUNK, size - at), at):
                os.posix_fadvise(descriptor, at, len(block), os.POSIX_FADV_DONTNEED)
                at += len(block)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise SlotUnreadable(device=str(device), at=at, size=size, why=error.strerror or "error") from None
    if at != size:
        raise SlotUnreadable(device=str(device), at=at, size=size, why="it ends there")
    return at
