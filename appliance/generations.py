"""A folder of immutable generations, one of which is current.

    gen-1/  gen-2/  current -> gen-2

- A generation is written in full, made durable, and only then becomes `current`, in one step. Whoever reads sees the
  old generation or the new one, now and after a power cut.
- What a crash leaves behind (an unfinished generation, a half-made link) is removed at the next `clean`.
- Older generations stay as long as the owner says: `keep` of them besides the current one, None for all.

The release desk publishes this way, and intake stages this way.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from appliance import durable
from appliance.errors import ProoflineError

Content = bytes | Path | Callable[[], bytes]
"""A file's bytes, a file of an older generation to share, or how to get the bytes when their turn comes."""
_NAME: Final = re.compile(r"gen-([1-9][0-9]{0,8})", re.ASCII)
_UNFINISHED: Final = "new."


class GenerationsBroken(ProoflineError):
    code = "PL-GEN-001"
    operator = "A store of releases is damaged. Call the line engineer."
    engineer = "{path}: {why}"
    action = "Check the storage; publish or import the newest release again."


class Generations:
    """The folder, as its one writer sees it. Modes are given for readers of other users (0755, 0644) or owners only."""

    def __init__(self, folder: Path, *, keep: int | None, public: bool) -> None:
        self.folder = folder
        self._keep = keep
        self._modes = (0o755, 0o644) if public else (0o700, 0o600)

    def current(self) -> int | None:
        """The current generation's number, None before the first."""
        try:
            name = os.readlink(self.folder / "current")  # noqa: PTH115 -- a str, as it was written
        except FileNotFoundError:
            return None
        except OSError as error:
            raise GenerationsBroken(path=str(self.folder), why=str(error)) from None
        found = _NAME.fullmatch(name)
        if found is None:
            raise GenerationsBroken(path=str(self.folder), why=f"current names {name!r}")
        return int(found[1])

    def path(self, generation: int) -> Path:
        return self.folder / f"gen-{generation}"

    def prepare(self, files: Mapping[str, Content]) -> Path:
        """Write `files` as the next generation, durably, unseen.

        The path returned is for checking it; `publish` makes it current.
        """
        unfinished = self.folder / f"{_UNFINISHED}{self._next()}"
        _remove(unfinished)
        folders = {unfinished}
        durable.make_dir(unfinished, self._modes[0])
        os.chmod(unfinished, self._modes[0])  # noqa: PTH101 -- through `os`, as everything durable
        for name, content in sorted(files.items()):
            place = unfinished / name
            for parent in reversed(place.relative_to(unfinished).parents[:-1]):
                if (folder := unfinished / parent) not in folders:
                    durable.make_dir(folder, self._modes[0])
                    os.chmod(folder, self._modes[0])  # noqa: PTH101 -- likewise
                    folders.add(folder)
            if isinstance(content, Path):
                os.link(content, place)
            else:
                self._write(place, content if isinstance(content, bytes) else content())
        for folder in folders:
            durable.fsync_dir(folder)
        return unfinished

    def publish(self, unfinished: Path) -> int:
        """Make what `prepare` wrote the current generation; its number. Durable on return."""
        generation = int(unfinished.name.removeprefix(_UNFINISHED))
        # A generation of this number that never became current is what a crash left: it counts for nothing.
        _remove(self.path(generation))
        os.rename(unfinished, self.path(generation))  # noqa: PTH104 -- likewise
        link = self.folder / "new.current"
        link.unlink(missing_ok=True)
        os.symlink(f"gen-{generation}", link)  # noqa: PTH211 -- likewise
        durable.fsync_dir(self.folder)
        os.replace(link, self.folder / "current")  # noqa: PTH105 -- likewise
        durable.fsync_dir(self.folder)
        self.clean()
        return generation

    def clean(self) -> None:
        """Remove what no reader needs: leftovers of a crash, and generations beyond those that are kept."""
        current = self.current() or 0
        for entry in sorted(self.folder.iterdir()):
            found = _NAME.fullmatch(entry.name)
            number = int(found[1]) if found else 0
            old = self._keep is not None and 0 < number < current - self._keep
            if entry.name.startswith(_UNFINISHED) or number > current or old:
                _remove(entry)

    def _next(self) -> int:
        return (self.current() or 0) + 1

    def _write(self, place: Path, content: bytes) -> None:
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, self._modes[1])
        try:
            os.fchmod(descriptor, self._modes[1])
            view = memoryview(content)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _remove(entry: Path) -> None:
    if entry.is_symlink() or entry.is_file():
        entry.unlink()
    elif entry.exists():
        shutil.rmtree(entry)
