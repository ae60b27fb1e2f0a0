"""The image in QEMU: start it, look at it, press its button, cut its power, and read its disk afterwards.

    with VirtualStation("mine") as station:
        station.power_on()
        station.wait_console("proofline: ")
        station.press()
        station.power_cut(Loss.drawn(seed))

- The disk is a copy of the very file that is written to a card, on a card of 4 GiB. Nothing is added, and nothing
  in the guest knows of this program: it is looked at through its console, its pins and its disk.
- A boot ends when the guest restarts, powers off, or loses its power; the next begins with `power_on`. Each has its
  own console file. What is plugged in, the time servers and the TPM stay over boots.
- Everything runs in the tools tree that `make image` made, with its QEMU and its U-Boot, in a network of its own.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from appliance.update import slotstate
from hil.virtual_station import machine
from hil.virtual_station.card import Card, lines
from hil.virtual_station.errors import NotSeen
from hil.virtual_station.loss import NOTHING, Loss
from hil.virtual_station.machine import Board, Direct, Setting
from hil.virtual_station.medium import Medium, Moment
from hil.virtual_station.places import SCRATCH, STATIONS, inside
from hil.virtual_station.ports import Ports
from hil.virtual_station.qemu import Pins, QemuGone, Qmp
from hil.virtual_station.sticks import Stick
from hil.virtual_station.surroundings import Network, Tpm, kill
from hil.virtual_station.tpm import ahead, kernel, words
from image.builder.tree import StepFailed

BUTTON = 0
LAMPS = {"red": 1, "blue": 2, "green": 4, "buzzer": 5}
"""Lines of the emulated machine's controller: systemd/share/panel.json, board linux,dummy-virt."""
CARD_BYTES = 4 << 30
PI_CARD_BYTES = 2 << 30
"""A Pi's: QEMU erases, block by block, what a new file system leaves empty; the rest of 4 GiB would take it minutes."""
_ESCAPES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[78c])|\r")
_KERNEL = "Booting /proofline.efi"
"""U-Boot's last words."""
_READY = r"proofline: (station ready|not ready: .*)$"


@dataclass(frozen=True)
class Frozen:
    """A running station that was stopped between two instructions: its card and its machine's state. The state's file
    bears the time that the station's clock showed."""

    card: Path
    memory: Path

    @classmethod
    def kept_in(cls, folder: Path) -> Frozen:
        """The station that `freeze(folder)` keeps, or kept."""
        return cls(folder / "card.raw", folder / "memory.qemu")


class VirtualStation:
    """One emulated station. Its folder is made anew below the scratch folder, which the tools tree sees as /scratch.

    like: the card of a station that is off, to begin with instead of a new one. frozen: a running station to go on
    from at the first power_on. tpm: a folder with a TPM's state.
    """

    used: ClassVar[list[VirtualStation]] = []
    """Those that were made since somebody cleared this: for whoever has to tell what happened."""

    def __init__(
        self,
        name: str,
        *,
        board: Board = "virt",
        like: Path | None = None,
        frozen: Frozen | None = None,
        tpm: str | Path | None = None,
    ) -> None:
        self.name = name
        self.folder = STATIONS / name
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.disk = self.folder / machine.DISK
        self._frozen = frozen
        source = frozen.card if frozen is not None else like
        copy_card(source or SCRATCH / "out" / "disk.raw", self.disk, CARD_BYTES if board == "virt" else PI_CARD_BYTES)
        self.card = Card(self.disk, self._still)
        self.network = Network(self.folder)
        self.boots = 0
        self.powered_at = 0.0
        self.lag_ms = 0
        """How far its clock is behind the outside's, because it went on from a frozen one: until its next boot."""
        self.tpm = None if tpm is None else self.folder / tpm
        self._board = board
        self._process: subprocess.Popen[bytes] | None = None
        self._medium: Medium | None = None
        self._swtpm: Tpm | None = None
        self._ports = Ports()
        self.qmp: Qmp | None = None
        self.pins: Pins | None = None
        self.used.append(self)

    def power_on(
        self, *, rtc: str = "utc", network: bool = True, typed: bytes = b"", extra: Sequence[str] = ()
    ) -> None:
        """Plug the station in. `rtc`: what its clock says, as QEMU's -rtc base= takes it ("1970-01-01"); `typed`: what
        somebody types at its serial console, from the first moment on."""
        assert self._process is None, "it is on already"
        self.boots += 1
        for name in machine.DOORS:
            (self.folder / name).unlink(missing_ok=True)
        tree = inside(SCRATCH / "trees/bcm2837-rpi-3-b.dtb") if self._board == "raspi3b" else ""
        keys = self.folder / "typed"
        keys.write_bytes(typed)
        setting = Setting(
            self._board,
            inside(self.folder),
            self.boots,
            rtc,
            network,
            self._direct(),
            tree,
            None if self._frozen is None else inside(self._frozen.memory),
            inside(keys) if typed else None,
            tuple(extra),
        )
        if self._board == "virt":
            self._medium = Medium(self.disk, self.folder / machine.CARD_DOOR)
        try:
            if self.tpm is not None:
                self._swtpm = Tpm(self.network, self.tpm)
            self._process = self.network.start_in_tree("qemu", machine.command(setting))
            self.qmp = Qmp(self.folder / "qmp")
            if self._board == "virt":
                self.pins = Pins(self.folder / "qtest", self.qmp)
                self.pins.drive(BUTTON, high=False)
            frozen, self._frozen = self._frozen, None
            if frozen is not None:
                self._wait_status("inmigrate", other=True)
            self._ports.attach(self.qmp)
            self.powered_at = time.monotonic()
            if self._board == "raspi3b":
                self._hold_back(self.qmp)
            self.qmp.ask("cont")
            self.lag_ms = 0 if frozen is None else int((time.time() - frozen.memory.stat().st_mtime) * 1000)
        except QemuGone as error:
            self._end(NOTHING)
            raise QemuGone((self.folder / "qemu.txt").read_text("utf-8", "replace")[-2000:]) from error

    def _hold_back(self, qmp: Qmp) -> None:
        """A Pi's second to fourth processors go round a loop until the kernel calls them. While U-Boot works with the
        first one, theirs is the time that nobody else here wants."""
        others = [one["thread-id"] for one in qmp.ask("query-cpus-fast") if one["cpu-index"] > 0]
        for thread in others:
            os.sched_setscheduler(thread, os.SCHED_IDLE, os.sched_param(0))

        def let_go(process: subprocess.Popen[bytes], boot: int) -> None:
            while _KERNEL not in self.console(boot):
                if process.poll() is not None:
                    return  # and their numbers may be somebody else's
                time.sleep(0.5)
            with suppress(ProcessLookupError):
                for thread in others:
                    os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))

        threading.Thread(target=let_go, args=(self._process, self.boots), daemon=True).start()

    def _direct(self) -> Direct | None:
        if self.tpm is None:
            return None
        ahead(self.folder / "ahead.initrd")
        told = f"{words()} console=ttyAMA0 rdinit=/ahead/init"
        return Direct(inside(kernel()), inside(self.folder / "ahead.initrd"), told)

    def freeze(self, folder: Path) -> Frozen:
        """Keep this running station as it is, for others to go on from, and end it. Nothing may be plugged in."""
        assert self.qmp is not None
        assert not self._ports, "what is plugged in is no part of a frozen station"
        folder.mkdir(parents=True, exist_ok=True)
        kept = Frozen.kept_in(folder)
        self.qmp.ask("stop")
        shown = time.time() - self.lag_ms / 1000
        self.qmp.ask("migrate", uri=f"file:{inside(kept.memory)}")
        self._wait_status("postmigrate")
        self._end(NOTHING)
        os.utime(kept.memory, (shown, shown))
        copy_card(self.disk, kept.card)
        return kept

    def _wait_status(self, status: str, *, other: bool = False) -> None:
        assert self.qmp is not None
        deadline = time.monotonic() + 120
        while (self.qmp.ask("query-status")["status"] == status) is other:
            if time.monotonic() > deadline:
                raise QemuGone(f"still {'' if other else 'not '}{status}: {self.qmp.ask('query-migrate')}")
            time.sleep(0.1)

    def power_cut(self, loss: Loss = NOTHING) -> None:
        """Pull the plug. `loss`: what becomes of what the guest had written and not flushed."""
        self._end(loss)

    def power_cut_at(self, moment: Moment, loss: Loss, *, timeout_s: float) -> bool:
        """Cut the power at a write to the card, which may itself be torn, or when the time is over. False when the
        write did not come; a guest that ended by itself before lost nothing."""
        assert self._process is not None
        process = self._process
        self.medium.cut_at(moment, lambda: kill(process))
        deadline = time.monotonic() + timeout_s
        while not self.medium.reached.wait(0.2) and self.running and time.monotonic() < deadline:
            pass
        reached = self.medium.reached.is_set()
        self._end(loss if reached or self.running else NOTHING)
        return reached

    def power_cut_after(self, seconds: float, loss: Loss) -> bool:
        """Cut the power so many seconds after it came; False when the guest ended before that."""
        while self.running and time.monotonic() < self.powered_at + seconds:
            time.sleep(0.02)
        lived = self.running
        self._end(loss if lived else NOTHING)
        return lived

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def medium(self) -> Medium:
        """The card that loses what is not flushed. The Pi has none: it reads sector by sector, too slow for this."""
        assert self._medium is not None, "it is off, or a Pi"
        return self._medium

    def _wait_card(self, flushes: int, seconds: float) -> int:
        if self._medium is not None:
            return self._medium.wait_change(flushes, seconds)
        time.sleep(seconds)
        return flushes

    def wait_off(self, timeout_s: float) -> None:
        """Wait until the guest restarts or powers off by itself."""
        assert self._process is not None
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise NotSeen(f"it still runs; the console ends with:\n{self.tail()}") from None
        self._end(NOTHING)

    def next_boot(self, *, timeout_s: float = 900.0, rtc: str = "utc", network: bool = True) -> None:
        """Wait until the guest restarts by itself, and let it: the same power, the next boot."""
        self.wait_off(timeout_s)
        self.power_on(rtc=rtc, network=network)

    def wait_ready(self, *, timeout_s: float = 600.0) -> str:
        """Wait until it says whether it is ready; what it says."""
        return self.wait_console(_READY, timeout_s=timeout_s)[0]

    def wait_kept(self, slot: str, *, timeout_s: float = 600.0) -> None:
        """Wait until this boot's slot was found good: from when the boot script counted it, until it is written."""
        self.wait_console(rf"proofline: slot {slot}; attempts left", timeout_s=timeout_s)
        deadline, flushes = time.monotonic() + timeout_s, 0
        while True:
            state = self.card.slot_state()
            if (
                state is not None
                and state.good[slot]
                and state.last == slot
                and state.left[slot] == slotstate.ATTEMPTS_GOOD
            ):
                return
            if not self.running or time.monotonic() > deadline:
                raise NotSeen(f"slot {slot} was not kept ({state}); the console ends with:\n{self.tail()}")
            flushes = self._wait_card(flushes, 1.0)

    def console(self, boot: int | None = None) -> str:
        """What this boot (or the n-th) has said on its console so far, without escape sequences."""
        path = self.folder / machine.console_name(boot or self.boots)
        text = path.read_bytes().decode("utf-8", "replace") if path.exists() else ""
        return _ESCAPES.sub("", text)

    def tail(self) -> str:
        """The console's last lines, and what QEMU said of the machine (a watchdog that fired, a reset)."""
        events = [] if self.qmp is None else [str(event["event"]) for _at, event in self.qmp.events]
        story = f"{self.name}, boot {self.boots}, QEMU: {', '.join(events) or 'nothing'}"
        return "\n".join([*self.console().splitlines()[-15:], story])

    def told(self) -> str:
        """What it left for whoever looks for a reason: the console's end, and its journal from notice on."""
        try:
            journal = self.card.journal()
        except (StepFailed, KeyError) as error:
            return f"{self.tail()}\nno journal: {error}"
        noted = [one for one in journal if str(one.get("PRIORITY", "6")) <= "5" or "proofline" in str(one)]
        return f"{self.tail()}\n{lines(noted[-80:])}\nall of it is in {self.folder}"

    def wait_console(self, pattern: str, *, timeout_s: float = 300.0) -> re.Match[str]:
        """Wait until a line of the console matches; NotSeen when the guest ends before, or time is up."""
        deadline = time.monotonic() + timeout_s
        while True:
            alive = self.running
            found = re.search(pattern, self.console(), re.MULTILINE)
            if found:
                return found
            if not alive or time.monotonic() > deadline:
                why = "the guest ended" if not alive else f"{timeout_s:.0f} s are over"
                raise NotSeen(f"no {pattern!r}: {why}. The console ends with:\n{self.tail()}")
            time.sleep(0.2)

    def wait_journal(self, text: str, *, timeout_s: float) -> None:
        """Wait until the journal on the card says something: the guest writes it down within some 30 s."""
        deadline, flushes = time.monotonic() + timeout_s, 0
        while not any(text in str(one.get("MESSAGE")) for one in self.card.journal()):
            if not self.running or time.monotonic() > deadline:
                raise NotSeen(f"the journal does not say {text!r}; the console ends with:\n{self.tail()}")
            flushes = self._wait_card(flushes, 5.0)
            time.sleep(1.0)

    def plug(self, stick: Stick | None, *, port: str = "1") -> None:
        """Put a stick, or (None) a keyboard, into a USB port, now or before the power comes; it stays over boots."""
        self._ports.plug(stick, port, self.qmp if self.running else None)

    def unplug(self, port: str = "1") -> None:
        """Pull what is in a USB port."""
        self._ports.unplug(port, self.qmp if self.running else None)

    def burning(self) -> dict[str, bool]:
        """Which lamps burn now."""
        assert self.pins is not None
        return {name: self.pins.levels.get(line, False) for name, line in LAMPS.items()}

    def press(self, *, hold_s: float = 0.5) -> None:
        """Press the button and let go."""
        assert self.pins is not None
        self.pins.drive(BUTTON, high=True)
        time.sleep(hold_s)
        self.pins.drive(BUTTON, high=False)

    def watch_lamps(self, seconds: float) -> dict[str, list[tuple[float, bool]]]:
        """Look at the lamps for a while: for each, when it changed (seconds from now on) and to what."""
        assert self.pins is not None
        start, first = time.monotonic(), len(self.pins.moves)
        time.sleep(seconds)
        names = {line: name for name, line in LAMPS.items()}
        seen: dict[str, list[tuple[float, bool]]] = {name: [] for name in LAMPS}
        for at, line, high in self.pins.moves[first:]:
            if line in names:
                seen[names[line]].append((at - start, high))
        return seen

    def discard(self) -> None:
        """Throw the card of a station that is off away; consoles stay."""
        assert not self.running
        self.disk.unlink(missing_ok=True)

    def _still(self) -> AbstractContextManager[object]:
        """What holds the card still. Where QEMU has it for itself (a Pi's), the machine has to stop for that."""
        if self._medium is not None:
            return self._medium.still
        return nullcontext() if self.qmp is None else self.qmp.stopped()

    def _end(self, loss: Loss) -> None:
        """QEMU goes, and with it everything that belongs to one boot."""
        if self._process is not None:
            kill(self._process)
        self._process = None
        for door in (self.pins, self.qmp, self._swtpm):
            if door is not None:
                door.close()
        self.pins = self.qmp = self._swtpm = None
        if self._medium is not None:
            self._medium.end(loss)
        self._medium = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end(NOTHING)
        self.network.close()


def copy_card(source: Path, target: Path, size: int = CARD_BYTES) -> None:
    """A card with the bytes of another, of at least this size; what is empty there takes no room here."""
    subprocess.run(["cp", "--sparse=always", source, target], check=True)
    os.truncate(target, max(size, source.stat().st_size))
