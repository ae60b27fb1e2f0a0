"""The main job, on one machine: two boards and their proofs, then a board refused in every way there is.

    python -m hil.story [--auto]        (make run, make run AUTO=1)

- Everything is real but the silicon and the fingers: services, token, chronyd, pyOCD, flash algorithm, firmware.
- Every step says beforehand what has to come of it, and the story ends with exit code 0 only if all of it came.
- The evidence stays: its folder is printed, relative to the checkout.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from appliance.errors import ProoflineError
from hil.local_station.bench_station import LocalStation, Outcome
from hil.local_station.office import WorkOrder
from hil.local_station.place import CHECKOUT
from hil.local_station.supervisor import separate_users

BOARDS = tuple(f"{place}0b{b'Q623846'.hex()}" for place in ("2f003300", "41003000", "41002800", "35002900"))
"""Four chips of one wafer as RM0402 39.1 describes their id: X and Y, wafer 11, the lot's name in ASCII."""
_ORDER, _NEXT_ORDER = "WO-2207", "WO-2208"
_FIRST_INDENT = "     "


class Story:
    """Tells, does, checks. `wrong` collects what did not come out as it should."""

    def __init__(self, station: LocalStation, *, auto: bool) -> None:
        self.station = station
        self.auto = auto
        self.wrong: list[str] = []
        self.units: list[Outcome] = []
        self._step = 0

    def title(self, text: str) -> None:
        self._step += 1
        print(f"\n{self._step:>3}  {text}", flush=True)

    def tell(self, text: str) -> None:
        print(f"{_FIRST_INDENT}{text}", flush=True)

    def expect(self, what: str, *, held: bool, seen: object) -> None:
        self.tell(f"{'ok ' if held else 'NO '} {what}" + ("" if held else f" (seen: {seen})"))
        if not held:
            self.wrong.append(f"step {self._step}: {what} (seen: {seen})")

    def press(self) -> Outcome:
        """The operator's finger: Enter, or nobody's where there is no audience."""
        if not self.auto:
            try:
                input(f"{_FIRST_INDENT}press Enter: the operator presses the button ")
            except EOFError:
                self.tell("(nobody is there to press Enter: the rest goes by itself)")
                self.auto = True
        started = time.monotonic()
        outcome = self.station.press_and_wait(watch=lambda text: self.tell(f"  panel: {text}"))
        self.tell(f"lamps show '{outcome.pattern}' after {time.monotonic() - started:.1f} s")
        return outcome

    def unit(self, name: str, board: str) -> None:
        """One board that passes, seen from the outside as well."""
        self.title(f"{name}: a blank board with silicon id {board} is put on the fixture")
        self.station.insert(board)
        outcome = self.press()
        self.expect(
            "green, and the log says pass", held=(outcome.pattern, outcome.verdict) == ("pass", "pass"), seen=outcome
        )
        banner = self.station.fixture.ask(do="uart", run_ms=80, baud=115200)["text"].strip()
        self.expect(
            f"the board itself says: {banner.splitlines()[0] if banner else '-'}", held="1.0.0" in banner, seen=banner
        )
        self.tell(f"label {outcome.label}, log entry {outcome.index}")
        self.units.append(outcome)

    def refusal(self, outcome: Outcome, codes: set[str], *, stops: bool = False, journalled: bool = False) -> None:
        """What a refused press has to leave behind."""
        if journalled:
            held = outcome.verdict is None and outcome.journalled
            self.expect("no proof exists; the refusal is in the local journal", held=held, seen=outcome)
        else:
            self.expect(
                f"the refusal itself is signed and logged: {outcome.code}",
                held=outcome.verdict == "refused" and outcome.code in codes,
                seen=outcome,
            )
        self.expect("the lamps do not show green", held=outcome.pattern != "pass", seen=outcome.pattern)
        stopped = bool(self.station.look()["stopped"])
        self.expect("the line has stopped" if stops else "the line goes on", held=stopped == stops, seen=stopped)
        if stopped:
            self.station.acknowledge()
            self.tell("a lead's badge starts the line again; that is recorded, too")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make run", description=__doc__)
    parser.add_argument("--auto", action="store_true", help="nobody presses Enter")
    arguments = parser.parse_args()
    folder = CHECKOUT / "out" / time.strftime("run-%Y%m%d-%H%M%S")
    print("Proofline: two boards, two proofs, and every way to be refused\n")
    if not separate_users():
        print("not root: all services share one user here, so nothing that rests on their separation is shown\n")
    started = time.monotonic()
    with LocalStation.make(
        folder,
        [WorkOrder(_ORDER, 2), WorkOrder(_NEXT_ORDER, 100)],
        say=lambda text: print(f"{_FIRST_INDENT}{text}", flush=True),
    ) as station:
        story = Story(station, auto=arguments.auto)
        for part in (provision_two, verify_both, refuse_release, refuse_units, refuse_unsigned, verify_all):
            part(story)
        wrong = story.wrong
    print(f"\n{_FIRST_INDENT}evidence: {os.path.relpath(folder / 'evidence', CHECKOUT)}")
    print(
        f"{_FIRST_INDENT}{time.monotonic() - started:.0f} s; "
        + ("everything came out as it should" if not wrong else "")
    )
    for line in wrong:
        print(f"{_FIRST_INDENT}WRONG: {line}")
    return 1 if wrong else 0


def provision_two(story: Story) -> None:
    story.title("Ola signs in with her badge and scans work order WO-2207: two units")
    story.station.sign_in()
    story.station.choose(_ORDER)
    story.tell(story.station.look()["text"])
    story.unit("First unit", BOARDS[0])
    story.unit("Second unit", BOARDS[1])


def verify_both(story: Story) -> None:
    story.title("An auditor checks both, with the site's root and nothing else from this station")
    copy_site(story.station)
    for outcome in story.units:
        proofs = story.station.evidence / "log" / "proofs"
        files = [proofs / f"{outcome.press}.manifest.json", proofs / f"{outcome.press}.tlog-proof"]
        code = verify(story, "unit", *files)
        story.expect(f"the verifier says yes to {outcome.label}", held=code == 0, seen=code)


def refuse_release(story: Story) -> None:
    story.title("A tampered release: one bit of the firmware on the stick is flipped")
    station = story.station
    before = release_in_force(station)
    firmware = max((station.carrier / "targets").rglob("*.hex"), key=lambda path: path.stat().st_size)
    broken = bytearray(firmware.read_bytes())
    broken[len(broken) // 2] ^= 0x01
    firmware.write_bytes(broken)
    refusal = refused(lambda: import_stick(station))
    story.expect(f"intake refuses the stick: {refusal}", held=refusal is not None, seen=None)
    story.expect("the release in force is the one from before", held=release_in_force(station) == before, seen=before)


def refuse_units(story: Story) -> None:
    station = story.station
    story.title("Work order exhausted: WO-2207 was for two, here is a third board")
    station.insert(BOARDS[2])
    story.refusal(story.press(), {"PL-SGN-042", "PL-REC-031"})
    blank(story)

    story.title("Label mismatch: the board carries another board's label")
    station.choose(_NEXT_ORDER)
    wrong = story.units[0].label or ""
    station.scan(wrong, lambda seen: wrong in seen["text"])
    story.refusal(story.press(), {"PL-REC-041", "PL-REC-043"}, stops=True)
    blank(story)

    story.title("The same silicon twice: the first board comes back as if it were new")
    station.insert(BOARDS[0])
    story.refusal(story.press(), {"PL-REC-021"}, stops=True)


def refuse_unsigned(story: Story) -> None:
    station = story.station
    story.title("The clock out of bounds: the time server lies by 30 seconds")
    station.insert(BOARDS[3])
    station.time.lie(offset_ms=30_000)
    station.wait_pattern(lambda pattern: pattern == "gate_clock")
    story.refusal(story.press(), set(), journalled=True)
    station.time.lie(offset_ms=0)
    station.wait_open()
    story.tell("the time server is honest again: the gate opens by itself")

    story.title("The signer is gone: its process is stopped, as if the HSM had been pulled")
    station.stop("signer")
    story.refusal(story.press(), set(), journalled=True)
    station.start("signer")
    blank(story)
    story.tell("the signer is back: what was refused meanwhile is signed as one entry of the log")
    deadline = time.monotonic() + 30
    while (left := uncommitted(station)) and time.monotonic() < deadline:
        time.sleep(0.1)
    story.expect("nothing is left in the journal that is not in the log", held=left == 0, seen=left)


def verify_all(story: Story) -> None:
    story.title("The auditor recounts the whole log")
    code = verify(story, "log", story.station.evidence / "log")
    story.expect("the verifier says yes to every entry", held=code == 0, seen=code)


def blank(story: Story) -> None:
    """Nothing was written to the board on the fixture: looked up in its flash, not asked of the station."""
    flash = story.station.fixture.ask(do="flash")
    story.expect("the board's flash is untouched", held=bool(flash["erased"]), seen=flash)


def verify(story: Story, question: str, *files: Path) -> int:
    """Run the verifier as an auditor would: another process, files only."""
    evidence = story.station.evidence
    words = ["verify", question, *(os.path.relpath(file, CHECKOUT) for file in files)]
    words += ["--site", os.path.relpath(evidence / "site", CHECKOUT)]
    words += ["--root", os.path.relpath(evidence / "root.json", CHECKOUT), "--allow-development"]
    story.tell(f"$ proofline {' '.join(words)}")
    answer = subprocess.run(
        [sys.executable, "-m", "appliance.cli", *words], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    for line in (answer.stdout + answer.stderr).splitlines():
        story.tell(f"| {line}")
    return answer.returncode


def copy_site(station: LocalStation) -> None:
    """What an auditor gets of the site: its metadata and documents, and no firmware."""
    shutil.copytree(station.carrier, station.evidence / "site", ignore=shutil.ignore_patterns("firmware"))
    shutil.copy(station.folder / "site" / "root.json", station.evidence / "root.json")


def import_stick(station: LocalStation) -> None:
    with station.client("intake") as intake:
        intake.call("Import", carrier=os.fspath(station.carrier))


def release_in_force(station: LocalStation) -> dict[str, object]:
    """What intake says of the staged release; which carrier it saw last is another matter."""
    with station.client("intake") as intake:
        return {name: value for name, value in intake.call("Describe").items() if name != "last_carrier"}


def uncommitted(station: LocalStation) -> int:
    """Journalled refusals that are not in the log yet, and log entries that no checkpoint covers yet."""
    with station.client("recorder") as recorder:
        told = recorder.call("Describe")
    return int(told["journal"]) - int(told["journal_committed"]) + int(told["size"]) - int(told["checkpointed"])


def refused(act: Callable[[], None]) -> ProoflineError | None:
    """The refusal that something met; None if it met none."""
    try:
        act()
    except ProoflineError as refusal:
        return refusal
    return None


if __name__ == "__main__":
    sys.exit(main())
