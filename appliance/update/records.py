"""What outlives a slot: what was meant to be installed, what was kept, how low a station may go, what came of attempts.

- `intended.json` and `history.json` are the updater's (`/var/lib/proofline/update`). `committed.json` is root's
  (`/var/lib/proofline/slots`), written by the unit that commits a slot: the updater cannot lower its own floor.
- The floor only grows: with an image that was *found good*, never with one that was merely installed.
- Each file is replaced whole (`durable.write_atomic`): after a power cut it is the one before or the one after.
- A file that is there and cannot be read is named; it is never taken for "nothing was there".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from appliance import durable
from appliance.errors import ProoflineError
from appliance.evidence import strict_json
from appliance.evidence.errors import EvidenceError
from appliance.update.errors import SlotRecordDamaged
from appliance.update.update_errors import HistoryDamaged
from appliance.verify.site_images import Version, parse_version

NO_FLOOR = Version(0, 0, 0)
_KEPT = 64
_MAX_BYTES = 1 << 17

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Intended:
    """The image that the updater is having installed, for the root units that arm and commit its slot."""

    version: Version
    floor: Version
    verity: str


@dataclass(frozen=True, slots=True)
class Committed:
    """What was found good last, in which boot, and the floor since then."""

    boot_id: str
    slot: str
    version: Version
    verity: str
    floor: Version


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to install an image. `document`: digest of the image's approved document. `boot_id`: of the boot that
    made it. `outcome`: started, cut_off, refused, installed, kept, given_up. `code`: of the refusal, or empty."""

    version: Version
    document: str
    verity: str
    slot: str
    boot_id: str
    outcome: str
    code: str = ""


@dataclass(frozen=True, slots=True)
class History:
    """The last attempts, oldest first."""

    attempts: tuple[Attempt, ...] = ()

    def last(self) -> Attempt | None:
        return self.attempts[-1] if self.attempts else None

    def add(self, attempt: Attempt) -> History:
        """With one more attempt; the oldest that is no give-up goes when there are too many."""
        attempts = [*self.attempts, attempt]
        if len(attempts) > _KEPT:
            oldest = next((one for one in attempts if one.outcome != "given_up"), attempts[0])
            attempts.remove(oldest)
        return History(tuple(attempts))

    def close(self, outcome: str, code: str = "") -> History:
        """With an outcome for the last attempt."""
        return History((*self.attempts[:-1], replace(self.attempts[-1], outcome=outcome, code=code)))

    def given_up(self, document: str) -> Attempt | None:
        """The attempt in which this very document's image was given up."""
        return next((one for one in self.attempts if one.document == document and one.outcome == "given_up"), None)


def raised(before: Committed | None, now: Committed, intended: Intended | None) -> Committed:
    """What is committed now, with a floor that is no lower than any before; the image's own floor where this image is
    the one that was installed."""
    floors = [NO_FLOOR if before is None else before.floor]
    if intended is not None and intended.verity == now.verity:
        floors.append(intended.floor)
    return replace(now, floor=max(floors))


def load_intended(folder: Path) -> Intended | None:
    return _load(folder / "intended.json", lambda value: Intended(**_typed(value, Intended)), SlotRecordDamaged)


def load_committed(folder: Path) -> Committed | None:
    return _load(folder / "committed.json", lambda value: Committed(**_typed(value, Committed)), SlotRecordDamaged)


def load_history(folder: Path) -> History:
    def parse(value: dict[str, Any]) -> History:
        if value.keys() != {"attempts"}:
            raise ValueError("not its fields")
        return History(tuple(Attempt(**_typed(one, Attempt)) for one in value["attempts"]))

    return _load(folder / "history.json", parse, HistoryDamaged) or History()


def save_intended(folder: Path, intended: Intended) -> None:
    _save(folder / "intended.json", _plain(intended))


def save_committed(folder: Path, committed: Committed) -> None:
    _save(folder / "committed.json", _plain(committed))


def save_history(folder: Path, history: History) -> None:
    _save(folder / "history.json", {"attempts": [_plain(one) for one in history.attempts]})


def _plain(record: Intended | Committed | Attempt) -> dict[str, object]:
    return {name: str(value) if isinstance(value, Version) else value for name, value in asdict(record).items()}


def _typed(value: dict[str, Any], kind: type[Intended | Committed | Attempt]) -> dict[str, Any]:
    """The fields of a record, as its class has them. ValueError."""
    found = dict(value)
    if found.keys() != {one.name for one in fields(kind)} or not all(isinstance(one, str) for one in found.values()):
        raise ValueError("not its fields")
    for name in found.keys() & {"version", "floor"}:
        found[name] = parse_version(found[name])
        if found[name] is None:
            raise ValueError(f"{name} is no version")
    return found


def _load(path: Path, parse: Callable[[dict[str, Any]], _T], damaged: type[ProoflineError]) -> _T | None:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise damaged(path=path.name, why=error.strerror or "error") from None
    try:
        value = strict_json.decode(data, max_bytes=_MAX_BYTES)
        if not isinstance(value, dict) or value.pop("schema", None) != 1:
            raise ValueError("not of schema 1")
        return parse(value)
    except (EvidenceError, ValueError, TypeError, AttributeError) as error:
        raise damaged(path=path.name, why=str(error)[:200]) from None


def _save(path: Path, value: dict[str, object]) -> None:
    durable.write_atomic(path, strict_json.encode({"schema": 1, **value}), 0o644)
