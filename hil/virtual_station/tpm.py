"""The way in for an emulated station's TPM (swtpm, hil/virtual_station/surroundings.py).

- Debian's arm64 kernel drives no TPM that QEMU's machines can have: it is built without the driver for the memory-
  mapped one (CONFIG_TCG_TIS is not set), and QEMU models none behind SPI, which is what it does drive. What it does
  have is the proxy that containers' TPMs use (tpm_vtpm_proxy). So a program that runs in front of the station's own
  first program connects that to a serial port, and the port leads to swtpm. From /dev/tpm0 upwards all is a station's.
- The module and the program come beside the station's own initrd (`ahead`), from outside: neither is on the card, and
  neither could be loaded from it. For this the kernel, initrd and command line of the UKI are started without U-Boot.
"""

from __future__ import annotations

import lzma
import re
from collections.abc import Mapping
from pathlib import Path

from hil.virtual_station.places import SCRATCH

_PROXY = "kernel/drivers/char/tpm/tpm_vtpm_proxy.ko.xz"
_BRIDGE = r"""
import fcntl, glob, os, struct, time
while not (found := glob.glob("/dev/vport*")):
    time.sleep(0.1)
port = os.open(found[0], os.O_RDWR)
# VTPM_PROXY_IOC_NEW_DEV (include/uapi/linux/vtpm_proxy.h): flags (1: TPM 2), number, fd, major, minor
made = fcntl.ioctl(os.open("/dev/vtpmx", os.O_RDWR), 0xC014A100, struct.pack("=5I", 1, 0, 0, 0, 0))
kernel = struct.unpack("=5I", made)[2]
def exactly(count):
    got = b""
    while len(got) < count:
        got += os.read(port, count - len(got))
    return got
while True:
    command = os.read(kernel, 4096)
    if command[6:10] == bytes.fromhex("20001000"):  # TPM2_CC_SET_LOCALITY: the proxy's own, no TPM knows it
        os.write(kernel, bytes.fromhex("8001" "0000000a" "00000000"))
        continue
    os.write(port, command)
    head = exactly(10)
    os.write(kernel, head + exactly(int.from_bytes(head[2:6], "big") - 10))
"""
_START = r"""
start_bridge() { # ROOT: a mounted root file system with Python in it
    insmod /ahead/tpm_vtpm_proxy.ko
    mount --bind /dev "$1/dev"
    mount -t tmpfs tmpfs "$1/run"
    cat /ahead/bridge.py >"$1/run/bridge.py"
    chroot "$1" /usr/bin/python3 -I /run/bridge.py &
    waited=0
    while [ ! -c /dev/tpmrm0 ] && [ "$waited" -lt 100 ]; do sleep 0.1; waited=$((waited + 1)); done
}
"""
_INIT = r"""#!/bin/sh
PATH=/usr/bin:/usr/sbin
export PATH
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
while read -r module; do insmod "/modules/$module" 2>/dev/null; done </modules/order
mount -t erofs -o ro /dev/vdb /ahead/root
. /ahead/bridge.sh
start_bridge /ahead/root
exec /init
"""


def kernel() -> Path:
    """The image's kernel."""
    (found,) = (SCRATCH / "loose/linux/boot").glob("vmlinuz-*")
    return found


def words() -> str:
    """The command line in the image's UKI."""
    found = re.search(rb"proofline\.root(?:hash)?=[^\0\n]+", (SCRATCH / "out/proofline.efi").read_bytes())
    assert found is not None
    return found[0].decode("ascii")


def ahead(output: Path, extra: Mapping[str, bytes] | None = None) -> None:
    """The station's initrd, and beside it what starts the bridge (rdinit=/ahead/init) and `extra` files by path."""
    (modules,) = (SCRATCH / "loose/linux/usr/lib/modules").iterdir()
    files = {
        "ahead/tpm_vtpm_proxy.ko": lzma.decompress((modules / _PROXY).read_bytes()),
        "ahead/bridge.py": _BRIDGE.encode(),
        "ahead/bridge.sh": _START.encode(),
        "ahead/init": _INIT.encode(),
        **(extra or {}),
    }
    first = (SCRATCH / "initrd.zst").read_bytes()
    output.write_bytes(first + bytes(-len(first) % 4) + _newc(files, ("ahead/root",)))


def _newc(files: Mapping[str, bytes], empty: tuple[str, ...]) -> bytes:
    """A cpio archive ("newc": the kernel's early-userspace/buffer-format.rst), uncompressed."""
    folders = sorted({str(parent) for name in files for parent in Path(name).parents} - {"."} | set(empty))
    entries = [(name, 0o040755, b"") for name in folders] + [(name, 0o100755, data) for name, data in files.items()]
    archive = b""
    for inode, (name, mode, data) in enumerate([*entries, ("TRAILER!!!", 0, b"")], start=900000):
        fields = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        archive += head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)
    return archive
