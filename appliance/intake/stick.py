"""A stick at the intake port: its blocks, read by us and never mounted, and what is done when one is plugged in.

- `Stick` is a medium: the first FAT volume of the stick, and on it the folder `proofline`, or, where there is none, the
  three folders of a repository at the top. What else is at the top is not looked at.
- `watch` imports a stick once each time it is plugged in. Plugs are told apart by the kernel's disk sequence number,
  which never repeats within a boot, so neither a restart of udev nor a slow look brings a second import. A restart of
  intake does, which changes nothing: the same carrier again is `unchanged`.
- There is no netlink in intake's sandbox, so it looks at udev's link once a second; that link is made after the rules
  handed the device to intake's group.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

from appliance.errors import ProoflineError
from appliance.intake.errors import CarrierFilesTooMany
from appliance.intake.fat import Volume
from appliance.intake.media import Entry, Medium, Read
from appliance.intake.on_record import OnRecord
from appliance.intake.partitions import find_volume
from appliance.intake.stick_errors import NothingOnStick, StickFailed, StickPulled

log = logging.getLogger("proofline.intake")

DEVICE: Final = Path("/dev/proofline/stick")
FOLDER: Final = "proofline"
_TOP: Final = ("approvals", "metadata", "targets")
_GONE = frozenset({errno.ENODEV, errno.ENXIO, errno.ENOENT, errno.ENOMEDIUM})
_LOOK_EVERY_S = 1.0
_PATIENCE = 5


class Stick:
    """The carrier on an opened stick (or a file that holds one's blocks)."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        extent = find_volume(self._read, os.lseek(descriptor, 0, os.SEEK_END))
        start = extent.start
        self._volume = Volume(lambda offset, length: self._read(start + offset, length), extent.length)
        top = self._volume.folder("")
        folder = next((name for name, node in top.items() if name.lower() == FOLDER and node.is_folder), None)
        if folder is None and not any(name in top for name in _TOP):
            raise NothingOnStick
        self._base = folder

    def entries(self, path: str, limit: int) -> list[Entry]:
        found = self._volume.folder(self._path(path))
        if self._base is None and not path:
            found = {name: node for name, node in found.items() if name in _TOP}
        if len(found) > limit:
            raise CarrierFilesTooMany(limit=limit)
        return [Entry(name, node.is_folder) for name, node in sorted(found.items())]

    @contextmanager
    def reading(self, path: str) -> Iterator[Read]:
        inner = self._path(path)
        source = self._volume.content(self._volume.file(inner), inner)
        rest = b""

        def read(size: int) -> bytes:
            nonlocal rest
            rest = rest or next(source, b"")
            piece, rest = rest[:size], rest[size:]
            return piece

        yield read

    def _path(self, path: str) -> str:
        return "/".join(part for part in (self._base, path) if part)

    def _read(self, offset: int, length: int) -> bytes:
        found = b""
        try:
            while len(found) < length:
                piece = os.pread(self._descriptor, length - len(found), offset + len(found))
                if not piece:
                    raise StickFailed(offset=offset, length=length, why="the stick ends before")
                found += piece
        except OSError as error:
            raise _failure(error, offset, length) from None
        return found


class Taker(Protocol):
    """Whoever imports: `appliance.intake.service.Intake`."""

    def take(
        self, source: str, medium: Callable[[], Medium], *, on_record: OnRecord | None = None
    ) -> dict[str, Any]: ...


def watch(
    taker: Taker,
    stopping: threading.Event,
    device: Path = DEVICE,
    *,
    besides: Callable[[Taker], None] = lambda _: None,
) -> None:
    """Import every stick that is plugged in, once, until told to stop. `besides` is called at each look."""
    done: str | None = None
    tries = 0
    while not stopping.wait(_LOOK_EVERY_S):
        besides(taker)
        plug = plugged(device)
        if plug is None or plug == done:
            continue
        tries += 1
        if not os.access(device, os.R_OK) and tries < _PATIENCE:
            continue  # the link may be there a moment before the device is ours
        done, tries = plug, 0
        log.info("a stick is plugged in: reading it")
        with ExitStack() as opened:
            try:
                taker.take("stick", lambda: Stick(opened.enter_context(_opened(device))))
            except ProoflineError as told:  # `take` has told and journalled it
                log.debug("%s", told)


def plugged(device: Path) -> str | None:
    """What tells this plug from all others of this boot; None while there is no stick, or no medium in it."""
    try:
        about = device.stat()
        if not stat.S_ISBLK(about.st_mode):
            return None
        place = Path(f"/sys/dev/block/{os.major(about.st_rdev)}:{os.minor(about.st_rdev)}")
        sequence, blocks = ((place / name).read_text("ascii").strip() for name in ("diskseq", "size"))
    except OSError:
        return None
    return sequence if blocks != "0" else None


@contextmanager
def _opened(device: Path) -> Iterator[int]:
    try:
        descriptor = os.open(device, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _failure(error, 0, 0) from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _failure(error: OSError, offset: int, length: int) -> StickFailed | StickPulled:
    why = errno.errorcode.get(error.errno or 0, "unknown error")
    return StickPulled(why=why) if error.errno in _GONE else StickFailed(offset=offset, length=length, why=why)
