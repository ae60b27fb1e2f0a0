"""An approval: one person's statement, under a ticket, that exactly these targets may be used (docs/contracts.md 2).

- It is a DSSE envelope with one signature: by the very key that signed the targets metadata.
- It names the role, the version, the digest, the person, the ticket and the time; nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from appliance.evidence import envelope
from appliance.evidence.errors import EvidenceError
from appliance.verify.site_errors import (
    ApprovalDigestWrong,
    ApprovalMalformed,
    ApprovalMissing,
    ApprovalPersonWrong,
    ApprovalRoleWrong,
    ApprovalSignatureFalse,
    ApprovalTicketMissing,
    ApprovalVersionWrong,
)
from appliance.verify.site_fields import TICKET, load
from appliance.verify.site_keys import RoleKey

PAYLOAD_TYPE = "application/vnd.proofline.approval+json"


class _Source(Protocol):
    def read(self, path: str, limit: int) -> bytes | None: ...


@dataclass(frozen=True)
class Approval:
    """Who approved, with which key (`sha256:` of its DER SPKI), under which ticket, when (RFC 3339)."""

    person: str
    key: str
    ticket: str
    tickets: tuple[str, ...]
    at: str

    def as_record(self) -> dict[str, str]:
        """The form that manifests carry."""
        return {"person": self.person, "key": self.key, "ticket": self.ticket}


def read_approval(source: _Source, key: RoleKey, *, version: int, digest: str) -> Approval:
    """The approval that belongs to `key`'s signature on targets, or a `PL-SIT-030` to `-049` refusal."""
    path = f"approvals/{version}/{key.person}.json"
    document = source.read(path, envelope.MAX_BYTES)
    if document is None:
        raise ApprovalMissing(path=path, person=key.person, why="no such file")
    return parse_approval(document, path, key, version=version, digest=digest)


def parse_approval(document: bytes, path: str, key: RoleKey, *, version: int, digest: str) -> Approval:
    """The approval in `document`, which must be `key`'s, of this version and digest."""
    try:
        parsed = envelope.decode(document, (PAYLOAD_TYPE,))
    except EvidenceError as error:
        raise ApprovalMalformed(path=path, why=error.engineer_sentence()) from None
    message = envelope.pae(parsed.payload_type, parsed.payload)
    if len(parsed.signatures) != 1 or not key.verify(parsed.signatures[0].sig, message):
        raise ApprovalSignatureFalse(path=path, person=key.person)
    fields = load(
        parsed.payload,
        path=path,
        refused=ApprovalMalformed,
        max_bytes=envelope.MAX_BYTES,
        required=("role", "version", "digest", "person", "ticket", "at"),
        optional=("tickets",),
    )
    record: Mapping[str, object] = fields.values
    for name, expected, refused in (
        ("role", "targets", ApprovalRoleWrong),
        ("person", key.person, ApprovalPersonWrong),
        ("version", version, ApprovalVersionWrong),
        ("digest", digest, ApprovalDigestWrong),
    ):
        if type(record[name]) is not type(expected) or record[name] != expected:
            raise refused(path=path, found=repr(record[name])[:80], expected=expected)
    ticket = record["ticket"]
    if type(ticket) is not str or not TICKET.fullmatch(ticket):
        raise ApprovalTicketMissing(path=path)
    tickets = fields.texts("tickets", TICKET, "change tickets", low=1, high=32) if fields.has("tickets") else ()
    return Approval(str(key.person), key.digest, ticket, tickets, fields.moment("at"))
