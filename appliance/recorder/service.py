"""The recorder's door: `io.proofline.recorder`, verb by verb.

- What a verb decides it decides on the log as it is staged, under the log's own lock; what it *tells* others it tells
  of durable entries only, and an outcome only once a checkpoint covers it.
- Reserve returns when the reservation is durable, Append when the manifest is durable, covered and published.
- A call that is repeated with the same content gets the same answer; with other content it is refused.
- A press has one end: a refusal of a press whose manifest is in the log is not journalled as well (whoever made it may
  have lost the answer to Append).
- Nothing here needs the signer to start, to reserve or to journal a refusal.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event, Lock
from time import monotonic
from typing import Any

from appliance import durable, station
from appliance.errors import ProoflineError
from appliance.evidence import base64_strict, statement
from appliance.evidence.envelope import Envelope, encode
from appliance.ipc import Caller, Client
from appliance.recorder import facts, rules
from appliance.recorder.entrylog import EntryLog, Staged
from appliance.recorder.errors import (
    LogBehindSigner,
    LogDamaged,
    LogForked,
    LogFull,
    LogSpaceLow,
    NotAManifest,
    PressHasManifest,
    RefusalBatchWrong,
    RefusalJournalFull,
    RefusalMissing,
)
from appliance.recorder.facts import Concluded, Device, Fact, Reserved
from appliance.recorder.peers import OwnSite, Peer, SignerLink, check_signature, press_digest, press_record
from appliance.recorder.refusals import LIMIT, Pending, RefusalJournal
from appliance.recorder.registry import Registry
from appliance.recorder.summaries import Summaries

log = logging.getLogger("proofline.recorder")

_EVERYBODY = frozenset(
    {"clock", "signer", "recorder", "line", "panel", "intake", "export", "usbgate", "health", "update", "ops"}
)
ACCESS: dict[str, frozenset[str]] = {
    "Gates": frozenset({"line", "panel"}),
    "Reserve": frozenset({"line"}),
    "Append": frozenset({"line"}),
    "JournalRefusal": frozenset({"line", "panel", "intake", "update"}),
    "CommitRefusals": frozenset({"line"}),
    "DescribeReservation": frozenset({"signer", "line", "panel"}),
    "DescribeOrder": frozenset({"signer", "line", "panel"}),
    "DescribeDevice": frozenset({"signer", "line", "panel"}),
    "PressOutcome": frozenset({"ops", "panel", "line"}),
    "Describe": _EVERYBODY,
}

SPACE_KIB = 16 * 1024
"""What is kept free for concluding units that are under way."""

_JOURNAL_ROOM = 64
_COMMIT_EVERY_S = 1.0


class Recorder:
    """The implementation behind the interface; threads of the IPC server call it."""

    def __init__(
        self,
        state: Path,
        published: Path,
        site: OwnSite,
        signer: Peer,
        panel: Peer,
        *,
        boot_id: str,
        space_kib: int = SPACE_KIB,
    ) -> None:
        self._site, self._signer, self._panel = site, signer, panel
        self._boot_id = boot_id
        self._space_kib = space_kib
        self._summaries = Summaries(state / "summaries")
        self.registry = Registry()
        self._last_signed = -1
        self.log = EntryLog(state, published, SignerLink(signer, site), visit=self._visit)
        self._refusals = RefusalJournal(state / "refusals.journal", self.registry.committed)
        self._journalled = set(self._refusals.presses())
        self._committing = Lock()
        self._next_commit = 0.0
        self._signer_seen = False
        self.log.want(self._last_signed + 1)  # a crash may have come between an entry and its checkpoint

    def close(self) -> None:
        """Let go of the files."""
        self._refusals.close()
        self.log.close()

    def keep(self, stop: Event) -> None:
        """What goes on beside the calls: late checkpoints, publishing, refusals to commit. Until `stop`."""
        self.log.keep(stop, chores=self._chores)

    # -- gates -----------------------------------------------------------------------------------------------------

    def gates(self, _caller: Caller, press: str | None) -> dict[str, Any]:
        checks: list[Callable[[], None]] = [self._check_storage, self._check_signed, self._check_journal]
        checks += [self._check_backlog, lambda: self._check_press(press)]
        closed: list[dict[str, Any]] = []
        for check in checks:
            try:
                check()
            except ProoflineError as refusal:
                closed.append(refusal.as_record())
        return {"open": not closed, "closed": closed}

    def _check_storage(self) -> None:
        fault = self.log.write_fault or self.log.publish_fault
        if fault is not None:
            raise fault
        free = self.log.free_bytes() // 1024
        if free < self._space_kib:
            raise LogSpaceLow(free_kib=free, limit_kib=self._space_kib, which="log's storage")

    def _check_signed(self) -> None:
        fault = self.log.cover_fault
        if isinstance(fault, LogBehindSigner | LogForked):
            raise fault

    def _check_journal(self) -> None:
        if self._refusals.waiting > LIMIT - _JOURNAL_ROOM:
            raise RefusalJournalFull(waiting=self._refusals.waiting, limit=LIMIT)

    def _check_backlog(self) -> None:
        self._site.station()
        limit = self._site.limit()
        if self.log.size >= limit:
            raise LogFull(waiting=self.log.size, limit=limit)

    def _check_press(self, press: str | None) -> None:
        if press is None:
            return
        record = rules.read_press(press, press_record(self._panel, press))
        trust, own = self._site.trust(), self._site.station()
        with self.log.deciding():
            state = self.registry.press(press)
            if state.reserved is not None:
                return  # what it needs of the order is its own already
            rules.check_unused(self.registry, press)
            job = rules.job_of(trust, own, record.order)
            if record.event == "provision":
                rules.check_quantity(self.registry, job.order)

    # -- reserving -------------------------------------------------------------------------------------------------

    def reserve(self, _caller: Caller, press: str, device: dict[str, Any]) -> dict[str, Any]:
        wanted: Device = (device["part"], device["uid"])
        record = rules.read_press(press, press_record(self._panel, press))
        trust, own = self._site.trust(), self._site.station()
        with self.log.deciding():
            state = self.registry.press(press)
            if state.reserved is None or state.reserved.device != wanted:
                self._check_storage()
                self._check_signed()
                self._check_backlog()
                job = rules.job_of(trust, own, record.order)
                rules.check_unused(self.registry, press)
                label = rules.reserve(self.registry, trust, job, record, wanted)
                self._stage(self._reservation(record, wanted, label))
                state = self.registry.press(press)
        index, reserved = state.reservation, state.reserved
        assert index is not None
        assert reserved is not None
        self.log.wait_durable(index)
        return {"reservation": _describe(index, reserved, is_open=True)}

    def _reservation(self, press: rules.Press, device: Device, label: str) -> bytes:
        state = self.registry.device(device)
        payload = statement.build_reservation(
            {
                "schema": 1,
                "station": self._site.station_id,
                "press": press.press,
                "order": press.order,
                "event": press.event,
                "sequence": state.sequence,
                "previous": state.previous,
                "device": {"part": device[0], "uid": device[1]},
                "label": label,
                "boot_id": self._boot_id,
                "monotonic_ms": station.monotonic_ms(),
            }
        )
        return encode(Envelope(statement.RESERVATION_PAYLOAD, payload, ()))

    # -- appending -------------------------------------------------------------------------------------------------

    def append(self, _caller: Caller, envelope: str) -> dict[str, Any]:
        entry = envelope.encode()
        found = check_signature(self._site, entry)
        if not isinstance(found, statement.Manifest):
            raise NotAManifest(why="it is a batch of refusals")
        fact = facts.concluded(found, facts.digest_of(entry))
        with self.log.deciding():
            state = self.registry.press(fact.press)
            if state.digest != fact.digest:
                rules.check_manifest(self.registry, self._site.station_id, fact)
                self._stage(entry, fact)
                state = self.registry.press(fact.press)
        index = state.manifest
        assert index is not None
        self.log.wait_durable(index)
        self.log.cover(index)
        self.log.show(index)
        done = self.log.appended(index)
        return {"index": index, "size": done.size, "proof": done.proof.decode(), "digest": fact.digest}

    # -- refusals --------------------------------------------------------------------------------------------------

    def journal_refusal(
        self, caller: Caller, kind: str, press: str | None, operator: str | None, refusal: dict[str, Any] | None
    ) -> dict[str, Any]:
        if kind == "refusal" and refusal is None:
            raise RefusalMissing
        if kind == "refusal" and press is not None:
            self._check_without_manifest(press)
        # The panel waits for this answer: it is not asked back for a press it may be in the middle of.
        digest = None if caller.role == "panel" else press_digest(self._panel, press)
        record = {
            "kind": kind.replace("_", "-"),
            "press": press,
            "press_digest": digest,
            "operator": operator,
            "code": None if refusal is None else refusal["code"],
            "engineer": "" if refusal is None else statement.sentence(refusal["engineer"]),
            "boot_id": self._boot_id,
            "monotonic_ms": station.monotonic_ms(),
        }
        number = self._refusals.add(record)
        if press is not None:
            self._journalled.add(press)
        return {"n": number}

    def _check_without_manifest(self, press: str) -> None:
        with self.log.deciding():
            index = self.registry.press(press).manifest
        if index is not None:
            self.log.wait_durable(index)
            raise PressHasManifest(press=press, index=index)

    def commit_refusals(self, _caller: Caller) -> dict[str, Any]:
        return {"count": self._commit()}

    def _commit(self) -> int:
        count = 0
        with self._committing:
            # A batch that is in the log but could not be forgotten is not signed again.
            while (pending := self._refusals.next_batch()) is not None:
                count += self._commit_batch(pending)
        return count

    def _commit_batch(self, pending: Pending) -> int:
        reply = self._signer.call(
            "SignRefusals",
            first=pending.first,
            previous=pending.previous,
            head=pending.head,
            records=[one.decode() for one in pending.records],
        )
        entry = str(reply["envelope"]).encode()
        found = check_signature(self._site, entry)
        if not isinstance(found, statement.Refusals):
            raise RefusalBatchWrong(why="it is a manifest")
        fact = facts.batch(found, facts.digest_of(entry))
        asked = (pending.first, pending.last, pending.previous, pending.head, self._site.station_id)
        if (fact.first, fact.last, fact.previous, fact.head, fact.station) != asked:
            raise RefusalBatchWrong(why=f"it holds records {fact.first} to {fact.last}, or another chain")
        with self.log.deciding():
            if self.registry.committed.count != pending.first:
                raise RefusalBatchWrong(why=f"the log has {self.registry.committed.count} records already")
            staged = self._stage(entry, fact)
        self.log.settle(staged)
        self._refusals.forget(self.registry.committed)
        self.log.cover(staged.index)
        return len(pending.records)

    # -- telling ---------------------------------------------------------------------------------------------------

    def describe_reservation(self, _caller: Caller, press: str) -> dict[str, Any]:
        with self.log.deciding():
            state, size = self.registry.press(press), self.log.size
        if state.reservation is None or state.reservation >= size:
            return {"reservation": None}
        reserved = state.reserved or facts.read(self.log.entry(state.reservation))
        assert isinstance(reserved, Reserved)
        is_open = state.manifest is None or state.manifest >= size
        return {"reservation": _describe(state.reservation, reserved, is_open=is_open)}

    def describe_order(self, _caller: Caller, order: str) -> dict[str, Any]:
        with self.log.deciding():
            used = self.registry.order(order)
        return {"passed": used.passed, "open": used.open}

    def describe_device(self, _caller: Caller, device: dict[str, Any]) -> dict[str, Any]:
        known_as: Device = (device["part"], device["uid"])
        with self.log.deciding():
            known, state = known_as in self.registry.devices, self.registry.device(known_as)
        return {
            "known": known,
            "sequence": state.sequence,
            "previous": state.previous,
            "label": state.label,
            "verdict": state.verdict,
        }

    def press_outcome(self, _caller: Caller, press: str) -> dict[str, Any]:
        with self.log.deciding():
            state = self.registry.press(press)
            journalled = press in self._journalled or press in self.registry.journalled
        if state.manifest is None or state.manifest >= self.log.covered:
            return {"journalled": journalled}
        return {
            "verdict": state.verdict,
            "code": state.code,
            "index": state.manifest,
            "digest": state.digest,
            "label": state.label,
            "journalled": journalled,
        }

    def describe(self, _caller: Caller) -> dict[str, Any]:
        try:
            origin = self._site.station().origin
        except ProoflineError:
            origin = ""
        with self.log.deciding():
            size, root = self.log.size, self.log.root
        return {
            "origin": origin,
            "size": size,
            "root": base64_strict.encode(root),
            "checkpointed": self.log.covered,
            "journal": self._refusals.count,
            "journal_committed": self.registry.committed.count,
            "units": len(self.registry.devices),
        }

    # -- inside ----------------------------------------------------------------------------------------------------

    def _stage(self, entry: bytes, fact: Fact | None = None) -> Staged:
        """Put an entry in line and the registry on its new state, both or neither. Called while deciding."""
        fact = facts.read(entry) if fact is None else fact
        index = self.log.next_index
        press = fact.press if isinstance(fact, Concluded) else None
        undo = self.registry.apply(index, fact)
        return self.log.stage(entry, press=press, undo=undo, covering=not isinstance(fact, Reserved))

    def _visit(self, first: int, entries: Sequence[bytes], subtree: bytes | None) -> list[str | None]:
        try:
            found = self._summaries.facts(first, entries, subtree)
        except ProoflineError as error:
            raise LogDamaged(path=f"entries {first} and after", why=str(error)) from error
        for index, fact in enumerate(found, first):
            self.registry.apply(index, fact)
            if not isinstance(fact, Reserved):
                self._last_signed = index
        return [fact.press if isinstance(fact, Concluded) else None for fact in found]

    def _chores(self) -> None:
        if not self._signer_seen:
            self.log.check_signed(*self.log.ask_signer())
            self._signer_seen = True
        if self._refusals.waiting and monotonic() >= self._next_commit:
            self._next_commit = monotonic() + _COMMIT_EVERY_S
            if self._signer.call("Gates")["signing"]:
                self._commit()


def open_recorder(surroundings: station.Surroundings) -> Recorder:
    """The recorder in its surroundings; refuses where the log cannot be trusted."""
    durable.make_dir(surroundings.state)
    site = station.find_site(surroundings.site)
    return Recorder(
        surroundings.state,
        surroundings.log,
        OwnSite(surroundings.staged, site),
        Client("signer", surroundings.run / "signer.sock"),
        Client("panel", surroundings.run / "panel.sock", timeout_s=5.0),
        boot_id=station.describe().boot_id,
    )


def _describe(index: int, reserved: Reserved, *, is_open: bool) -> dict[str, Any]:
    return {
        "index": index,
        "digest": reserved.digest,
        "press": reserved.press,
        "order": reserved.order,
        "event": reserved.event,
        "sequence": reserved.sequence,
        "previous": reserved.previous,
        "device": {"part": reserved.part, "uid": reserved.uid},
        "label": reserved.label,
        "open": is_open,
    }
