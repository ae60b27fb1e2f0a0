"""The signer's verbs: each gathers its own sources, checks, composes, signs, remembers, and only then answers.

- Nobody hands bytes in to be signed. What is signed is composed here from what panel, recorder, clock, the verified
  site and the station itself say; of the line's words only its observations are used.
- The signature leaves after it is durably on record. After a crash the same question gets
  the same bytes.
- A closed gate or a contradiction is a refusal by name; nothing was signed then.

Signing a manifest asks the recorder, and the recorder has checkpoints signed while it works: the two verbs share no
lock, and signing a checkpoint asks nobody.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from appliance.custody import compose, gates
from appliance.custody.compose import Work
from appliance.custody.custodian import Custodian
from appliance.custody.errors import (
    CheckpointForked,
    CheckpointShrunk,
    HashMalformed,
    IdentityNotAllowed,
    JournalContradicted,
    JournalDiscontinued,
    PressFinished,
    PressUnknown,
)
from appliance.custody.ledger import Batch, Ledger, Signed, Tree
from appliance.custody.policy import ED25519
from appliance.custody.sources import History, Observations, Press, Reservation, Tally, Time
from appliance.custody.token import Key, Token
from appliance.errors import ProoflineError
from appliance.evidence import base64_strict, checkpoint, envelope, merkle, note, statement, strict_json
from appliance.evidence.errors import EvidenceError
from appliance.intake.staged import StagedSite
from appliance.ipc import Caller
from appliance.station import Site, StationError, StationFacts
from appliance.target.boards import profile_for
from appliance.target.errors import UnknownPart
from appliance.verify.site import SiteTrust
from appliance.verify.site_errors import TargetUnknown
from appliance.verify.site_stations import Station
from appliance.verify.site_times import Interval

ACCESS: dict[str, frozenset[str]] = {
    "Gates": frozenset({"line", "panel", "recorder", "ops"}),
    "SignManifest": frozenset({"line"}),
    "SignRefusals": frozenset({"recorder"}),
    "SignCheckpoint": frozenset({"recorder"}),
    "IssueDeviceCertificate": frozenset({"line"}),
    "Describe": frozenset({"line", "panel", "recorder", "export", "health", "ops"}),
}
_SPKI_ED25519_HEADER = 12


class Peer(Protocol):
    """Another service, as `appliance.ipc.Client` presents it."""

    def call(self, verb: str, /, **parameters: object) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Ground:
    """What must be so before anything is signed. `floors` are above `at` already."""

    token: Token
    trust: SiteTrust
    station: Station
    time: Time
    at: Interval


@dataclass(frozen=True)
class Case:
    """One press and everything the signer found out about it."""

    press: Press
    work: Work
    reservation: Reservation | None
    permits: tuple[ProoflineError, ...]


class Signer:
    """Implements io.proofline.signer. Threads may share it."""

    def __init__(
        self,
        *,
        custodian: Custodian,
        ledger: Ledger,
        staged: StagedSite,
        earlier: Callable[[], Iterable[SiteTrust]],
        site: Site | StationError,
        facts: StationFacts,
        panel: Peer,
        recorder: Peer,
        clock: Peer,
    ) -> None:
        self._custodian = custodian
        self._ledger = ledger
        self._staged = staged
        self._earlier = earlier
        self._here = site
        self._facts = facts
        self._panel, self._recorder, self._clock = panel, recorder, clock
        self._manifests = threading.Lock()
        self._trees = threading.Lock()
        self._batches = threading.Lock()

    @property
    def _site(self) -> Site:
        """The site that this station was set up for; NotEnrolled or SiteUnreadable where there is none."""
        if isinstance(self._here, StationError):
            raise self._here.with_traceback(None)  # one object for all calls: it must not collect their frames
        return self._here

    def gates(self, _caller: Caller, press: str | None) -> dict[str, Any]:
        """What is closed, the first to be mended first; `signing` tells whether a refusal could be signed."""
        closed: list[ProoflineError] = []
        ground = self._ground(closed)
        signing = not closed
        if press is not None:
            try:
                case = self._case(press, ground, closed)
                signing = signing and not closed
                closed.extend(case.permits)
            except ProoflineError as refusal:
                signing = False
                closed.append(refusal)
        elif ground is not None:
            closed.extend(gates.site(ground.trust, ground.at))
        return {"open": not closed, "signing": signing, "closed": [refusal.as_record() for refusal in closed]}

    def sign_manifest(self, _caller: Caller, press: str, observations: dict[str, Any]) -> dict[str, Any]:
        """The envelope of one press's manifest; the same again for the same observations."""
        seen = Observations.of(observations)
        with self._manifests:
            known = self._ledger.signed(press, seen.digest)
            if known is not None:
                return {"envelope": known}
            closed: list[ProoflineError] = []
            ground = self._ground(closed)
            if ground is None:
                raise closed[0]
            case = self._case(press, ground, closed)
            if closed:
                raise closed[0]
            trust, work = self._stands_for(seen, case, ground.trust)
            compose.check(case.press, seen, work, case.reservation)
            if seen.verdict == "pass" and case.permits:
                raise case.permits[0]
            payload = compose.manifest(
                case.press,
                seen,
                work=work,
                trust=trust,
                station=self._station(ground.token),
                time=ground.time,
                at=self._above_build(ground.at, work),
                reservation=case.reservation,
                history=self._history(seen, case.reservation),
            )
            document = self._sign(ground.token, payload)
            counts = seen.verdict == "pass" and case.press.event == "provision"
            self._ledger.add_manifest(
                Signed(press, seen.digest, document, case.press.order, counts), ground.at.earliest
            )
        return {"envelope": document}

    def sign_refusals(
        self, _caller: Caller, first: int, previous: str, head: str, records: list[str]
    ) -> dict[str, Any]:
        """The envelope of a batch that continues the last one, or of the last one again, or of that and more."""
        parsed = [_record(text, head) for text in records]
        if not parsed:
            raise JournalContradicted(head=head, why="there are no records")
        with self._batches:
            last = self._ledger.batch
            if last is not None and (last.first, last.previous, last.head) == (first, previous, head):
                return {"envelope": last.envelope}
            _check_continues(last, first, previous, parsed)
            closed: list[ProoflineError] = []
            ground = self._ground(closed)
            if ground is None or closed:
                raise closed[0]
            try:
                payload = compose.refusals(
                    parsed,
                    first,
                    previous,
                    head,
                    station=self._station(ground.token),
                    time=ground.time,
                    at=ground.at,
                )
            except EvidenceError as error:
                raise JournalContradicted(head=head, why=str(error)) from None
            document = self._sign(ground.token, payload)
            batch = Batch(first, first + len(parsed) - 1, previous, head, document)
            self._ledger.add_batch(batch, ground.at.earliest)
        return {"envelope": document}

    def sign_checkpoint(self, _caller: Caller, size: int, root: str, consistency: list[str]) -> dict[str, Any]:
        """The signed checkpoint of a tree that continues the last one signed; the same again for the same tree."""
        new_root = _hash(root, "the root")
        proof = [_hash(text, f"consistency proof hash {at}") for at, text in enumerate(consistency)]
        site = self._site
        token = self._custodian.token()
        key = token.keys["checkpoint"]
        station = gates.station_of(self._staged.current(), site.station, site.site)
        if closed := gates.enrolment(station, {"checkpoint": key.public}, None):
            raise closed[0]
        with self._trees:
            last = self._ledger.tree
            if last is not None and (last.size, last.root) == (size, new_root.hex()) and not proof:
                return {"checkpoint": last.note}
            _check_grows(last, size, new_root, proof)
            text = checkpoint.encode_body(checkpoint.Checkpoint(station.origin, size, new_root))
            signature = token.sign("checkpoint", text.encode())
            line = note.NoteSignature(station.origin, note_key_id(station.origin, key), signature)
            document = note.encode(note.Note(text, (line,))).decode()
            self._ledger.add_tree(Tree(size, new_root.hex(), document))
        return {"checkpoint": document}

    def issue_device_certificate(self, _caller: Caller, press: str, public: str) -> dict[str, Any]:
        """Refused: no profile of this version gives units an identity."""
        del public
        raise IdentityNotAllowed(press=press)

    def describe(self, _caller: Caller) -> dict[str, Any]:
        """The station's keys, what was last signed, and how much."""
        keys: list[dict[str, str]] = []
        origin, enrolled = "", False
        signatures = 0
        try:
            token = self._custodian.token()
            keys = [_describe(token, key) for key in token.keys.values()]
            signatures = token.signatures
            station = gates.station_of(self._staged.current(), self._site.station, self._site.site)
            origin = station.origin
            enrolled = not gates.enrolment(station, {key.purpose: key.public for key in token.keys.values()}, None)
        except ProoflineError:
            pass  # what is missing shows as empty here; Gates says why
        tree = self._ledger.tree
        return {
            "station": self._here.station if isinstance(self._here, Site) else "",
            "origin": origin,
            "enrolled": enrolled,
            "keys": keys,
            "last_size": tree.size if tree else 0,
            "last_root": base64_strict.encode(bytes.fromhex(tree.root)) if tree else None,
            "signatures": signatures,
        }

    def _ground(self, closed: list[ProoflineError]) -> Ground | None:
        """What every signature stands on; None with the reasons in `closed` where something is missing."""
        if isinstance(self._here, StationError):
            closed.append(self._here)  # what else is missing is no news: token and clock come with enrolment
            return None
        token: Token | None = None
        trust: SiteTrust | None = None
        station: Station | None = None
        time: Time | None = None
        try:
            token = self._custodian.token()
        except ProoflineError as refusal:
            closed.append(refusal)
        try:
            time = Time.of(self._clock.call("Read")["verdict"])
        except ProoflineError as refusal:
            closed.append(refusal)
        try:
            trust = self._staged.current()
            station = gates.station_of(trust, self._site.station, self._site.site)
            if token is not None:
                keys = {purpose: key.public for purpose, key in token.keys.items()}
                closed.extend(gates.enrolment(station, keys, None if time is None else time.at))
            if time is not None:
                closed.extend(gates.clock(time, trust.settings(station.id), self._floors()))
        except ProoflineError as refusal:
            closed.append(refusal)
        if closed or token is None or trust is None or station is None or time is None:
            return None
        return Ground(token, trust, station, time, gates.lifted(time.at, self._floors()))

    def _case(self, press_id: str, ground: Ground | None, closed: list[ProoflineError]) -> Case:
        """The press, what it stands for, what keeps it from a pass; signing gates that depend on it go to `closed`."""
        reply = self._panel.call("DescribePress", press=press_id).get("press")
        if reply is None or reply["press"] != press_id:
            raise PressUnknown(press=press_id)
        press = Press.of(reply)
        if press.finished:
            raise PressFinished(press=press_id)
        found = self._recorder.call("DescribeReservation", press=press_id).get("reservation")
        reservation = None if found is None else Reservation.of(found)
        if ground is None:
            return Case(press, Work(None, None, None, None), reservation, ())
        permits: list[ProoflineError] = gates.site(ground.trust, ground.at)
        work = _work(ground.trust, press, permits)
        if work.release is not None:
            settings = ground.trust.settings(ground.station.id)
            closed.extend(gates.clock(ground.time, settings, [gates.built_floor(work.release)]))
        if work.order is not None and work.profile is not None:
            permits.extend(gates.order(press, work.order, work.profile, ground.station, ground.at))
            permits.extend(gates.quantity(press, work.order, self._tally(press, work.order.id, reservation)))
        try:
            permits.extend(gates.operator(press, ground.trust.roster(), ground.at))
        except TargetUnknown as refusal:
            permits.append(refusal)
        return Case(press, work, reservation, tuple(permits))

    def _stands_for(self, seen: Observations, case: Case, trust: SiteTrust) -> tuple[SiteTrust, Work]:
        """The site and the work that the document names: today's; or, for a unit that was reserved under an order
        which has been withdrawn since and cannot pass any more, those under which it was begun."""
        if case.reservation is None or seen.verdict in {"pass", "refused"} or case.work.release is not None:
            return trust, case.work
        for before in self._earlier():
            work = _work(before, case.press, [])
            if work.release is not None:
                return before, work
        return trust, case.work

    def _tally(self, press: Press, order: str, reservation: Reservation | None) -> Tally:
        reply = self._recorder.call("DescribeOrder", order=order)
        own = reservation is not None and reservation.open and reservation.order == order
        return Tally(reply["passed"], reply["open"] - own, self._ledger.counted(order, without=press.press))

    def _history(self, seen: Observations, reservation: Reservation | None) -> History | None:
        if reservation is not None or seen.device is None:
            return None
        device = {"part": seen.device["part"], "uid": seen.device["uid"]}
        reply = self._recorder.call("DescribeDevice", device=device)
        return History(reply["sequence"], reply["previous"])

    def _floors(self) -> list[tuple[datetime, str]]:
        floor = self._ledger.floor
        return [] if floor is None else [(floor, "something was signed then")]

    def _above_build(self, at: Interval, work: Work) -> Interval:
        return at if work.release is None else gates.lifted(at, [gates.built_floor(work.release)])

    def _station(self, token: Token) -> compose.Station:
        key = token.keys["manifest"]
        line = {
            "purpose": key.purpose,
            "token_model": token.model,
            "token_serial": token.serial,
            "cka_id": key.id.hex(),
            "policy": "satisfied",
        }
        return compose.Station(self._site, self._facts, line)

    def _sign(self, token: Token, payload: bytes) -> str:
        key = token.keys["manifest"]
        signature = token.sign("manifest", envelope.pae(statement.STATEMENT_PAYLOAD, payload))
        signed = envelope.Envelope(statement.STATEMENT_PAYLOAD, payload, (envelope.Signature(signature, key.digest),))
        return envelope.encode(signed).decode()


def note_key_id(origin: str, key: Key) -> bytes:
    """The key id by which a checkpoint's signature line names a key (C2SP signed-note)."""
    if key.algorithm == ED25519:
        return note.key_id(origin, note.ED25519, key.public[_SPKI_ED25519_HEADER:])
    return note.key_id(origin, note.ECDSA, key.public)


def _work(trust: SiteTrust, press: Press, permits: list[ProoflineError]) -> Work:
    """What an order stands for; what is not approved is None and goes to `permits`."""
    try:
        order = trust.order(press.order)
    except TargetUnknown as refusal:
        permits.append(refusal)
        return Work(None, None, None, None)
    try:
        release = trust.release(order.sku, order.version)
        profile = trust.profile(order.sku)
        return Work(order, release, profile, profile_for(profile.part))
    except (TargetUnknown, UnknownPart) as refusal:
        permits.append(refusal)
        return Work(order, None, None, None)


def _record(text: str, head: str) -> dict[str, Any]:
    try:
        value = strict_json.decode_canonical(text.encode("utf-8", "surrogatepass"))
    except EvidenceError as error:
        raise JournalContradicted(head=head, why=str(error)) from None
    if not isinstance(value, dict):
        raise JournalContradicted(head=head, why="a record is not an object")
    return value


def _check_continues(last: Batch | None, first: int, previous: str, records: list[dict[str, Any]]) -> None:
    """A batch follows the last one, or is the last one with more records behind it (it was never appended)."""
    following = (0, statement.FIRST_HEAD) if last is None else (last.last + 1, last.head)
    if (first, previous) == following:
        return
    if last is not None and (first, previous) == (last.first, last.previous):
        old = records[: last.last - last.first + 1]
        if len(old) < len(records) and statement.chain(previous, old) == last.head:
            return
    expected_first, expected = following
    raise JournalDiscontinued(first=first, previous=previous, expected_first=expected_first, expected=expected)


def _check_grows(last: Tree | None, size: int, root: bytes, proof: list[bytes]) -> None:
    old_size, old_root = (0, merkle.EMPTY_ROOT) if last is None else (last.size, bytes.fromhex(last.root))
    if size < old_size:
        raise CheckpointShrunk(size=size, last=old_size)
    try:
        merkle.check_consistency(old_size, old_root, size, root, proof)
    except EvidenceError as error:
        raise CheckpointForked(size=size, last=old_size, why=str(error)) from None


def _hash(text: str, where: str) -> bytes:
    found = checkpoint.hash_of(text)
    if found is None:
        raise HashMalformed(where=where)
    return found


def _describe(token: Token, key: Key) -> dict[str, str]:
    return {
        "purpose": key.purpose,
        "algorithm": key.algorithm,
        "public": base64_strict.encode(key.public),
        "token_model": token.model,
        "token_serial": token.serial,
        "cka_id": key.id.hex(),
        "policy": "satisfied",
    }
