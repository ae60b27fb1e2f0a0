"""Roots and their ceremonies: who may approve, how many must, and the record of how that came to be.

- A root names approvers (key and person), the threshold of both root and targets, and the desk's one online key, which
  signs snapshot and timestamp.
- A ceremony's transcript states when, where, on what machine and with which keys a root was made; every approver who
  signs the root signs the transcript as well.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from securesystemslib.signer import SSlibKey
from tuf.api.metadata import Metadata, Role, Root

from appliance.release.errors import InputMalformed, LastApprovers
from appliance.verify.site_fields import LINE, PERSON
from appliance.verify.site_keys import PERSON_FIELD, KeyRing, key_ring
from appliance.verify.site_times import format_time


@dataclass(frozen=True)
class Approver:
    """A person and the public half of the key in this person's token."""

    person: str
    public: EllipticCurvePublicKey


@dataclass(frozen=True)
class Online:
    """The desk's own key for snapshot and timestamp, and who keeps the token it is in."""

    public: EllipticCurvePublicKey
    holder: str


def compose_root(
    version: int, approvers: Iterable[Approver], online: EllipticCurvePublicKey, threshold: int, expires: datetime
) -> Root:
    """A root by the site's rules; refuses (`PL-REL-015`, `-034`, `PL-SIT-01x`) one that would not hold."""
    keys: dict[str, SSlibKey] = {}
    persons: set[str] = set()
    for approver in approvers:
        if not PERSON.fullmatch(approver.person):
            raise InputMalformed(
                field="person", found=repr(approver.person), expected="small letters and digits, 32 at most"
            )
        key = SSlibKey.from_crypto(approver.public)
        key.unrecognized_fields[PERSON_FIELD] = approver.person
        if key.keyid in keys:
            raise InputMalformed(field="key", found=approver.person, expected="another person already brought this key")
        keys[key.keyid] = key
        persons.add(approver.person)
    if len(persons) < threshold:
        raise LastApprovers(found=len(persons), threshold=threshold)
    people = sorted(keys)
    desk = SSlibKey.from_crypto(online)
    roles = {
        "root": Role(people, threshold),
        "targets": Role(people, threshold),
        "snapshot": Role([desk.keyid], 1),
        "timestamp": Role([desk.keyid], 1),
    }
    root = Root(
        version=version, expires=expires, keys={**keys, desk.keyid: desk}, roles=roles, consistent_snapshot=True
    )
    key_ring(root, "the proposed root")
    return root


def transcript(
    root: Root, *, site: str, place: str, holder: str, machine: Mapping[str, str], at: datetime
) -> dict[str, object]:
    """The ceremony's record, to be signed by everybody who signs the root."""
    for field, value in (("place", place), ("holder", holder)):
        if not LINE.fullmatch(value):
            raise InputMalformed(field=field, found=repr(value)[:80], expected="one line of at most 128 characters")
    ring = key_ring(root, "the proposed root")
    return {
        "schema": 1,
        "site": site,
        "place": place,
        "at": format_time(at),
        "root": root_facts(root),
        "thresholds": dict(ring.thresholds),
        "approvers": sorted(
            ({"person": key.person, "key": key.digest} for key in ring.keys.values() if key.person is not None),
            key=lambda one: str(one["person"]),
        ),
        "online": {
            "key": next(key.digest for key in ring.keys.values() if key.person is None),
            "holder": holder,
            "roles": ["snapshot", "timestamp"],
        },
        "machine": dict(machine),
    }


def root_facts(root: Root) -> dict[str, object]:
    """Which root a transcript speaks of."""
    return {
        "version": root.version,
        "digest": f"sha256:{sha256(Metadata(root).signed_bytes).hexdigest()}",
        "expires": format_time(root.expires),
    }


def approvers_of(ring: KeyRing) -> list[Approver]:
    """The approvers that a root names."""
    found = []
    for keyid in sorted(ring.roles["root"] | ring.roles["targets"]):
        key = ring.keys[keyid]
        if isinstance(key.public, EllipticCurvePublicKey) and key.person is not None:
            found.append(Approver(key.person, key.public))
    return found
