"""What the recorder asks of others: the signer's signatures, the panel's press records, the staged site's keys.

- Nothing that comes back is stored before it is checked: a checkpoint must be of this log's origin, size and root and
  signed by a checkpoint key that the site lists for this station and has not revoked; a manifest by a manifest key
  that was valid for its whole clock interval.
- The staged site is verified here, from the recorder's own pinned root (docs/contracts.md, section 2).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from appliance.errors import ProoflineError
from appliance.evidence import base64_strict, checkpoint, envelope, note, statement
from appliance.evidence.errors import EvidenceError
from appliance.intake.staged import StagedSite
from appliance.recorder.errors import (
    CheckpointWrong,
    ManifestSignatureFalse,
    NotAManifest,
    StationUnknown,
)
from appliance.station import Site, StationError
from appliance.verify.keys import NoteKey, TrustedKey, trusted_keys
from appliance.verify.site import SiteTrust
from appliance.verify.site_stations import Station


class Peer(Protocol):
    """Another service as `ipc.Client` shows it."""

    def call(self, verb: str, /, **parameters: object) -> dict[str, Any]: ...


class OwnSite:
    """The staged site as it concerns this station."""

    def __init__(self, staged: Path, site: Site | StationError) -> None:
        self._here = site
        self._staged = StagedSite.of(staged, site)
        self._known: tuple[SiteTrust, Station, dict[str, tuple[TrustedKey, ...]]] | None = None

    @property
    def station_id(self) -> str:
        """Who this station is; NotEnrolled or SiteUnreadable where it has no site."""
        if isinstance(self._here, StationError):
            raise self._here.with_traceback(None)  # one object for all calls: it must not collect their frames
        return self._here.station

    def trust(self) -> SiteTrust:
        """The verified site, or its refusal."""
        return self._staged.current()

    def station(self) -> Station:
        """This station as the site lists it; StationUnknown where it does not."""
        return self._own()[0]

    def keys(self, purpose: str) -> tuple[TrustedKey, ...]:
        """This station's keys for a purpose that are not revoked."""
        return self._own()[1].get(purpose, ())

    def limit(self) -> int:
        """How many entries may wait for export."""
        return self.trust().settings(self.station_id).log_max_unexported_entries

    def _own(self) -> tuple[Station, dict[str, tuple[TrustedKey, ...]]]:
        trust = self.trust()
        known = self._known
        if known is not None and known[0] is trust:
            return known[1], known[2]
        station = trust.stations().station(self.station_id)
        if station is None:
            raise StationUnknown(station=self.station_id, why="it is not listed")
        keys = {
            purpose: tuple(one for one in trusted_keys(station, purpose) if one.revoked_at is None)
            for purpose in ("manifest", "checkpoint")
        }
        self._known = trust, station, keys
        return station, keys


class SignerLink:
    """The signer as the log's `CheckpointSigner`."""

    def __init__(self, signer: Peer, site: OwnSite) -> None:
        self._signer = signer
        self._site = site

    def last(self) -> tuple[int, bytes | None]:
        reply = self._signer.call("Describe")
        root = reply.get("last_root")
        return int(reply["last_size"]), None if root is None else base64_strict.decode(root)

    def sign(self, size: int, root: bytes, consistency: Sequence[bytes]) -> bytes:
        reply = self._signer.call(
            "SignCheckpoint",
            size=size,
            root=base64_strict.encode(root),
            consistency=[base64_strict.encode(one) for one in consistency],
        )
        signed = str(reply["checkpoint"]).encode()
        self._check(signed, size, root)
        return signed

    def _check(self, signed: bytes, size: int, root: bytes) -> None:
        origin = self._site.station().origin
        verifiers = [NoteKey.of(origin, one) for one in self._site.keys("checkpoint")]
        try:
            found, around = checkpoint.parse(signed, origin)
            note.verify(around, verifiers)
        except EvidenceError as error:
            raise CheckpointWrong(why=str(error)) from error
        if (found.size, found.root) != (size, root):
            raise CheckpointWrong(why=f"it is for {found.size} entries; {size} were asked for, or its root differs")


def check_signature(site: OwnSite, document: bytes) -> statement.Manifest | statement.Refusals:
    """The statement in an envelope that this station's manifest key signed; or a refusal."""
    try:
        signed = envelope.decode(document, (statement.STATEMENT_PAYLOAD,))
        found = statement.parse(signed.payload)
    except EvidenceError as error:
        raise NotAManifest(why=str(error)) from error
    earliest, latest = (datetime.fromisoformat(found.predicate["clock"][name]) for name in ("earliest", "latest"))
    message = envelope.pae(signed.payload_type, signed.payload)
    for key in site.keys("manifest"):
        if key.covers(earliest, latest) and any(key.public.verify(message, one.sig) for one in signed.signatures):
            return found
    raise ManifestSignatureFalse(station=site.station_id)


def press_record(panel: Peer, press: str) -> dict[str, Any] | None:
    """The panel's record of a press, None where it has none."""
    found = panel.call("DescribePress", press=press).get("press")
    return found if isinstance(found, dict) else None


def press_digest(panel: Peer, press: str | None) -> str | None:
    """The digest of a press's record where the panel can tell; a refusal is journalled without it rather than not."""
    if press is None:
        return None
    try:
        record = press_record(panel, press)
    except ProoflineError:
        return None
    return None if record is None else str(record["digest"])
