"""A station whose services can be killed at any file effect, and what must hold of it afterwards, whatever happened.

    with Peril(folder) as peril:
        for blow in peril.blows("line", peril.unit):    # every boundary that an undisturbed unit has there
            peril.strike(blow); peril.unit(); peril.recovered(blow)

- The services are the product's own, each under its own uid, with `tests/crash/shim` under their file calls. Whoever is
  killed is started again by the supervisor as after any crash, and is spared then.
- What holds is read from files and from the board, not from the services' words: the panel's journal, the published
  log (recounted and verified from the site's pinned root), the lamps, the flash and how often it was worked on.
- No hand helps, but those that a crash cannot spare: a panel that starts anew wants the badge again, a press nobody
  made durable is pressed again, a stopped line waits for a lead.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from appliance import durable
from appliance.errors import ProoflineError
from appliance.evidence import envelope as envelopes
from appliance.evidence import log, note, proof, statement, strict_json
from appliance.verify.audit import Audit
from appliance.verify.files import LogDirectory, read_file
from appliance.verify.policy import Policy
from appliance.verify.site import Directory, SiteTrust
from appliance.verify.site_times import Interval
from appliance.verify.verifier import Verifier
from hil.local_station.bench_station import FIRMWARE, SERVICES, LocalStation
from hil.local_station.office import ORIGIN, VERSION, WorkOrder
from hil.local_station.place import CHECKOUT
from hil.local_station.supervisor import uid_of
from hil.virtual_nucleo.flash_array import FLASH_SIZE, SECTORS, FlashArray
from tests.station.boards import fresh_uid

WATCHED = {
    "line": ("services/state/line",),
    "panel": ("services/state/panel",),
    "signer": ("services/state/signer",),
    "recorder": ("services/state/recorder", "evidence/log"),
    "intake": ("services/state/intake", "staged"),
}
"""Where each service keeps what must survive. (Intake's private copy of a carrier lies in its cache instead.)"""

WIDER = os.environ.get("PROOFLINE_SOAK") == "1"
"""Whether to take every boundary and every way where otherwise a sample is taken."""

_IMAGE = (FIRMWARE / f"proofline-demo-{VERSION}-small.bin").read_bytes()
_APPROVED_FLASH = sha256(_IMAGE + b"\xff" * (FLASH_SIZE - len(_IMAGE))).hexdigest()
_SOILED = (SECTORS[0], SECTORS[-1])
_PATIENCE_S = 60.0


class Blow(NamedTuple):
    """A kill: of a service, at its n-th boundary from now, before it, after it or half-way through the write."""

    role: str
    n: int
    when: str
    what: str


@dataclass(frozen=True)
class Told:
    """What the published, verified log says, by press."""

    verdicts: dict[str, str]
    refused: Counter[str]
    stopped: Counter[str]
    restarted: Counter[str]
    reserved: dict[str, str]


class Peril:
    """The station, the blows it is dealt, and the judge."""

    def __init__(self, folder: Path, orders: Sequence[WorkOrder] = (WorkOrder("WO-1", 10_000),)) -> None:
        self.folder = folder
        self.uid = ""
        self._control = folder / "control"
        self._trace = folder / "control" / "trace"
        for place in (self._control, self._trace):
            place.mkdir()
            place.chmod(0o777)
        cache = folder / "cache"
        cache.mkdir()
        os.chown(cache, uid_of("intake"), uid_of("intake"))
        self.station = LocalStation.make(folder / "s", orders, wrap={role: self._shimmed(role) for role in WATCHED})
        self.ready()
        self._trust()
        self.unit()
        self.judge()
        wear = self.station.fixture.ask(do="wear")
        self._erases, self._programmed = wear["erases"], wear["programmed"]
        assert self._programmed > 0
        assert sum(self._erases) == len(_SOILED)

    def _shimmed(self, role: str) -> list[str]:
        watched = ":".join(os.fspath(self.folder / "s" / place) for place in WATCHED[role])
        variables = {
            "PYTHONPATH": f"{CHECKOUT}:{CHECKOUT / 'tests' / 'crash' / 'shim'}",
            "PROOFLINE_CRASH_DIRS": watched,
            "PROOFLINE_CRASH_TRACE": os.fspath(self._trace),
            "PROOFLINE_CRASH_ORDER": os.fspath(self._control / role),
            "CACHE_DIRECTORY": os.fspath(self.folder / "cache"),
        }
        return ["env", *(f"{name}={value}" for name, value in variables.items()), sys.executable, "-m", SERVICES[role]]

    def _trust(self) -> None:
        """Believe what the site says now: the verifier knows nothing but the pinned root and the site's repository."""
        site = self.station.folder / "site" / "root.json"
        now = datetime.now(UTC)
        trust = SiteTrust.verify(Directory(self.station.carrier), site.read_bytes())
        self._verifier = Verifier(trust, Policy(allow_development=True), Interval(now, now))

    # -- what is done to it ----------------------------------------------------------------------------------------

    def blows(
        self,
        role: str,
        act: Callable[[], None],
        ways: Sequence[str] = ("before", "half", "after"),
        *,
        below: str = "",
    ) -> list[Blow]:
        """Every blow that can hit `role` during `act`, which is done once, undisturbed, to see its boundaries.

        Of a blow after a file was opened or written and one before the same file's next effect only the second is
        taken: nothing happens between the two. `below`: only where the file's path has this in it.
        """
        pid, begun = self.station.supervisor.pid(role), time.monotonic_ns()
        act()
        lines = (json.loads(line) for line in (self._trace / f"{pid}.jsonl").read_text().splitlines())
        seen = [line for line in lines if line["n"] is not None and line["ns"] >= begun]
        assert seen, f"{role} has no boundary here"
        blows: list[Blow] = []
        for n, (line, following) in enumerate(zip(seen, [*seen[1:], {"path": None}])):
            writes = line["op"] in {"write", "pwrite"}
            same = (writes or line["op"] == "open") and line["path"] == following["path"]
            possible = {"before", *(("half",) if writes else ()), *(() if same and not WIDER else ("after",))}
            if below in line["path"]:
                what = f"{line['op']} {Path(line['path']).name}"
                blows += [Blow(role, n, when, what) for when in ways if when in possible]
        return blows

    def strike(self, blow: Blow) -> None:
        """Have the blow fall when the service comes to that boundary."""
        unseen = self._control / ".unseen"
        unseen.write_text(f"{blow.n}:{blow.when}")
        unseen.rename(self._control / blow.role)

    def struck(self, blow: Blow) -> bool:
        """Whether the blow has fallen."""
        return not (self._control / blow.role).exists()

    def spare(self, blow: Blow) -> bool:
        """Take back a blow that has not fallen; whether it had."""
        try:
            (self._control / blow.role).unlink()
        except FileNotFoundError:
            return True
        return False

    def blackout(self) -> None:
        """SIGKILL to every service at once."""
        for role in SERVICES:
            self.station.supervisor.kill(role)

    # -- what a person does ----------------------------------------------------------------------------------------

    def ready(self) -> None:
        """Sign in and choose the order where the panel asks for it."""
        if self.station.look()["operator"] is None:
            self.station.sign_in()
        if self.station.look()["order"] != "WO-1":
            self.station.choose("WO-1")

    def board(self) -> None:
        """Put a board in that nobody has seen yet; something else was in its flash."""
        self.uid = fresh_uid()
        array = FlashArray(seed=0, path=self.station.folder / "bench" / "drawer" / f"{self.uid}.flash")
        for sector in _SOILED:
            array.main[sector.offset : sector.offset + 4] = b"left"
        array.flush()
        self.station.insert(self.uid)

    def unit(self) -> None:
        """A fresh board, one press, until the station rests."""
        self.board()
        self.press()

    def press(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Press once, and watch until the station rests. `meanwhile` is called again and again once it was heard."""
        restarts, before = self.station.supervisor.restarts("panel"), self._heard()
        self._lamps()
        try:
            self.station.press()
        except (OSError, ValueError):
            pass  # the panel died under the finger
        self._wait(lambda: self._heard() > before or self.station.supervisor.restarts("panel") > restarts)
        self.rest(meanwhile)

    def scan(self, text: str) -> None:
        """Hold a code before the scanner until the panel shows something else, or died."""
        restarts, before = self.station.supervisor.restarts("panel"), self._session()
        try:
            self.station.hands.ask(do="scan", text=text)
        except (OSError, ValueError):
            pass

        def changed() -> bool:
            try:
                return bool(self._session() != before)
            except ProoflineError:
                return False  # it died with the question: its restart is waited for

        self._wait(lambda: self.station.supervisor.restarts("panel") > restarts or changed())

    def carry(self, carrier: Path) -> None:
        """Somebody comes with a carrier, whose site is what everything is judged by from now on."""
        self.station.carrier = carrier
        self._trust()

    def import_(self) -> None:
        """Have the carrier imported. Raises what intake says, or that it died."""
        with self.station.client("intake") as intake:
            intake.call("Import", carrier=os.fspath(self.station.carrier))

    def rest(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Wait until nobody has anything left to do. Every green light on the way is checked."""

        def quiet() -> bool:
            meanwhile()
            if self._lamps():
                self._assert_green_is_proven()
            return self._resting()

        self._wait(quiet)

    def _wait(self, there: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while not there():
            assert time.monotonic() < deadline, f"waited in vain: {self._state()}"
            time.sleep(0.01)

    def ended(self) -> bool:
        """Whether every press that was made has its end."""
        records = self._panel_records()
        return records is not None and not _unfinished(records)

    def _resting(self) -> bool:
        if not self.ended():
            return False
        try:
            with self.station.client("line") as line, self.station.client("recorder") as recorder:
                at, told = line.call("Describe"), recorder.call("Describe")
            with self.station.client("signer") as signer, self.station.client("intake") as intake:
                signer.call("Describe")
                intake.call("Describe")
            seen = self.station.look()
        except ProoflineError:
            return False
        return (
            at["press"] is None
            and at["state"] in {"idle", "preparing", "stopped"}
            and told["size"] == told["checkpointed"] == self._published()
            and told["journal"] == told["journal_committed"]
            and seen["pattern"] not in {"starting", "running", "fault"}
            and not seen["pattern"].startswith("gate_")
        )

    def _state(self) -> str:
        journals = {role: self.station.supervisor.journal(role)[-600:] for role in WATCHED}
        return f"{self.station.look()} {journals}"

    # -- what is looked at -----------------------------------------------------------------------------------------

    def _lamps(self) -> bool:
        """Whether the green lamp went on since the last look."""
        try:
            since = self.station.hands.ask(do="lamps")["since"]["green"]
        except (OSError, ValueError):
            return False  # there is no panel, and so no light
        return any(on for _, on in since[1:])

    def _panel_records(self) -> list[dict[str, Any]] | None:
        """The panel's journal; None while its last record is torn."""
        try:
            records = durable.read_journal(self.station.supervisor.state("panel") / "presses.journal")
        except durable.JournalDamaged:
            return None
        found: list[Any] = [strict_json.decode(record) for record in records]
        return found

    def _heard(self) -> int:
        """How many presses, and refusals of the panel's own, the journal knows."""
        return sum(record["at"] in {"press", "owed"} for record in self._panel_records() or ())

    def _session(self) -> tuple[Any, ...]:
        seen = self.station.look()
        return seen["operator"], seen["order"], seen["stopped"], seen["text"]

    def _published(self) -> int:
        path = self.station.evidence / "log" / "checkpoint"
        return int(path.read_text().splitlines()[1]) if path.exists() else 0

    def _assert_green_is_proven(self) -> None:
        records = self._panel_records()
        assert records is not None
        press = next(record["record"]["press"] for record in reversed(records) if record["at"] == "press")
        self._assert_proof(press, "pass")

    def _assert_proof(self, press: str, verdict: str) -> None:
        place = self.station.evidence / "log" / "proofs"
        manifest = read_file(place / f"{press}.manifest.json", envelopes.MAX_BYTES)
        unit = self._verifier.establish(manifest, read_file(place / f"{press}.tlog-proof", proof.MAX_BYTES))
        assert unit.index is not None
        assert (unit.signed.manifest.press, unit.signed.manifest.verdict) == (press, verdict)

    def _log(self) -> Told:
        """What `proofline verify log` does, and what every entry says."""
        storage = LogDirectory(self.station.evidence / "log")
        checkpoint = storage.read("checkpoint", note.MAX_BYTES)
        assert checkpoint is not None
        trusted = self._verifier.check_checkpoint(checkpoint, ORIGIN)
        audit = Audit(self._verifier, trusted)
        entries: list[bytes] = []
        for index, entry in log.recount(storage, trusted.checkpoint):
            audit.add(index, entry)
            entries.append(entry)
        assert audit.finish().open_reservations == ()
        told = Told({}, Counter(), Counter(), Counter(), {})
        types, unsigned = {statement.STATEMENT_PAYLOAD}, {statement.RESERVATION_PAYLOAD}
        for entry in entries:
            envelope = envelopes.decode(entry, types | unsigned, unsigned_types=unsigned)
            if envelope.payload_type == statement.RESERVATION_PAYLOAD:
                document = statement.parse_reservation(envelope.payload)
                told.reserved[document["press"]] = document["device"]["uid"]
                continue
            found = statement.parse(envelope.payload)
            if isinstance(found, statement.Manifest):
                told.verdicts[found.press] = found.verdict
            else:
                kinds = {"refusal": told.refused, "line-stop": told.stopped, "line-restart": told.restarted}
                for record in found.predicate["records"]:
                    kinds[record["kind"]][record["press"]] += 1
        return told

    # -- what must hold --------------------------------------------------------------------------------------------

    def judge(self) -> Told:
        """All that must hold of a station at rest. What the log says."""
        self.judge_board()
        records, told = self._panel_records(), self._log()
        assert records is not None
        ended = {one["press"]: one["verdict"] for one in records if one["at"] == "finish"}
        made = {one["record"]["press"] for one in records if one["at"] == "press"}
        owed = {one["press"] for one in records if one["at"] == "owed"}
        assert set(ended) == made, "a press did not end"
        for press in made | owed:
            ends = (press in told.verdicts) + told.refused[press]
            assert ends == 1, f"{press} has {ends} ends: {told.verdicts.get(press)}, {told.refused[press]} refusals"
        for press in {one["press"] for one in records if one["at"] == "finish" and one["stop"]}:
            assert told.stopped[press], f"the log does not tell that {press} stopped the line"
            assert told.restarted[press], f"the log does not tell that the line was restarted after {press}"
        assert set(told.verdicts) | set(told.refused) - {None} <= made | owed, "the log tells of a press nobody made"
        for press, verdict in ended.items():
            if press in told.verdicts:
                assert told.verdicts[press] == verdict, "the panel showed another verdict than the log has"
            else:
                assert verdict != "pass", "a pass without a manifest"
        last = next((one["record"]["press"] for one in reversed(records) if one["at"] == "press"), None)
        if last in told.verdicts:
            assert last is not None
            self._assert_proof(last, told.verdicts[last])
        return told

    def judge_board(self) -> None:
        """The board in the fixture was worked on once, and only if that was reserved; a passed one is as approved."""
        told = self._log()
        wear = self.station.fixture.ask(do="wear")
        presses = [press for press, uid in told.reserved.items() if uid == self.uid]
        if not presses:
            assert (sum(wear["erases"]), wear["programmed"]) == (0, 0), "flash was touched without a reservation"
            return
        if hasattr(self, "_programmed"):
            assert wear["programmed"] <= self._programmed, "programmed twice under one reservation"
            assert all(now <= once for now, once in zip(wear["erases"], self._erases)), "erased twice"
        if told.verdicts[presses[0]] == "pass":
            assert self.station.fixture.ask(do="flash")["sha256"] == _APPROVED_FLASH

    def recovered(self, blow: Blow) -> bool:
        """Judge what the blow left, then make a good unit. Whether the blow had fallen at all."""
        fell = self.spare(blow)
        self.judge_board()
        self.ready()
        self.unit()
        told, records = self.judge(), self._panel_records()
        assert records is not None
        last = [record["press"] for record in records if record["at"] == "finish"][-1]
        assert told.verdicts[last] == "pass", "no good unit afterwards"
        assert self.station.look()["pattern"] == "pass"
        return fell

    def survives(self, blows: Sequence[Blow], act: Callable[[], None]) -> None:
        """Deal each blow during `act`, and judge what came of it. An assertion says which blow it was."""
        fell = 0
        for blow in blows:
            self.strike(blow)
            try:
                act()
                fell += self.recovered(blow)
            except (AssertionError, ProoflineError, TimeoutError) as wrong:
                raise AssertionError(f"{blow}: {wrong}") from wrong
        # Work in the background shifts the last boundaries a little from unit to unit.
        assert fell * 10 >= len(blows) * 9, f"only {fell} of {len(blows)} blows fell"

    def close(self) -> None:
        self.station.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _unfinished(records: Sequence[dict[str, Any]]) -> bool:
    """Whether the panel's journal holds a press without an end or a refusal that it still owes."""
    made = {one["record"]["press"] for one in records if one["at"] == "press"}
    ended = {one["press"] for one in records if one["at"] == "finish"}
    owed = {one["press"] for one in records if one["at"] == "owed"}
    return made != ended or bool(owed - {one["press"] for one in records if one["at"] == "paid"})
