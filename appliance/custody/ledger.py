"""What the signer has put its name to, durably, before the signature leaves the process.

- One outcome for a press: the same observations get the same envelope again, others are refused.
- One history of the log: the last checkpoint signed; one history of the refusal journal: the last batch signed.
- How many passes of each order were signed, and the latest moment that is certainly past.
- Old envelopes are forgotten (the panel has finished their presses long before); counts and floors never are.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from appliance import durable
from appliance.custody.errors import PressSignedOtherwise, SignerStateDamaged
from appliance.evidence import strict_json
from appliance.evidence.errors import EvidenceError
from appliance.verify.site_times import format_time, parse_time

KEEP = 256
COMPACT_AT = 4096
_MAX_RECORD = 400_000


@dataclass(frozen=True)
class Signed:
    """A manifest that was signed. `counts`: it used up one unit of its order."""

    press: str
    observations: str
    envelope: str
    order: str | None
    counts: bool


@dataclass(frozen=True)
class Tree:
    """The last checkpoint: `root` in hex, `note` as it was handed out."""

    size: int
    root: str
    note: str


@dataclass(frozen=True)
class Batch:
    """The last batch of refusals: records `first` to `last`, from head `previous` to `head`."""

    first: int
    last: int
    previous: str
    head: str
    envelope: str


class Ledger:
    """The signer's journal and what follows from it. One process holds it; the caller serialises the calls that
    belong together, each verb with its own lock."""

    def __init__(self, journal: durable.Journal) -> None:
        """Reads the journal; SignerStateDamaged where a record is not one of ours."""
        self._journal = journal
        self._lock = threading.Lock()
        self._manifests: OrderedDict[str, Signed] = OrderedDict()
        self._counts: dict[str, int] = {}
        self.tree: Tree | None = None
        self.batch: Batch | None = None
        self.floor: datetime | None = None
        self._length = 0
        for at, record in enumerate(journal.records):
            try:
                self._apply(strict_json.decode(record, max_bytes=_MAX_RECORD))
            except (EvidenceError, KeyError, TypeError, ValueError) as error:
                raise SignerStateDamaged(at=at, why=f"{type(error).__name__}: {error}") from None
        self._length = len(journal.records)

    def signed(self, press: str, observations: str) -> str | None:
        """The envelope that was signed for a press; None where none was. Raises PressSignedOtherwise."""
        known = self._manifests.get(press)
        if known is None:
            return None
        if known.observations != observations:
            raise PressSignedOtherwise(press=press)
        return known.envelope

    def counted(self, order: str, *, without: str) -> int:
        """How many units of an order were signed as passed, one press left out."""
        mine = self._manifests.get(without)
        return self._counts.get(order, 0) - (mine is not None and mine.counts and mine.order == order)

    def add_manifest(self, signed: Signed, earliest: datetime) -> None:
        if signed.press in self._manifests:
            raise ValueError("a press was signed twice")
        self._write({"at": "manifest", **vars(signed), "earliest": format_time(earliest)})

    def add_tree(self, tree: Tree) -> None:
        self._write({"at": "tree", **vars(tree)})

    def add_batch(self, batch: Batch, earliest: datetime) -> None:
        self._write({"at": "batch", **vars(batch), "earliest": format_time(earliest)})

    def close(self) -> None:
        self._journal.close()

    def _write(self, record: dict[str, Any]) -> None:
        with self._lock:
            self._journal.append(strict_json.encode(record))
            self._apply(record)
            self._length += 1
            if self._length >= COMPACT_AT:
                kept = self._records()
                self._journal.rewrite([strict_json.encode(one) for one in kept])
                self._length = len(kept)

    def _apply(self, record: object) -> None:
        if not isinstance(record, Mapping):
            raise TypeError("a record is an object")
        fields = {name: value for name, value in record.items() if name not in {"at", "earliest"}}
        match record["at"]:
            case "manifest":
                signed = Signed(**fields)
                if signed.press in self._manifests:
                    raise ValueError("a press was signed twice")
                self._manifests[signed.press] = signed
                if signed.counts and signed.order is not None:
                    self._counts[signed.order] = self._counts.get(signed.order, 0) + 1
                while len(self._manifests) > KEEP:
                    self._manifests.popitem(last=False)
            case "tree":
                self.tree = Tree(**fields)
            case "batch":
                self.batch = Batch(**fields)
            case "counts":
                self._counts = {str(order): int(count) for order, count in fields["orders"].items()}
            case other:
                raise ValueError(f"{other!r} is no kind of record")
        if (earliest := record.get("earliest")) is not None:
            moment = parse_time(earliest)
            if moment is None:
                raise ValueError("not a time")
            self.floor = moment if self.floor is None else max(self.floor, moment)

    def _records(self) -> list[dict[str, Any]]:
        """The shortest journal with the same meaning: counts come last, for the manifests before them count, too."""
        floor = None if self.floor is None else format_time(self.floor)
        records: list[dict[str, Any]] = [{"at": "manifest", **vars(one)} for one in self._manifests.values()]
        if self.tree is not None:
            records.append({"at": "tree", **vars(self.tree)})
        if self.batch is not None:
            records.append({"at": "batch", **vars(self.batch)})
        return [*records, {"at": "counts", "orders": dict(self._counts), "earliest": floor}]
