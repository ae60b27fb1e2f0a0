"""What the line intends, durably, before it does it; and what it owes to the recorder's journal.

- One unit is open at a time. `taken`, `reserve`, `program` are written before their effect, `observed` before the
  signer is asked; the furthest of them is what a restart finds.
- A refusal that the recorder has not taken yet stays owed across restarts. At most `MAX_OWED` wait; then the line
  takes no further press (`full`) rather than forget one.
- `done` need not be durable at once: a unit whose `done` was lost is found again and its outcome asked for.
"""

from __future__ import annotations

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
        self._owed: OrderedDict[tuple[str, str], Owed] = OrderedDict()
        self.unit: OpenUnit | None = None
        self.units = 0
        for at, record in enumerate(journal.records):
            try:
                self._apply(strict_json.decode(record, max_bytes=durable.MAX_RECORD))
            except (EvidenceError, KeyError, TypeError, ValueError) as error:
                raise LineJournalWrong(at=at, why=f"{type(error).__name__}: {error}") from error
        self._length = len(journal.records)

    @property
    def owed(self) -> tuple[Owed, ...]:
        """What the recorder's journal still has to get, oldest first."""
        return tuple(self._owed.values())

    @property
    def full(self) -> bool:
        """Whether a further press could not be remembered if it were refused."""
        return len(self._owed) >= MAX_OWED

    def taken(self, press: str) -> None:
        self._write({"at": "taken", "press": press})

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
        self._apply(record)
        if self._length >= COMPACT_AT:
            self._compact()
        else:
            self._journal.append_buffered(strict_json.encode(record))
            self._length += 1

    def _write(self, record: Doc) -> None:
        self._apply(record)  # first: a step out of order is a defect and must not become durable
        self._journal.append(strict_json.encode(record))
        self._length += 1

    def _apply(self, record: object) -> None:
        if not isinstance(record, dict):
            raise TypeError("a record is an object")
        match record["at"]:
            case "taken":
                if self.unit is not None:
                    raise ValueError("a unit was taken before the last one was done")
                self.unit = OpenUnit(record["press"], "taken")
            case "reserve":
                self.unit = replace(
                    self._open(record), furthest="reserve", device=record["device"], probe=record["probe"]
                )
            case "program":
                unit = self._open(record)
                if unit.furthest != "reserve":
                    raise ValueError("the flash is touched once, under a reservation")
                self.unit = replace(unit, furthest="program")
            case "observed":
                self.unit = replace(
                    self._open(record),
                    furthest="observed",
                    observations=record["observations"],
                    stop=record["stop"],
                )
            case "owed":
                self._owed[record["kind"], record["press"]] = Owed(record["kind"], record["press"], record["refusal"])
            case "paid":
                self._owed.pop((record["kind"], record["press"]), None)
            case "done":
                self._open(record)
                self.unit = None
                self.units += 1
            case "base":
                self.units = int(record["units"])
            case other:
                raise ValueError(f"{other!r} is no kind of record")

    def _open(self, record: Doc) -> OpenUnit:
        if self.unit is None or self.unit.press != record["press"]:
            raise ValueError("of another unit than the open one")
        return self.unit

    def _compact(self) -> None:
        records: list[Doc] = [{"at": "base", "units": self.units}]
        records += [{"at": "owed", "kind": o.kind, "press": o.press, "refusal": o.refusal} for o in self.owed]
        self._journal.rewrite(strict_json.encode(record) for record in records)
        self._length = len(records)
