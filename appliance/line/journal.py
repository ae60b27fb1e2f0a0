"""What the line intends, durably, before it does it; and what it owes to the recorder's journal.

- The units of one act of the button are open at a time: one, or a gang. `taken`, `reserve`, `program` are written
  before their effect, `observed` before the signer is asked; the furthest of them is what a restart finds of each.
- A refusal that the recorder has not taken yet stays owed across restarts. At most `MAX_OWED` wait; then the line
  takes no further press (`full`) rather than forget one.
- `done` need not be durable at once: a unit whose `done` was lost is found again and its outcome asked for.

Threads may share it; each works on a unit of its own.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Any

from appliance import durable
from appliance.evidence import strict_json
from appliance.evidence.errors import EvidenceError
from appliance.line.errors import LineJournalWrong

COMPACT_AT = 256
MAX_OWED = 1_000

Doc = dict[str, Any]


@dataclass(frozen=True, slots=True)
class OpenUnit:
    """A unit that is not done: how far it came (`taken`, `reserve`, `program`, `observed`), and with what."""

    press: str
    furthest: str
    device: Doc | None = None
    probe: Doc | None = None
    observations: Doc | None = None
    stop: bool = False


@dataclass(frozen=True, slots=True)
class Owed:
    """A record for the recorder's journal: `kind` is refusal or line_stop, `refusal` as ProoflineError.as_record."""

    kind: str
    press: str
    refusal: Doc


class UnitJournal:
    """The line's journal and what follows from it. One process holds it (it is locked)."""

    def __init__(self, journal: durable.Journal) -> None:
        """Reads the journal; LineJournalWrong where a record does not follow from the ones before."""
        self._journal = journal
        self._lock = threading.Lock()
        self._owed: OrderedDict[tuple[str, str], Owed] = OrderedDict()
        self._open: dict[str, OpenUnit] = {}
        self.units = 0
        for at, record in enumerate(journal.records):
            try:
                self._apply(strict_json.decode(record, max_bytes=durable.MAX_RECORD))
            except (EvidenceError, KeyError, TypeError, ValueError) as error:
                raise LineJournalWrong(at=at, why=f"{type(error).__name__}: {error}") from error
        self._length = len(journal.records)

    @property
    def open(self) -> tuple[OpenUnit, ...]:
        """The units that are not done, in the order in which they were taken."""
        with self._lock:
            return tuple(self._open.values())

    @property
    def unit(self) -> OpenUnit | None:
        """The first unit that is not done."""
        return next(iter(self.open), None)

    @property
    def owed(self) -> tuple[Owed, ...]:
        """What the recorder's journal still has to get, oldest first."""
        with self._lock:
            return tuple(self._owed.values())

    @property
    def full(self) -> bool:
        """Whether a further press could not be remembered if it were refused."""
        return len(self._owed) >= MAX_OWED

    def taken(self, press: str, *more: str) -> None:
        """One press, or all of a gang, as one record: about to be worked on."""
        self._write({"at": "gang", "presses": [press, *more]} if more else {"at": "taken", "press": press})

    def reserve(self, press: str, device: Doc, probe: Doc) -> None:
        """About to ask for a reservation for this device."""
        self._write({"at": "reserve", "press": press, "device": device, "probe": probe})

    def program(self, press: str) -> None:
        """About to change the flash."""
        self._write({"at": "program", "press": press})

    def observed(self, press: str, observations: Doc, *, stop: bool) -> None:
        """About to have these observations signed."""
        self._write({"at": "observed", "press": press, "observations": observations, "stop": stop})

    def owe(self, owed: Owed) -> None:
        self._write({"at": "owed", "kind": owed.kind, "press": owed.press, "refusal": owed.refusal})

    def paid(self, owed: Owed) -> None:
        self._write({"at": "paid", "kind": owed.kind, "press": owed.press})

    def done(self, press: str) -> None:
        """The panel knows how the unit ended."""
        record = {"at": "done", "press": press}
        with self._lock:
            self._apply(record)
            if self._length >= COMPACT_AT and not self._open:
                self._compact()
            else:
                self._journal.append_buffered(strict_json.encode(record))
                self._length += 1

    def _write(self, record: Doc) -> None:
        with self._lock:
            self._apply(record)  # first: a step out of order is a defect and must not become durable
            self._journal.append(strict_json.encode(record))
            self._length += 1

    def _apply(self, record: object) -> None:
        if not isinstance(record, dict):
            raise TypeError("a record is an object")
        match record["at"]:
            case "taken":
                self._take([record["press"]])
            case "gang":
                self._take(record["presses"])
            case "reserve":
                self._go_on(record, furthest="reserve", device=record["device"], probe=record["probe"])
            case "program":
                if self._unit_of(record).furthest != "reserve":
                    raise ValueError("the flash is touched once, under a reservation")
                self._go_on(record, furthest="program")
            case "observed":
                self._go_on(record, furthest="observed", observations=record["observations"], stop=record["stop"])
            case "owed":
                self._owed[record["kind"], record["press"]] = Owed(record["kind"], record["press"], record["refusal"])
            case "paid":
                self._owed.pop((record["kind"], record["press"]), None)
            case "done":
                del self._open[self._unit_of(record).press]
                self.units += 1
            case "base":
                self.units = int(record["units"])
            case other:
                raise ValueError(f"{other!r} is no kind of record")

    def _take(self, presses: list[str]) -> None:
        if self._open or len(set(presses)) != len(presses):
            raise ValueError("a unit was taken before the last one was done, or twice")
        self._open = {press: OpenUnit(press, "taken") for press in presses}

    def _go_on(self, record: Doc, **how: Any) -> None:
        self._open[record["press"]] = replace(self._unit_of(record), **how)

    def _unit_of(self, record: Doc) -> OpenUnit:
        unit = self._open.get(record["press"])
        if unit is None:
            raise ValueError("of another unit than an open one")
        return unit

    def _compact(self) -> None:
        records: list[Doc] = [{"at": "base", "units": self.units}]
        records += [{"at": "owed", "kind": o.kind, "press": o.press, "refusal": o.refusal} for o in self._owed.values()]
        self._journal.rewrite(strict_json.encode(record) for record in records)
        self._length = len(records)
