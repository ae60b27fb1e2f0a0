"""The published log: what everybody may read, made from the segments and made again whenever it is not right.

- A reader never sees a checkpoint whose tiles are missing: bundles and tiles come first, then the checkpoint, then
  the proofs that name it. Every file appears whole, by rename, and full tiles never change.
- Partial tiles of the current and of the previous checkpoint are there (a reader may be between the two); older ones
  are removed.
- Nothing here is synced, because nothing here is the truth: publishing costs no disk latency. `settle` makes durable
  what was published so far, now and then; after a crash everything since is compared and mended, and everything
  before it is checked for presence and size.
"""

# ruff: noqa: PTH101, PTH102, PTH104, PTH106, PTH108, PTH118, PTH208
# File effects go through `os` by name, so that the crash harness sees every one (see appliance.durable).

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from appliance import durable
from appliance.evidence import tiles

_UNFINISHED = ".unfinished"
_FILE_MODE, _DIRECTORY_MODE = 0o644, 0o755  # evidence is for everybody to read


class Source(Protocol):
    """Where the published bytes come from."""

    def bundle(self, index: int, width: int) -> bytes: ...
    def tile(self, level: int, index: int, width: int) -> bytes: ...


class Published:
    """The directory `PROOFLINE_LOG`; `mark` is a file in the recorder's own state. One thread at a time."""

    def __init__(self, directory: Path, mark: Path) -> None:
        self._directory = directory
        self._mark = mark
        self._made: set[str] = set()
        self._partials: list[set[str]] = [set(), set()]
        self._number = 0

    @property
    def settled(self) -> int:
        """How many entries' files are known to be durable."""
        try:
            return int(self._mark.read_text("ascii"))
        except (OSError, ValueError):
            return 0  # no promise: everything is compared

    def settle(self, size: int) -> None:
        """Make what was published for the first `size` entries durable, and remember that it is."""
        os.sync()
        durable.write_atomic(self._mark, str(size).encode())

    def publish(
        self, old: int, new: int, note: bytes, source: Source, units: Iterable[tuple[str, bytes, bytes]]
    ) -> None:
        """Bring the log from `old` to `new` entries under a checkpoint. `units`: (press, envelope, proof). OSError."""
        for tile in tiles.new_tiles(old, new):
            self._place(tile.path, _content(tile, source))
        self._place("checkpoint", note)
        for press, envelope, proof in units:
            self.place_unit(press, envelope, proof)
        now = {tile.path for tile in tiles.tiles_of(new) if tile.width < tiles.WIDTH}
        before, current = self._partials
        self._partials = [current, now]
        for path in before - current - now:
            self._remove_partial(path)

    def place_unit(self, press: str, envelope: bytes, proof: bytes) -> None:
        """A unit's own two files; the proof last, so that who finds it finds both."""
        self._place(f"proofs/{press}.manifest.json", envelope)
        self._place(f"proofs/{press}.tlog-proof", proof)

    def mend(self, size: int, note: bytes | None, source: Source) -> None:
        """Make tiles and checkpoint what they should be at `size`, whatever a crash left. OSError."""
        for name in (_UNFINISHED, "proofs", "tile"):
            self._make_directory(name)
        for leftover in (self._directory / _UNFINISHED).iterdir():
            os.unlink(leftover)
        settled = self.settled
        expected = {tile.path: tile for tile in tiles.tiles_of(size)}
        for path, tile in expected.items():
            if not self._is_right(path, tile, settled, source):
                self._place(path, _content(tile, source))
        if note is not None and self._read("checkpoint") != note:
            self._place("checkpoint", note)
        self._partials = [set(), {path for path, tile in expected.items() if tile.width < tiles.WIDTH}]
        for path in list(self._files("tile")):
            if path not in expected:
                os.unlink(self._directory / path)
                if ".p/" in path:
                    self._remove_partial(path)

    def missing_units(self, presses: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
        """Those of (index, press) whose files are to be made again: not settled, or not there."""
        settled = self.settled
        there = set(os.listdir(self._directory / "proofs"))
        for index, press in presses:
            if index >= settled or not {f"{press}.manifest.json", f"{press}.tlog-proof"} <= there:
                yield index, press

    def free_bytes(self) -> int:
        facts = os.statvfs(self._directory)
        return facts.f_bavail * facts.f_frsize

    def _is_right(self, path: str, tile: tiles.Tile, settled: int, source: Source) -> bool:
        last = (tile.index * tiles.WIDTH + tile.width) << (8 * max(tile.level, 0))
        try:
            if last <= settled and tile.level >= 0:
                return (self._directory / path).stat().st_size == tile.width * 32
            if last <= settled:
                return (self._directory / path).stat().st_size > 0
        except FileNotFoundError:
            return False
        return self._read(path) == _content(tile, source)

    def _read(self, path: str) -> bytes | None:
        try:
            return (self._directory / path).read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None

    def _place(self, path: str, content: bytes) -> None:
        self._make_directory(path.rpartition("/")[0])
        self._number += 1
        unfinished = f"{self._directory}/{_UNFINISHED}/{self._number}"
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _FILE_MODE)
        try:
            os.fchmod(descriptor, _FILE_MODE)  # whatever the umask
            view = memoryview(content)
            while view:
                view = view[os.write(descriptor, view) :]
        finally:
            os.close(descriptor)
        os.rename(unfinished, f"{self._directory}/{path}")

    def _make_directory(self, path: str) -> None:
        if not path or path in self._made:
            return
        self._make_directory(path.rpartition("/")[0])
        place = f"{self._directory}/{path}"
        try:
            os.mkdir(place, _DIRECTORY_MODE)
            os.chmod(place, _DIRECTORY_MODE)
        except FileExistsError:
            pass
        self._made.add(path)

    def _remove_partial(self, path: str) -> None:
        folder = path.rpartition("/")[0]
        try:
            os.unlink(f"{self._directory}/{path}")
        except FileNotFoundError:
            pass  # an earlier attempt was cut short
        try:
            os.rmdir(f"{self._directory}/{folder}")
            self._made.discard(folder)
        except OSError:
            pass  # the partial that replaced it stands beside it

    def _files(self, folder: str) -> Iterator[str]:
        for place, _, names in os.walk(self._directory / folder):
            for name in names:
                yield os.path.relpath(os.path.join(place, name), self._directory)


def _content(tile: tiles.Tile, source: Source) -> bytes:
    if tile.level == tiles.ENTRIES:
        return source.bundle(tile.index, tile.width)
    return source.tile(tile.level, tile.index, tile.width)
