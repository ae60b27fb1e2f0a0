"""The Pi's U-Boot listens to nobody: the environment that it reads from the boot FAT (`uboot.env`), made at build.

- U-Boot's own environment waits two seconds for a key press on the serial line or a USB keyboard, and gives whoever
  presses one a prompt, from which anything on the card can be read, written and started. With this one it waits for
  nothing (bootdelay -2), has no input (stdin is nulldev; USB is not even started) and looks at the card alone, not at
  USB sticks or the network. If nothing starts it resets instead of asking what to do.
- Everything else is U-Boot's own, taken from the binaries themselves, so that a new U-Boot brings its own addresses.
- Where this file is missing or damaged U-Boot falls back to its built-in environment and its prompt: it keeps out
  whoever has the connectors, not whoever has the card.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Sequence

SIZE = 0x4000
"""CONFIG_ENV_SIZE of Debian's rpi builds."""
_LINE = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*=[\x20-\x7e\t]*")
_LEFT_OUT = frozenset({"preboot", "dfu_alt_info", "dhcpuboot", "usb_ignorelist"})
_OURS = {"bootdelay": "-2", "stdin": "nulldev", "boot_targets": "mmc", "bootcmd": "bootflow scan; reset"}


def built_in(binary: bytes) -> dict[str, str]:
    """The environment that is compiled into a U-Boot."""
    start = binary.index(b"\0bootcmd=") + 1
    while _LINE.fullmatch(before := binary[binary.rfind(b"\0", 0, start - 1) + 1 : start - 1]):
        start -= len(before) + 1
    lines = binary[start : binary.index(b"\0\0", start)].split(b"\0")
    return dict(line.decode("ascii").split("=", 1) for line in lines)


def environment(binaries: Sequence[bytes]) -> bytes:
    """One environment file for these U-Boots, which have to agree on all that is kept of theirs."""
    kept = [{name: value for name, value in built_in(one).items() if name not in _LEFT_OUT} for one in binaries]
    if any(one != kept[0] for one in kept):
        raise ValueError("the U-Boots of the boards differ in more than what is left out")
    text = b"".join(f"{name}={value}".encode("ascii") + b"\0" for name, value in sorted((kept[0] | _OURS).items()))
    data = text.ljust(SIZE - 4, b"\0")
    return struct.pack("<I", zlib.crc32(data)) + data
