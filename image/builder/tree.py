"""The tools tree: a Debian 13 of our own, made from the lock, in which everything that shapes the image runs.

- Made once for each state of the lock, and used again until the lock changes.
- What runs inside sees the checkout as /checkout (read-only) and the scratch folder as /scratch, and nothing else.
- Programs of the image's architecture run through QEMU's user-mode emulator; this asks the kernel for it (binfmt_misc)
  when nobody has yet, and says so, because it holds for the whole machine until it restarts.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from image.builder.archive import Package, index, name_suite, select

_BINFMT = Path("/proc/sys/fs/binfmt_misc")
_HERE = Path(__file__).resolve().parent
CHECKOUT = _HERE.parent.parent


class StepFailed(Exception):
    """A program that the build needs ended badly; its last words are in the text."""


def run(command: Sequence[str | os.PathLike[str]], log: Path, *, env: Mapping[str, str] | None = None) -> None:
    """Run a command with its output in a log; on failure the log's end goes into the exception."""
    with log.open("wb") as output:
        surroundings = {**os.environ, **(env or {})}
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=surroundings, check=False
        )
    if done.returncode:
        end = "\n".join(log.read_text("utf-8", "replace").splitlines()[-25:])
        raise StepFailed(f"{os.fspath(command[0])} ended with {done.returncode}; {log} ends with:\n{end}")


class ToolsTree:
    """A tree and the scratch folder that its programs work in."""

    def __init__(self, tree: Path, scratch: Path) -> None:
        self.tree = tree
        self.scratch = scratch
        scratch.mkdir(parents=True, exist_ok=True)

    def make(self, packages: Sequence[Package], archive: Path, say: Callable[[str], None]) -> None:
        """Make the tree unless it is there for these very packages."""
        state = hashlib.sha256(repr(sorted(packages)).encode()).hexdigest()
        mark = self.tree / "etc" / "proofline-tools"
        if mark.exists() and mark.read_text("ascii") == state:
            return
        say(f"making the tools tree: {len(packages)} Debian 13 packages")
        only = self.tree.with_name("tools-archive")
        shutil.rmtree(self.tree, ignore_errors=True)
        select(packages, archive, only)
        index(only)
        name_suite(only)
        slim = [f"--dpkgopt=path-exclude=/usr/share/{what}/*" for what in ("man", "doc", "locale", "info")]
        names = ",".join(sorted(one.name for one in packages))
        command: list[str | os.PathLike[str]] = [
            "mmdebstrap",
            "--quiet",
            "--mode=root",
            "--variant=apt",
            f"--include={names}",
            *slim,
        ]
        source = f"deb [trusted=yes] copy:{only} ./"
        run([*command, "trixie", self.tree, source], self.tree.with_name("tools.log"), env={"SOURCE_DATE_EPOCH": "0"})
        shutil.rmtree(only)
        mark.write_text(state, "ascii")

    def run(self, command: Sequence[str], log: str, *, env: Mapping[str, str] | None = None) -> None:
        """Run a command inside; its output goes to a log in the scratch folder."""
        given = [f"{name}={value}" for name, value in (env or {}).items()]
        inside: list[str | os.PathLike[str]] = [
            _HERE / "in_tree",
            self.tree,
            CHECKOUT,
            self.scratch,
            "env",
            *given,
            *command,
        ]
        run(inside, self.scratch / log)

    def ask(self, command: Sequence[str]) -> str:
        """Run a command inside; what it printed."""
        inside: list[str | os.PathLike[str]] = [_HERE / "in_tree", self.tree, CHECKOUT, self.scratch, *command]
        done = subprocess.run(inside, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode:
            raise StepFailed(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()[-2000:]}")
        return done.stdout


def emulate_arm64(emulator: Path, say: Callable[[str], None]) -> None:
    """Let this machine's kernel run arm64 programs, through `emulator` where nothing else is set up for them."""
    if os.uname().machine == "aarch64":
        return
    if not (_BINFMT / "register").exists():
        subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", _BINFMT], check=True)
    for entry in _BINFMT.iterdir():
        if entry.name in {"register", "status"}:
            continue
        text = entry.read_text("ascii", "replace")
        if "enabled" in text and "7f454c460201010000000000000000000200b700" in text and "flags: " in text:
            return
    say("telling this machine's kernel to run arm64 programs through QEMU (binfmt_misc; until it restarts)")
    magic = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
    mask = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
    # F: the kernel opens the emulator now, so that it is found from within every root
    (_BINFMT / "register").write_text(f":proofline-aarch64:M::{magic}:{mask}:{emulator}:F", "ascii")
