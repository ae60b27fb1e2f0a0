"""What one approver adds to a proposal: signatures made with the own token, each over one part, and the approval.

- A contribution belongs to one proposal (by digest) and one person; it is complete in itself, so that each approver can
  work alone, offline, in any order, and hand in a file.
- The person's key is found in the root (the one in force, the proposed one, or both): whoever has no say signs nothing.
- It is checked when it is handed in and again when it is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from appliance.evidence import base64_strict, envelope, strict_json
from appliance.evidence.errors import EvidenceError
from appliance.release.errors import (
    ContributionFalse,
    ContributionForeign,
    ContributionMalformed,
    NoApprover,
    NotTheProposal,
    TicketMissing,
)
from appliance.release.proposal import CEREMONY_TYPE, Proposal
from appliance.verify.site_approvals import PAYLOAD_TYPE, parse_approval
from appliance.verify.site_errors import SiteError
from appliance.verify.site_fields import TICKET
from appliance.verify.site_keys import KeyRing, RoleKey
from appliance.verify.site_times import format_time

MAX_BYTES = 1 << 17


class Key(Protocol):
    """A private key that somebody holds: `appliance.release.token.TokenKey`."""

    @property
    def public(self) -> EllipticCurvePublicKey: ...

    def sign(self, message: bytes) -> bytes:
        """ECDSA P-256 over SHA-256(message), ASN.1 DER."""


@dataclass(frozen=True)
class Contribution:
    """One person's signatures by part, and the approval's envelope where targets are part of the proposal."""

    proposal: str
    person: str
    key: RoleKey
    signatures: Mapping[str, bytes]
    approval: bytes | None

    def to_bytes(self) -> bytes:
        return strict_json.encode(
            {
                "schema": 1,
                "proposal": self.proposal,
                "person": self.person,
                "keyid": self.key.keyid,
                "signatures": {part: base64_strict.encode(sig) for part, sig in self.signatures.items()},
                "approval": self.approval.decode() if self.approval else None,
            }
        )


def digest_of(public: EllipticCurvePublicKey) -> str:
    """`sha256:` of the DER SPKI."""
    return f"sha256:{sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()}"


def contribute(
    proposal: Proposal,
    in_force: KeyRing | None,
    key: Key,
    *,
    person: str,
    expect: str,
    ticket: str,
    tickets: tuple[str, ...] = (),
    at: datetime,
) -> Contribution:
    """Sign what `person` has a say in. `expect` is the digest of the proposal that was shown to this person."""
    if proposal.digest != expect:
        raise NotTheProposal(found=proposal.digest, expected=expect)
    if not all(TICKET.fullmatch(one) for one in (ticket, *tickets)):
        raise TicketMissing(found=repr(ticket))
    digest = digest_of(key.public)
    held = _held(proposal, in_force, digest)
    if held is None or held.person != person:
        raise NoApprover(person=person)
    messages = _messages(proposal, in_force, held)
    if not messages:
        raise NoApprover(person=person)
    approval = None
    if "targets" in messages:
        record: dict[str, object] = {
            "schema": 1,
            "role": "targets",
            "version": proposal.targets.version if proposal.targets else 0,
            "digest": proposal.targets_digest,
            "person": person,
            "ticket": ticket,
            "at": format_time(at),
        }
        if tickets:
            record["tickets"] = list(tickets)
        payload = strict_json.encode(record)
        signature = envelope.Signature(key.sign(envelope.pae(PAYLOAD_TYPE, payload)), digest)
        approval = envelope.encode(envelope.Envelope(PAYLOAD_TYPE, payload, (signature,)))
    signatures = {part: key.sign(message) for part, message in messages.items()}
    return Contribution(proposal.digest, person, held, signatures, approval)


def parse_contribution(document: bytes, path: str, proposal: Proposal, in_force: KeyRing | None) -> Contribution:
    """A contribution to this very proposal, every signature in it verified, or a `PL-REL-021` to `-025` refusal."""
    try:
        value = strict_json.decode(document, max_bytes=MAX_BYTES)
    except EvidenceError as error:
        raise ContributionMalformed(path=path, why=error.engineer_sentence()) from None
    names = {"schema", "proposal", "person", "keyid", "signatures", "approval"}
    if type(value) is not dict or value.keys() != names or value["schema"] != 1:
        raise ContributionMalformed(path=path, why=f"it has not exactly the fields {', '.join(sorted(names))}")
    person, listed, approval, keyid = value["person"], value["signatures"], value["approval"], value["keyid"]
    if type(person) is not str or type(keyid) is not str or type(listed) is not dict:
        raise ContributionMalformed(path=path, why="person, keyid or signatures are of the wrong type")
    if value["proposal"] != proposal.digest:
        raise ContributionForeign(path=path, found=str(value["proposal"])[:80], expected=proposal.digest)
    rings = [ring for ring in (proposal.ring(), in_force) if ring is not None]
    held = next((ring.keys[keyid] for ring in rings if keyid in ring.keys), None)
    if held is None or held.person != person:
        raise NoApprover(person=person)
    signatures: dict[str, bytes] = {}
    for part, message in _messages(proposal, in_force, held).items():
        text = listed.get(part)
        signature = base64_strict.decode(text) if type(text) is str else None
        if signature is None or not held.verify(signature, message):
            raise ContributionFalse(path=path, person=person, part=part)
        signatures[part] = signature
    if signatures.keys() != listed.keys() or (type(approval) is str) != ("targets" in signatures):
        raise ContributionMalformed(path=path, why="it signs other parts than the person has a say in")
    found = Contribution(
        proposal.digest, person, held, signatures, approval.encode() if type(approval) is str else None
    )
    if found.approval is not None and proposal.targets is not None:
        try:
            parse_approval(found.approval, path, held, version=proposal.targets.version, digest=proposal.targets_digest)
        except SiteError as error:
            raise ContributionMalformed(path=path, why=f"{error.code} {error.engineer_sentence()}") from None
    return found


def _held(proposal: Proposal, in_force: KeyRing | None, digest: str) -> RoleKey | None:
    for ring in (proposal.ring(), in_force):
        for key in ring.keys.values() if ring else ():
            if key.digest == digest:
                return key
    return None


def _messages(proposal: Proposal, in_force: KeyRing | None, key: RoleKey) -> dict[str, bytes]:
    """What this key has to sign: the parts in which a root, the proposed or the one in force, gives it a say."""
    proposed = proposal.ring()
    messages: dict[str, bytes] = {}
    parts = proposal.parts
    if "targets" in parts and _has_say(proposed or in_force, "targets", key):
        messages["targets"] = parts["targets"]
    if "root" in parts and (_has_say(proposed, "root", key) or _has_say(in_force, "root", key)):
        messages["root"] = parts["root"]
        messages["ceremony"] = envelope.pae(CEREMONY_TYPE, strict_json.encode(proposal.ceremony))
    return messages


def _has_say(ring: KeyRing | None, role: str, key: RoleKey) -> bool:
    return ring is not None and key.keyid in ring.roles[role] and ring.keys[key.keyid].digest == key.digest
