"""Presses, durably: each has an id that is used once, and ends once.

- A press exists once its record is in the journal; only then does anybody hear of it. It survives a SIGKILL.
- At most one press is unfinished. It is handed out until it is finished, again after a restart of either side.
- Finishing the same press with the same verdict again changes nothing; with another one it is refused.
- A line that was stopped stays stopped until an acknowledgement is in this journal.
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

    def document(self) -> dict[str, object]:
        """The press record as it is digested: schema 1."""
        return {
            "schema": 1,
            "press": self.press,
            "order": self.order,
            "event": self.event,
            "label": self.label,
            "operator": {"id": self.operator, "method": "badge"},
            "boot_id": self.boot_id,
            "monotonic_ms": self.monotonic_ms,
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
        self.count = 0
        self.stopped_by: str | None = None
        for at, record in enumerate(journal.records):
            try:
                self._apply(strict_json.decode(record))
            except (EvidenceError, KeyError, TypeError, ValueError) as error:
                raise PressJournalWrong(at=at, why=f"{type(error).__name__}: {error}") from error
        self._length = len(journal.records)

    @property
    def unfinished(self) -> Press | None:
        """The press that is being worked on."""
        last = next(reversed(self._presses.values()), None)
        return last if last is not None and last.verdict is None else None

    @property
    def owed(self) -> tuple[Owed, ...]:
        """Refusals that the recorder has not taken yet, oldest first."""
        return tuple(self._owed.values())

    def find(self, press: str) -> Press | None:
        """The press, while it is remembered: the unfinished one and the last 256."""
        return self._presses.get(press)

    def open(self, draft: Draft) -> Press:
        """Make a press; it is durable on return. StillWorking while another one is unfinished."""
        if (last := self.unfinished) is not None:
            raise StillWorking(unfinished=last.press)
        press = Press(
            press=new_id(),
            order=draft.order,
            event=draft.event,
            label=draft.label,
            operator=draft.operator,
            boot_id=self._boot_id,
            monotonic_ms=self._monotonic_ms(),
        )
        self._write({"at": "press", "record": press.document(), "n": self.count + 1})
        return press

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
                press = _press(record["record"])
                if self.unfinished is not None or press.press in self._presses:
                    raise ValueError("a press while another one is unfinished, or twice")
                self._presses[press.press] = press
                self.count = int(record["n"])
                while len(self._presses) > KEEP_FINISHED + 1:
                    self._presses.popitem(last=False)
            case "finish":
                press = self._presses[record["press"]]
                if press.verdict is not None:
                    raise ValueError("a press finished twice")
                self._presses[press.press] = replace(press, verdict=str(record["verdict"]))
                if record["stop"]:
                    self.stopped_by = press.press
            case "restart":
                self.stopped_by = None
            case "owed":
                self._owed[record["press"]] = Owed(record["press"], record["operator"], record["refusal"])
                while len(self._owed) > MAX_OWED:
                    self._owed.popitem(last=False)
            case "paid":
                self._owed.pop(record["press"], None)
            case "stopped":
                self.stopped_by = record["press"]
            case other:
                raise ValueError(f"{other!r} is no kind of record")

    def _records(self) -> list[bytes]:
        """The shortest journal with the same meaning."""
        records: list[dict[str, object]] = []
        first = self.count - len(self._presses) + 1
        for n, press in enumerate(self._presses.values(), first):
            records.append({"at": "press", "record": press.document(), "n": n})
            if press.verdict is not None:
                records.append({"at": "finish", "press": press.press, "verdict": press.verdict, "stop": False})
        if self.stopped_by is not None:
            records.append({"at": "stopped", "press": self.stopped_by})
        records += [
            {"at": "owed", "press": owed.press, "operator": owed.operator, "refusal": owed.refusal}
            for owed in self._owed.values()
        ]
        return [strict_json.encode(record) for record in records]


def new_id() -> str:
    """32 hex digits that nobody used before."""
    return secrets.token_hex(16)


def _press(record: dict[str, object]) -> Press:
    operator = record["operator"]
    monotonic_ms = record["monotonic_ms"]
    if not isinstance(operator, dict) or not isinstance(monotonic_ms, int):
        raise TypeError("operator is an object, monotonic_ms an integer")
    return Press(
        press=str(record["press"]),
        order=str(record["order"]),
        event=str(record["event"]),
        label=None if record["label"] is None else str(record["label"]),
        operator=str(operator["id"]),
        boot_id=str(record["boot_id"]),
        monotonic_ms=monotonic_ms,
    )
