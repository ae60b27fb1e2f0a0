"""Judging a manifest by the site's word: whose signature, whose key, which station, which release, which log.

    verifier = Verifier(SiteTrust.verify(Directory(site), pinned_root), Policy(), now)
    unit = verifier.check_unit(manifest_file, proof_file)      # or a refusal that says why not
    unit.level, unit.index, unit.signed.notes                  # what was established, and what was not

- The only trust is `trust` (the site's chain from the pinned root) and in it only `stations.json`. What the evidence
  says of itself (station, origin, key id) merely chooses which of the site's keys has to hold.
- A manifest is a DSSE envelope of the in-toto payload type with our manifest predicate and exactly one signature, by a
  key whose purpose is `manifest`, listed for the station that the manifest names. A checkpoint key, another station's
  key or another payload type is refused by its own name.
- The station stands where the site says, trusts the root that this verification is anchored in, and is an appliance
  (unless the policy allows development stations).
- The key was valid for the manifest's whole clock interval. A revoked key's manifest counts only if its interval ends
  before the revocation *and* it is in the log under a checkpoint key that is not revoked: whoever stole a key can
  write any time into a manifest, but not into a log that has moved on.
- A checkpoint is signed by a key whose purpose is `checkpoint`, listed for the station whose origin it bears, not
  revoked, and not over before the entry was made.
- Where the site still lists the manifest's release, order, approvals and operator, they agree. What it no longer lists
  is reported as not checked, never assumed.
- A refusal's `outcome_of` tells "false" from "could not be decided" and from "bad input".

One object may judge any number of manifests: keys, releases and the last checkpoint are prepared once. It is not
thread-safe.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from appliance.evidence import checkpoint as checkpoints
from appliance.evidence import envelope as envelopes
from appliance.evidence import note, proof, statement
from appliance.evidence.errors import PredicateTypeWrong
from appliance.evidence.statement import Manifest, Refusals
from appliance.evidence.tables import MANIFEST_TYPE, REFUSALS_TYPE
from appliance.verify.errors import (
    AnchorForeign,
    CheckpointKeyOver,
    DevelopmentStation,
    KeyNotValidThen,
    KeyRevoked,
    LevelTooLow,
    NoKeyListed,
    NotPassed,
    OriginUnknown,
    PositionContradicted,
    SignatureCountWrong,
    SignatureFalse,
    SignatureOfWrongRole,
    SignatureOfWrongStation,
    SiteExpired,
    SiteOfStationWrong,
    StationUnknown,
)
from appliance.verify.keys import NoteKey, TrustedKey, trusted_keys
from appliance.verify.listed import Note, check_listed
from appliance.verify.policy import Level, Policy
from appliance.verify.site import SiteTrust
from appliance.verify.site_stations import Station
from appliance.verify.site_times import Interval, format_time

_PAYLOADS = frozenset({statement.STATEMENT_PAYLOAD})
_MAX_BLAMED = 64
_NO_IMAGE = ("image", "it is a development station: no image vouches for the programs that made this")


@dataclass(frozen=True, slots=True)
class Signed:
    """A manifest whose signature, key, station and references hold. `digest` is `sha256:` of the entry."""

    manifest: Manifest
    digest: str
    key: TrustedKey
    earliest: datetime
    latest: datetime
    notes: tuple[Note, ...]
    """What could not be compared with the site's word, and why."""


@dataclass(frozen=True, slots=True)
class SignedRefusals:
    """A batch of refusals whose signature, key and station hold."""

    refusals: Refusals
    digest: str
    key: TrustedKey
    earliest: datetime
    latest: datetime


@dataclass(frozen=True, slots=True)
class TrustedCheckpoint:
    """A checkpoint whose signature, origin and key hold; `strangers` counts lines of keys that the site does
    not name.
    """

    checkpoint: checkpoints.Checkpoint
    station: str
    key: TrustedKey
    strangers: int


@dataclass(frozen=True, slots=True)
class Unit:
    """A manifest and what could be established about it. `index` and `checkpoint` are None without a proof."""

    signed: Signed
    level: Level
    index: int | None
    checkpoint: TrustedCheckpoint | None


@dataclass(frozen=True, slots=True)
class _Keys:
    """A station as the verifier uses it."""

    station: Station
    manifest: tuple[TrustedKey, ...]
    checkpoint: tuple[NoteKey, ...]


class Verifier:
    """The judge. `now` bounds the present (for the site's expiry); None where nobody knows it."""

    def __init__(self, trust: SiteTrust, policy: Policy, now: Interval | None) -> None:
        self.trust = trust
        self.policy = policy
        self.expiry = trust.expiry(now)
        if self.expiry.status != "valid" and not policy.accept_expired:
            raise SiteExpired(roles=", ".join(self.expiry.roles), until=format_time(self.expiry.until))
        self._stations = trust.stations()
        self._keys: dict[str, _Keys] = {}
        self._last: tuple[bytes, TrustedCheckpoint] | None = None

    def check_manifest(self, entry: bytes, *, logged: bool = False) -> Signed:
        """The manifest in `entry` holds at level `signed`. `logged`: the caller has shown it to be in the log."""
        found = self.check_statement(entry, logged=logged)
        if not isinstance(found, Signed):
            raise PredicateTypeWrong(found=REFUSALS_TYPE, expected=MANIFEST_TYPE)
        return found

    def check_statement(self, entry: bytes, *, logged: bool = False) -> Signed | SignedRefusals:
        """The manifest or batch of refusals in `entry` holds at level `signed`."""
        envelope = envelopes.decode(entry, _PAYLOADS)
        found = statement.parse(envelope.payload)
        predicate = found.predicate
        keys = self._station(predicate["station"])
        clock = predicate["clock"]
        earliest, latest = datetime.fromisoformat(clock["earliest"]), datetime.fromisoformat(clock["latest"])
        key = _signer(envelope, keys, self._stations.stations)
        _check_key(key, earliest, latest, logged=logged)
        digest = f"sha256:{sha256(entry).hexdigest()}"
        if isinstance(found, Refusals):
            return SignedRefusals(found, digest, key, earliest, latest)
        notes = check_listed(self.trust, keys.station, predicate, Interval(earliest, latest))
        if predicate["station"]["kind"] == "development":
            notes += (_NO_IMAGE,)
        return Signed(found, digest, key, earliest, latest, notes)

    def check_checkpoint(self, document: bytes, origin: str) -> TrustedCheckpoint:
        """The checkpoint note of the log `origin` holds. The last one is remembered: a log's entries share it."""
        if self._last is not None and self._last[0] == document and self._last[1].checkpoint.origin == origin:
            return self._last[1]
        station = self._stations.by_origin(origin)
        if station is None:
            raise OriginUnknown(origin=origin)
        keys = self._prepare(station)
        found, signed = checkpoints.parse(document, origin)
        if not keys.checkpoint:
            raise NoKeyListed(purpose="checkpoint", station=station.id)
        held = note.verify(signed, keys.checkpoint)
        ids = {one.key_id for one in held}
        signers = [one.key for one in keys.checkpoint if one.key_id in ids]
        good = [one for one in signers if one.revoked_at is None]
        if not good:
            raise KeyRevoked(
                key=signers[0].digest,
                at=format_time(signers[0].revoked_at or signers[0].until),
                reason=signers[0].revoked_reason,
                why="a checkpoint says nothing of its own time, so none of this key's counts any more",
            )
        newest = max(good, key=lambda one: one.until)
        trusted = TrustedCheckpoint(found, station.id, newest, len(signed.signatures) - len(held))
        self._last = (document, trusted)
        return trusted

    def check_unit(self, entry: bytes, proof_document: bytes | None) -> Unit:
        """The manifest in `entry` holds at the level and with the verdict that the policy asks for."""
        unit = self.establish(entry, proof_document)
        self.demand(unit)
        return unit

    def establish(self, entry: bytes, proof_document: bytes | None) -> Unit:
        """The manifest in `entry` is genuine; whether that is enough, and good, is for `demand` to say."""
        signed = self.check_manifest(entry, logged=proof_document is not None)
        level, index, trusted = Level.SIGNED, None, None
        if proof_document is not None:
            origin = self._keys[signed.key.station].station.origin
            found = proof.parse(proof_document)
            trusted = self.check_checkpoint(found.checkpoint, origin)
            proof.check(found, entry, trusted.checkpoint)
            check_checkpoint_age(trusted.key, signed.earliest)
            reservation = signed.manifest.predicate["event"]["reservation"]
            if reservation is not None and reservation["index"] >= found.index:
                raise PositionContradicted(index=found.index, reservation=reservation["index"])
            level, index = Level.LOGGED, found.index
        return Unit(signed, level, index, trusted)

    def demand(self, unit: Unit) -> None:
        """Refuse a unit below the policy's level, or one that did not pass (where the policy asks for that)."""
        if unit.level < self.policy.minimum:
            raise LevelTooLow(found=unit.level.word, required=self.policy.minimum.word)
        event = unit.signed.manifest.predicate["event"]
        if self.policy.require_pass and event["verdict"] != "pass":
            refusal = event["refusal"]
            raise NotPassed(verdict=event["verdict"], code=refusal["code"], why=refusal["engineer"])

    def _station(self, claimed: Mapping[str, Any]) -> _Keys:
        keys = self._keys.get(claimed["id"])
        if keys is None:
            station = self._stations.station(claimed["id"])
            if station is None:
                raise StationUnknown(station=claimed["id"], version=self.trust.versions.targets)
            keys = self._prepare(station)
        if claimed["site"] != keys.station.site:
            raise SiteOfStationWrong(station=claimed["id"], found=claimed["site"], expected=keys.station.site)
        if claimed["anchor"] != self.trust.anchor:
            raise AnchorForeign(found=claimed["anchor"], expected=self.trust.anchor)
        if claimed["kind"] == "development" and not self.policy.allow_development:
            raise DevelopmentStation(station=claimed["id"])
        return keys

    def _prepare(self, station: Station) -> _Keys:
        keys = self._keys.get(station.id)
        if keys is None:
            checkpoint = tuple(NoteKey.of(station.origin, one) for one in trusted_keys(station, "checkpoint"))
            keys = self._keys[station.id] = _Keys(station, trusted_keys(station, "manifest"), checkpoint)
        return keys


def check_checkpoint_age(key: TrustedKey, earliest: datetime) -> None:
    """A checkpoint over an entry was made after it, so its key must not have ended before the entry began."""
    if earliest >= key.until:
        raise CheckpointKeyOver(key=key.digest, until=format_time(key.until), earliest=format_time(earliest))


def _signer(envelope: envelopes.Envelope, keys: _Keys, stations: tuple[Station, ...]) -> TrustedKey:
    """The station's manifest key that made the one signature; the key id only says which to try first."""
    if len(envelope.signatures) != 1:
        raise SignatureCountWrong(count=len(envelope.signatures))
    if not keys.manifest:
        raise NoKeyListed(purpose="manifest", station=keys.station.id)
    signature = envelope.signatures[0]
    message = envelopes.pae(envelope.payload_type, envelope.payload)
    for key in sorted(keys.manifest, key=lambda one: one.digest != signature.keyid):
        if key.public.verify(message, signature.sig):
            return key
    for role in keys.checkpoint:
        if role.verify(message, signature.sig):
            raise SignatureOfWrongRole(station=keys.station.id, purpose="checkpoint")
    others = [one for other in stations if other.id != keys.station.id for one in trusted_keys(other, "manifest")]
    for key in sorted(others, key=lambda one: one.digest != signature.keyid)[:_MAX_BLAMED]:
        if key.public.verify(message, signature.sig):
            raise SignatureOfWrongStation(station=keys.station.id, found=key.station)
    raise SignatureFalse(station=keys.station.id)


def _check_key(key: TrustedKey, earliest: datetime, latest: datetime, *, logged: bool) -> None:
    if not key.covers(earliest, latest):
        raise KeyNotValidThen(
            key=key.digest,
            since=format_time(key.since),
            until=format_time(key.until),
            earliest=format_time(earliest),
            latest=format_time(latest),
        )
    if key.revoked_at is None or (logged and latest < key.revoked_at):
        return
    raise KeyRevoked(
        key=key.digest,
        at=format_time(key.revoked_at),
        reason=key.revoked_reason,
        why="the manifest is not surely older"
        if latest >= key.revoked_at
        else "nothing shows that it was logged before",
    )
