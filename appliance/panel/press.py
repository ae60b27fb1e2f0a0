"""Presses, durably: each has an id that is used once, and ends once.

- A press exists once its record is in the journal; only then does anybody hear of it. It survives a SIGKILL.
- One act of the button makes one press, or a *gang* of them: one for each position of the fixture. A gang becomes
  durable as one record of the journal: all of its presses are there, or none.
- At most one act is unfinished. Its presses are handed out until each is finished, also after a
  restart of either side.
- Finishing the same press with the same verdict again changes nothing; with another one it is refused.
- A line that was stopped stays stopped until an acknowledgement is in this journal. A press that stops it does so when
  its whole gang is finished.
- Refusals of the panel's own stay owed to the recorder until it has them; the oldest give way when far too many wait.
- Ids come from the kernel's random numbers; a press made under another boot id is one of an earlier boot.

The shell around it (`appliance.panel.service`) serialises the calls.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from appliance import durable
from appliance.evidence import strict_json
from appliance.evidence.errors import EvidenceError
from appliance.evidence.label import canonical_digest
from appliance.panel.errors import FinishedOtherwise, PressJournalWrong, PressUnknown, StillWorking
from appliance.panel.session import Draft

KEEP_FINISHED = 256
COMPACT_AT = 2048
MAX_OWED = 256


@dataclass(frozen=True, slots=True)
class Press:
    """A press record (docs/contracts.md 3.1) and, once finished, how it ended."""

    press: str
    order: str
    event: str
    label: str | None
    operator: str
    boot_id: str
    monotonic_ms: int
    verdict: str | None = None
    position: int | None = None

    def document(self) -> dict[str, object]:
        """The press record as it is digested: schema 1. `position` stands in a gang's records only."""
        place = {} if self.position is None else {"position": self.position}
        return {
            "schema": 1,
            "press": self.press,
            "order": self.order,
            "event": self.event,
            "label": self.label,
            "operator": {"id": self.operator, "method": "badge"},
            "boot_id": self.boot_id,
            "monotonic_ms": self.monotonic_ms,
            **place,
        }

    def digest(self) -> str:
        """`sha256:…` of the press record."""
        return canonical_digest(self.document())


@dataclass(frozen=True, slots=True)
class Owed:
    """A refusal of the panel's own that the recorder has not taken yet. `refusal`: as ProoflineError.as_record."""

    press: str
    operator: str | None
    refusal: dict[str, object]


class PressBook:
    """The press journal and what follows from it. One process holds it (the journal is locked)."""

    def __init__(self, journal: durable.Journal, boot_id: str, monotonic_ms: Callable[[], int]) -> None:
        """Reads the journal; PressJournalWrong where a record does not follow from the ones before."""
        self._journal = journal
        self._boot_id = boot_id
        self._monotonic_ms = monotonic_ms
        self._presses: OrderedDict[str, Press] = OrderedDict()
        self._owed: OrderedDict[str, Owed] = OrderedDict()
        self._act: tuple[str, ...] = ()
        self._stopped_by: str | None = None
        self.count = 0
        for at, record in enumerate(journal.records):
            try:
                self._apply(strict_json.decode(record))
            except (EvidenceError, KeyError, TypeError, ValueError) as error:
                raise PressJournalWrong(at=at, why=f"{type(error).__name__}: {error}") from error
        self._length = len(journal.records)

    @property
    def act(self) -> tuple[Press, ...]:
        """The presses that the last act of the button made, by position."""
        return tuple(self._presses[press] for press in self._act)

    @property
    def gang(self) -> tuple[Press, ...]:
        """The presses that are being worked on, by position; one at most where the fixture is a single one."""
        return tuple(press for press in self.act if press.verdict is None)

    @property
    def unfinished(self) -> Press | None:
        """The first press that is being worked on."""
        return next(iter(self.gang), None)

    @property
    def stopped_by(self) -> str | None:
        """The press that stopped the line, once its gang is finished."""
        return None if self._stopped_by in self._act and self.gang else self._stopped_by

    @property
    def owed(self) -> tuple[Owed, ...]:
        """Refusals that the recorder has not taken yet, oldest first."""
        return tuple(self._owed.values())

    def find(self, press: str) -> Press | None:
        """The press, while it is remembered: the unfinished one and the last 256."""
        return self._presses.get(press)

    def open(self, draft: Draft) -> Press:
        """Make a press; it is durable on return. StillWorking while another one is unfinished."""
        press = self._press(draft, draft.label, None, self._monotonic_ms())
        self._write({"at": "press", "record": press.document(), "n": self.count + 1})
        return press

    def open_gang(self, draft: Draft) -> tuple[Press, ...]:
        """Make a press for each of the draft's labels; all are durable on return, or none. StillWorking."""
        now_ms = self._monotonic_ms()
        gang = tuple(self._press(draft, label, position, now_ms) for position, label in enumerate(draft.labels))
        self._write(_gang_record(gang, self.count + len(gang)))
        return gang

    def _press(self, draft: Draft, label: str | None, position: int | None, now_ms: int) -> Press:
        if (last := self.unfinished) is not None:
            raise StillWorking(unfinished=last.press)
        return Press(
            press=new_id(),
            order=draft.order,
            event=draft.event,
            label=label,
            operator=draft.operator,
            boot_id=self._boot_id,
            monotonic_ms=now_ms,
            position=position,
        )

    def finish(self, press: str, verdict: str, *, stop: bool) -> bool:
        """End a press, durably; whether it was this call that ended it. PressUnknown, FinishedOtherwise."""
        known = self._presses.get(press)
        if known is None:
            raise PressUnknown(press=press)
        if known.verdict is not None:
            if known.verdict != verdict:
                raise FinishedOtherwise(press=press, verdict=known.verdict, claimed=verdict)
            return False
        self._write({"at": "finish", "press": press, "verdict": verdict, "stop": stop})
        return True

    def restart(self, operator: str) -> None:
        """The stopped line was acknowledged."""
        self._write({"at": "restart", "operator": operator})

    def owe(self, owed: Owed) -> None:
        """Remember a refusal until the recorder has it."""
        self._write({"at": "owed", "press": owed.press, "operator": owed.operator, "refusal": owed.refusal})

    def paid(self, press: str) -> None:
        """The recorder has the refusal of this press."""
        self._write({"at": "paid", "press": press})

    def _write(self, record: dict[str, object]) -> None:
        self._journal.append(strict_json.encode(record))
        self._apply(record)
        self._length += 1
        if self._length >= COMPACT_AT:
            kept = self._records()
            self._journal.rewrite(kept)
            self._length = len(kept)

    def _apply(self, record: object) -> None:
        if not isinstance(record, dict):
            raise TypeError("a record is an object")
        match record["at"]:
            case "press":
                self._opened((_press(record["record"]),), int(record["n"]))
            case "gang":
                self._opened(tuple(_press(one) for one in record["records"]), int(record["n"]))
            case "finish":
                press = self._presses[record["press"]]
                if press.verdict is not None:
                    raise ValueError("a press finished twice")
                self._presses[press.press] = replace(press, verdict=str(record["verdict"]))
                if record["stop"]:
                    self._stopped_by = press.press
            case "restart":
                self._stopped_by = None
            case "owed":
                self._owed[record["press"]] = Owed(record["press"], record["operator"], record["refusal"])
                while len(self._owed) > MAX_OWED:
                    self._owed.popitem(last=False)
            case "paid":
                self._owed.pop(record["press"], None)
            case "stopped":
                self._stopped_by = record["press"]
            case other:
                raise ValueError(f"{other!r} is no kind of record")

    def _opened(self, presses: tuple[Press, ...], count: int) -> None:
        if self.gang or any(press.press in self._presses for press in presses):
            raise ValueError("a press while another one is unfinished, or twice")
        if not presses:
            raise ValueError("a gang of none")
        self._presses.update((press.press, press) for press in presses)
        self._act = tuple(press.press for press in presses)
        self.count = count
        while len(self._presses) > KEEP_FINISHED + len(presses):
            self._presses.popitem(last=False)

    def _records(self) -> list[bytes]:
        """The shortest journal with the same meaning. Only the last gang's presses still belong together."""
        records: list[dict[str, object]] = []
        act = self.act
        together = len(act) > 1
        first = self.count - len(self._presses) + 1
        for n, press in enumerate(self._presses.values(), first):
            if not (together and press.press in self._act):
                records.append({"at": "press", "record": press.document(), "n": n})
            elif press.press == self._act[0]:
                records.append(_gang_record(act, self.count))
            if press.verdict is not None:
                records.append({"at": "finish", "press": press.press, "verdict": press.verdict, "stop": False})
        if self._stopped_by is not None:
            records.append({"at": "stopped", "press": self._stopped_by})
        records += [
            {"at": "owed", "press": owed.press, "operator": owed.operator, "refusal": owed.refusal}
            for owed in self._owed.values()
        ]
        return [strict_json.encode(record) for record in records]


def new_id() -> str:
    """32 hex digits that nobody used before."""
    return secrets.token_hex(16)


def _gang_record(gang: tuple[Press, ...], count: int) -> dict[str, object]:
    """One record for all of them: a journal's record is there whole, or not at all."""
    return {"at": "gang", "records": [press.document() for press in gang], "n": count}


def _press(record: dict[str, object]) -> Press:
    operator = record["operator"]
    monotonic_ms = record["monotonic_ms"]
    position = record.get("position")
    if not isinstance(operator, dict) or not isinstance(monotonic_ms, int):
        raise TypeError("operator is an object, monotonic_ms an integer")
    if position is not None and not isinstance(position, int):
        raise TypeError("position is an integer")
    return Press(
        press=str(record["press"]),
        order=str(record["order"]),
        event=str(record["event"]),
        label=None if record["label"] is None else str(record["label"]),
        operator=str(operator["id"]),
        boot_id=str(record["boot_id"]),
        monotonic_ms=monotonic_ms,
        position=position,
    )
