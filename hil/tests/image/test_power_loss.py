"""The card that loses what was not flushed: what may and may not be there after a cut, whatever was written before."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil.virtual_station.loss import NOTHING, POLICIES, SECTOR, Loss, Write, survivors
from hil.virtual_station.medium import Medium, Moment

SIZE = 1 << 20
READ, WRITE, FLUSH, ZEROS = 0, 1, 3, 6
FUA = 1


class Guest:
    """A client of the card that knows nothing of the module under test but the protocol (NBD, fixed newstyle)."""

    def __init__(self, door: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(door))
        assert self._take(18)[:16] == b"NBDMAGICIHAVEOPT"
        self._socket.sendall(struct.pack(">I", 3))
        for option, data in ((8, b""), (7, struct.pack(">IH", 0, 0))):  # structured replies, then GO
            self._socket.sendall(b"IHAVEOPT" + struct.pack(">II", option, len(data)) + data)
        assert self._option() == (8, 1 << 31 | 1, b"")
        _option, kind, about = self._option()
        assert (kind, struct.unpack(">HQ", about[:10])) == (3, (0, SIZE))
        assert self._option() == (7, 1, b"")

    def ask(self, kind: int, offset: int = 0, length: int = 0, data: bytes = b"", flags: int = 0) -> bytes:
        """One request; what was read. ConnectionError when the power went."""
        self._socket.sendall(struct.pack(">IHHQQI", 0x25609513, flags, kind, 7, offset, length or len(data)) + data)
        magic, error, handle = struct.unpack(">IIQ", self._take(16))
        assert (magic, error, handle) == (0x67446698, 0, 7)
        return self._take(length) if kind == READ else b""

    def close(self) -> None:
        self._socket.close()

    def _option(self) -> tuple[int, int, bytes]:
        _magic, option, kind, length = struct.unpack(">QIII", self._take(20))
        return option, kind, self._take(length)

    def _take(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            more = self._socket.recv(length - len(data))
            if not more:
                raise ConnectionError
            data += more
        return data


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk"
    path.write_bytes(bytes(SIZE))
    return path


@pytest.fixture
def medium(disk: Path) -> Medium:
    return Medium(disk, disk.with_name("door"))


@pytest.fixture
def guest(disk: Path, medium: Medium) -> Iterator[Guest]:
    guest = Guest(disk.with_name("door"))
    yield guest
    guest.close()


def test_what_is_written_is_read(guest: Guest, medium: Medium) -> None:
    guest.ask(WRITE, 4096, data=b"x" * 4096)
    guest.ask(ZEROS, 4096, 512)
    assert guest.ask(READ, 4096, 1024) == bytes(512) + b"x" * 512
    guest.close()
    medium.end(NOTHING)


@pytest.mark.parametrize("policy", POLICIES)
def test_what_was_flushed_is_there_after_every_cut(policy: str, guest: Guest, medium: Medium, disk: Path) -> None:
    guest.ask(WRITE, 0, data=b"a" * 8192)
    guest.ask(FLUSH)
    guest.ask(WRITE, 16384, data=b"b" * 4096, flags=FUA)
    guest.ask(WRITE, 32768, data=b"c" * 4096)
    guest.close()
    medium.end(Loss(next(one for one in POLICIES if one == policy), seed=3))
    card = disk.read_bytes()
    assert card[:8192] == b"a" * 8192
    assert card[16384:20480] == b"b" * 4096


def test_everything_means_that_nothing_unflushed_is_left(guest: Guest, medium: Medium, disk: Path) -> None:
    guest.ask(WRITE, 0, data=b"a" * 4096)
    guest.ask(FLUSH)
    guest.ask(WRITE, 0, data=b"b" * 4096)
    guest.ask(ZEROS, 512, 1024)
    assert medium.unflushed() == 2
    guest.close()
    medium.end(Loss("everything"))
    assert disk.read_bytes() == b"a" * 4096 + bytes(SIZE - 4096)


def test_a_cut_falls_at_the_very_write_that_was_named(guest: Guest, medium: Medium, disk: Path) -> None:
    fallen: list[int] = []
    guest.ask(WRITE, 0, data=b"a" * 512)
    medium.cut_at(Moment(2, within=(65536, 4096)), lambda: fallen.append(medium.writes))
    guest.ask(WRITE, 65536, data=b"b" * 512)
    guest.ask(WRITE, 0, data=b"c" * 512)
    assert fallen == []
    with pytest.raises(ConnectionError):
        guest.ask(WRITE, 65536 + 512, data=b"d" * 512)
    assert fallen == [4]
    assert medium.reached.is_set()
    medium.end(NOTHING)
    assert disk.read_bytes()[65536 : 65536 + 1024] == b"b" * 512 + b"d" * 512


def writes() -> st.SearchStrategy[list[Write]]:
    """Writes to a few neighbouring sectors, so that they overlap."""

    def one(start: int, sectors: int, number: int) -> Write:
        length = sectors * SECTOR
        return Write(start * SECTOR, length, None, bytes([number]) * length)

    single = st.builds(one, st.integers(0, 24), st.integers(1, 24), st.integers(1, 255))
    return st.lists(single, max_size=12)


@given(writes(), st.sampled_from(POLICIES), st.integers(0, 2**32))
@settings(max_examples=200)
def test_each_sector_is_old_or_of_one_write_and_no_older_than_what_it_replaces(
    done: list[Write], policy: str, seed: int
) -> None:
    loss = Loss(next(one for one in POLICIES if one == policy), seed)
    card = bytearray(64 * SECTOR)
    for offset, length, content in survivors(done, loss):
        assert offset % SECTOR == length % SECTOR == 0
        card[offset : offset + length] = content or bytes(length)
    for sector in range(64):
        data = bytes(card[sector * SECTOR : (sector + 1) * SECTOR])
        wrote = {one.new[0] for one in done if one.new and _covers(one, sector)}
        assert data[0] in wrote | {0}
        assert data == data[:1] * SECTOR, "a sector is torn"
        if policy == "nothing" and wrote:
            assert data[0] == next(one.new[0] for one in reversed(done) if one.new and _covers(one, sector))
    assert list(survivors(done, loss)) == list(survivors(done, loss))


def _covers(one: Write, sector: int) -> bool:
    return one.offset <= sector * SECTOR < one.offset + one.length
