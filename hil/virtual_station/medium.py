"""A card that behaves like one when its power goes: a disk image behind QEMU, served over NBD from this process.

    medium = Medium(disk, folder / "card")            # QEMU: file=nbd+unix:///?socket=...
    medium.cut_at(Moment(writes=40, within=(start, size)), kill)
    ...                                               # QEMU is dead
    medium.end(Loss.drawn(seed))

- What the guest writes is in the disk image at once, and can be looked at. What it has not flushed is remembered with
  what was there before, so that a cut can take it back (hil.virtual_station.loss).
- A cache holds 64 MiB, as a generous card's: what is older than that is kept, flushed or not.
- A moment is counted in writes, so a cut falls between two sectors and not between two looks of a test. The write at
  which it falls is not answered any more.
- Only what QEMU's NBD client asks is served: read, write, zeros, flush, FUA; no trim, no structured replies.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hil.virtual_station.loss import Loss, Write, survivors
from hil.virtual_station.places import short

_CACHE = 64 << 20
_CHUNK = 1 << 20
_OPTION, _OPTION_REPLY = 0x49484156454F5054, 0x3E889045565A9
_ABORT, _INFO, _GO = 2, 6, 7
_ACK, _REP_INFO, _UNSUPPORTED = 1, 3, 1 << 31 | 1
_REQUEST, _REPLY = struct.Struct(">IHHQQI"), struct.Struct(">IIQ")
_READ, _WRITE, _DISCONNECT, _FLUSH, _ZEROS = 0, 1, 2, 3, 6
_FUA = 1
_CAN = 1 | 4 | 8 | 64  # has flags; flush, FUA, zeros
_EINVAL = 22


@dataclass(frozen=True, slots=True)
class Moment:
    """The n-th write from now on, of those that touch `within` (offset, bytes) where it is given; n counts from 1."""

    writes: int
    within: tuple[int, int] | None = None


class Medium:
    """A disk image as a card; `end` it after QEMU has ended."""

    def __init__(self, disk: Path, door: Path) -> None:
        self.writes = 0
        self.flushes = 0
        self.changed = threading.Condition()
        self.reached = threading.Event()
        self.still = threading.Lock()
        """Hold it, and the card neither changes nor answers."""
        self._file = os.open(disk, os.O_RDWR | os.O_CLOEXEC)
        self._size = os.fstat(self._file).st_size
        self._pending: deque[Write] = deque()
        self._volatile = 0
        self._moment: tuple[Moment, Callable[[], None]] | None = None
        self._left = 0
        door.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        with short(door) as path:
            self._listener.bind(path)
        self._listener.listen(1)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def cut_at(self, moment: Moment, cut: Callable[[], None]) -> None:
        """Call `cut` from the card's own thread at that moment; it has to kill QEMU."""
        self._left = moment.writes
        self._moment = moment, cut

    def wait_change(self, since: int, timeout_s: float) -> int:
        """Wait until there were more than `since` flushes; how many there were."""
        with self.changed:
            self.changed.wait_for(lambda: self.flushes > since, timeout_s)
            return self.flushes

    def unflushed(self) -> int:
        """How many writes a cut could take back now."""
        return len(self._pending)

    def end(self, loss: Loss) -> None:
        """QEMU has ended, by a cut (`loss`: what it costs) or by itself."""
        self._hang_up()
        for one in reversed(self._pending):
            self._put(one.offset, one.length, one.old)
        for offset, length, content in survivors(self._pending, loss):
            self._put(offset, length, content)
        self._pending.clear()
        os.close(self._file)

    def _hang_up(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes a thread that still waits for QEMU
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        try:
            caller, _address = self._listener.accept()
        except OSError:
            return  # closed: QEMU never came
        with caller, caller.makefile("rb") as asked:
            try:
                self._agree(caller, asked.read)
                while self._one(caller, asked.read):
                    pass
            except (OSError, EOFError):
                pass  # QEMU is gone, which is how its power is cut

    def _agree(self, caller: socket.socket, read: Callable[[int], bytes]) -> None:
        caller.sendall(b"NBDMAGICIHAVEOPT" + struct.pack(">H", 3))
        _exactly(read, 4)
        while True:
            _magic, option, length = struct.unpack(">QII", _exactly(read, 16))
            _exactly(read, length)

            def reply(kind: int, data: bytes = b"", option: int = option) -> None:
                caller.sendall(struct.pack(">QIII", _OPTION_REPLY, option, kind, len(data)) + data)

            if option in {_GO, _INFO}:
                reply(_REP_INFO, struct.pack(">HQH", 0, self._size, _CAN))
                reply(_ACK)
                if option == _GO:
                    return
            elif option == _ABORT:
                raise EOFError
            else:
                reply(_UNSUPPORTED)

    def _one(self, caller: socket.socket, read: Callable[[int], bytes]) -> bool:
        _magic, flags, kind, handle, offset, length = _REQUEST.unpack(_exactly(read, _REQUEST.size))
        new = _exactly(read, length) if kind == _WRITE else None
        error, data = 0, b""
        with self.still:
            if kind == _READ:
                data = os.pread(self._file, length, offset)
            elif kind in {_WRITE, _ZEROS}:
                self._write(offset, length, new)
                if self._is_moment(offset, length):
                    return False
                if flags & _FUA:
                    self._keep()
            elif kind == _FLUSH:
                self._keep()
            elif kind == _DISCONNECT:
                return False
            else:
                error = _EINVAL
        caller.sendall(_REPLY.pack(0x67446698, error, handle) + data)
        return True

    def _write(self, offset: int, length: int, new: bytes | None) -> None:
        self.writes += 1
        for start in range(0, length, _CHUNK):
            count = min(_CHUNK, length - start)
            one = Write(
                offset + start,
                count,
                self._there(offset + start, count),
                None if new is None else new[start : start + count],
            )
            self._put(one.offset, one.length, one.new)
            self._pending.append(one)
            self._volatile += _weight(one)
        while self._volatile > _CACHE:
            self._volatile -= _weight(self._pending.popleft())

    def _there(self, offset: int, length: int) -> bytes | None:
        try:
            if os.lseek(self._file, offset, os.SEEK_DATA) >= offset + length:
                return None
        except OSError:
            return None  # no data from here on
        return os.pread(self._file, length, offset)

    def _put(self, offset: int, length: int, content: bytes | None) -> None:
        if content is None:
            # what was never written stays a hole, so that an empty card takes no room
            content = bytes(length) if self._there(offset, length) is not None else b""
        done = 0
        while done < len(content):
            done += os.pwrite(self._file, content[done:], offset + done)

    def _keep(self) -> None:
        self._pending.clear()
        self._volatile = 0
        with self.changed:
            self.flushes += 1
            self.changed.notify_all()

    def _is_moment(self, offset: int, length: int) -> bool:
        if self._moment is None:
            return False
        moment, cut = self._moment
        if moment.within is not None:
            start, size = moment.within
            if offset + length <= start or offset >= start + size:
                return False
        self._left -= 1
        if self._left > 0:
            return False
        self._moment = None
        cut()
        self.reached.set()
        return True


def _weight(one: Write) -> int:
    return len(one.old or b"") + len(one.new or b"")


def _exactly(read: Callable[[int], bytes], length: int) -> bytes:
    data = read(length)
    if len(data) < length:
        raise EOFError
    return data
