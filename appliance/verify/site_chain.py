"""From a pinned root to the list of approved targets, step by step, without a network or a clock.

- The pinned root holds by its own signatures and because it is pinned. Root N+1 needs the thresholds of N and of N+1.
- timestamp.json binds one snapshot, the snapshot binds one targets.json: by version, length and SHA-256, all three.
- A signature on targets counts only with that person's approval of exactly this version and digest, signed by the same
  key. Nothing is delegated.
- Expiry is not judged here: `Chain.expires` says when each part ends.

`Source` is how files are read; a repository on disk, a carrier and a staged generation look alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Protocol, TypeVar

from appliance.evidence import strict_json
from appliance.evidence.errors import EvidenceError, JsonDuplicateKey
from appliance.verify.site_approvals import Approval, read_approval
from appliance.verify.site_errors import (
    DelegationRefused,
    DigestWrong,
    FileMissing,
    LengthWrong,
    MetadataDuplicateKey,
    MetadataMalformed,
    MetadataRoleWrong,
    MetadataUnbound,
    RootRuleBroken,
    RootVersionWrong,
    SiteError,
    SiteForeign,
    SnapshotForeign,
    VersionWrong,
)
from appliance.verify.site_keys import KeyRing, RoleKey, key_ring
from appliance.verify.tuf_metadata import (
    DeserializationError,
    Metadata,
    MetaFile,
    RepositoryError,
    Root,
    SerializationError,
    Snapshot,
    Targets,
    Timestamp,
)

MAX_ROOT, MAX_TIMESTAMP, MAX_SNAPSHOT, MAX_TARGETS = 1 << 18, 1 << 14, 1 << 16, 1 << 21
MAX_ROOTS = 256
_MAX_SIGNATURES = 64
MAX_VERSION = (1 << 31) - 1
_T = TypeVar("_T", Root, Timestamp, Snapshot, Targets)


class Source(Protocol):
    """Where files are read from."""

    def read(self, path: str, limit: int) -> bytes | None:
        """The file's bytes, None where it is not there; refuses more than `limit` bytes and special files."""


@dataclass(frozen=True)
class Versions:
    """The versions of the four roles' metadata."""

    root: int
    timestamp: int
    snapshot: int
    targets: int

    def as_record(self) -> dict[str, int]:
        return {"root": self.root, "timestamp": self.timestamp, "snapshot": self.snapshot, "targets": self.targets}


@dataclass(frozen=True)
class Chain:
    """A verified chain. `digest` is `sha256:` of the canonical signed part of targets; `roots` are the later roots."""

    anchor: str
    versions: Versions
    expires: Mapping[str, datetime]
    ring: KeyRing
    targets: Targets
    digest: str
    approvals: tuple[Approval, ...]


def verify_chain(source: Source, pinned_root: bytes) -> Chain:
    """The chain that starts at `pinned_root`, or a `PL-SIT-001` to `-037` refusal."""
    root, ring = _roots(source, pinned_root)
    timestamp, _, _ = _read(source, "metadata/timestamp.json", MAX_TIMESTAMP, Timestamp, ring)
    path = "metadata/timestamp.json"
    if set(timestamp.snapshot_meta.unrecognized_fields):
        raise MetadataMalformed(path=path, why="the entry of snapshot.json has unknown fields")
    snapshot, _, _ = _bound(source, ring, Snapshot, timestamp.snapshot_meta, by=path, limit=MAX_SNAPSHOT)
    path = f"metadata/{snapshot.version}.snapshot.json"
    if set(snapshot.meta) != {"targets.json"}:
        raise SnapshotForeign(path=path, found=", ".join(sorted(map(str, snapshot.meta)))[:200] or "nothing")
    meta = snapshot.meta["targets.json"]
    targets, message, held = _bound(source, ring, Targets, meta, by=path, limit=MAX_TARGETS)
    path = f"metadata/{targets.version}.targets.json"
    if targets.delegations is not None:
        raise DelegationRefused(path=path)
    digest = f"sha256:{sha256(message).hexdigest()}"
    return Chain(
        anchor=f"sha256:{sha256(pinned_root).hexdigest()}",
        versions=Versions(root.version, timestamp.version, snapshot.version, targets.version),
        expires={one.type: one.expires for one in (root, timestamp, snapshot, targets)},
        ring=ring,
        targets=targets,
        digest=digest,
        approvals=_approvals(source, ring, held, version=targets.version, digest=digest),
    )


def parse_root(document: bytes, path: str) -> tuple[Root, KeyRing]:
    """A root that holds by its own signatures; whether it is the right one is for the caller to know."""
    if len(document) > MAX_ROOT:
        raise MetadataMalformed(path=path, why=f"a root has at most {MAX_ROOT} bytes")
    root, message, signatures = _parse(document, path, Root)
    ring = key_ring(root, path)
    ring.check("root", path, message, signatures)
    return root, ring


def follow_root(document: bytes, path: str, root: Root, ring: KeyRing) -> tuple[Root, KeyRing]:
    """The root that comes after `root`, signed as both of them ask."""
    following, message, signatures = _parse(document, path, Root)
    if following.version != root.version + 1:
        raise RootVersionWrong(path=path, found=following.version, expected=root.version + 1)
    ring.check("root", path, message, signatures)
    ring = key_ring(following, path)
    ring.check("root", path, message, signatures)
    return following, ring


def signed_digest(document: bytes, path: str) -> str:
    """`sha256:` of the canonical signed part of a metadata file: what an approval names."""
    return f"sha256:{sha256(_parse(document, path, Targets)[1]).hexdigest()}"


def _roots(source: Source, pinned_root: bytes) -> tuple[Root, KeyRing]:
    root, ring = parse_root(pinned_root, "the pinned root")
    here = source.read(f"metadata/{root.version}.root.json", MAX_ROOT)
    if here is not None and here != pinned_root:
        raise SiteForeign(path=f"metadata/{root.version}.root.json")
    while True:
        path = f"metadata/{root.version + 1}.root.json"
        document = source.read(path, MAX_ROOT)
        if document is None:
            return root, ring
        if root.version >= MAX_ROOTS:
            raise RootRuleBroken(path=path, why=f"a chain has at most {MAX_ROOTS} roots")
        root, ring = follow_root(document, path, root, ring)


def _bound(
    source: Source, ring: KeyRing, kind: type[_T], meta: MetaFile, *, by: str, limit: int
) -> tuple[_T, bytes, tuple[RoleKey, ...]]:
    """The metadata that `meta`, an entry of the file `by`, describes completely."""
    role = kind.type
    path = f"metadata/{meta.version}.{role}.json"
    if type(meta.version) is not int or not 0 < meta.version <= MAX_VERSION:
        raise MetadataMalformed(path=by, why=f"version of {role}.json is out of range")
    if type(meta.length) is not int or set(meta.hashes or ()) != {"sha256"}:
        raise MetadataUnbound(path=by, name=f"{role}.json")
    document = source.read(path, limit)
    if document is None:
        raise FileMissing(path=path)
    if len(document) != meta.length:
        raise LengthWrong(path=path, found=len(document), expected=meta.length)
    if sha256(document).hexdigest() != (meta.hashes or {})["sha256"]:
        raise DigestWrong(path=path)
    signed, message, signatures = _parse(document, path, kind)
    if signed.version != meta.version:
        raise VersionWrong(path=path, found=signed.version, expected=meta.version)
    return signed, message, ring.check(role, path, message, signatures)


def _read(
    source: Source, path: str, limit: int, kind: type[_T], ring: KeyRing
) -> tuple[_T, bytes, tuple[RoleKey, ...]]:
    document = source.read(path, limit)
    if document is None:
        raise FileMissing(path=path)
    signed, message, signatures = _parse(document, path, kind)
    return signed, message, ring.check(kind.type, path, message, signatures)


def _parse(document: bytes, path: str, kind: type[_T]) -> tuple[_T, bytes, dict[str, bytes]]:
    """The metadata, the bytes that its signatures cover, and the signatures by key id."""
    try:
        raw = strict_json.decode(document, max_bytes=MAX_TARGETS)
    except JsonDuplicateKey as error:
        raise MetadataDuplicateKey(path=path, why=error.engineer_sentence()) from None
    except EvidenceError as error:
        raise MetadataMalformed(path=path, why=error.engineer_sentence()) from None
    if type(raw) is not dict or raw.keys() != {"signatures", "signed"}:
        raise MetadataMalformed(path=path, why="it is not an object of signed and signatures")
    signed = raw["signed"]
    if type(signed) is not dict or type(signed.get("version")) is not int or type(raw["signatures"]) is not list:
        raise MetadataMalformed(path=path, why="signed is no object with a version, or signatures no list")
    if not 0 < signed["version"] <= MAX_VERSION or len(raw["signatures"]) > _MAX_SIGNATURES:
        raise MetadataMalformed(path=path, why="its version is out of range, or it has too many signatures")
    if signed.get("_type") != kind.type:
        raise MetadataRoleWrong(path=path, found=repr(signed.get("_type"))[:40], expected=kind.type)
    try:
        metadata: Metadata[_T] = Metadata.from_bytes(document)
        signatures = {keyid: bytes.fromhex(one.signature) for keyid, one in metadata.signatures.items()}
        return metadata.signed, metadata.signed_bytes, signatures
    except (DeserializationError, SerializationError, RepositoryError, ValueError, TypeError) as error:
        cause = error.__cause__ or error
        raise MetadataMalformed(path=path, why=f"{type(cause).__name__}: {cause}"[:200]) from None


def _approvals(
    source: Source, ring: KeyRing, held: tuple[RoleKey, ...], *, version: int, digest: str
) -> tuple[Approval, ...]:
    """The approvals of those who signed; the first refusal is raised only when without it too few are left."""
    path = f"metadata/{version}.targets.json"
    found: list[tuple[RoleKey, Approval]] = []
    refusals: list[SiteError] = []
    for key in held:
        try:
            found.append((key, read_approval(source, key, version=version, digest=digest)))
        except SiteError as refusal:
            refusals.append(refusal)
    try:
        ring.count("targets", path, [key for key, _ in found])
    except SiteError as refusal:
        raise (refusals or [refusal])[0] from None
    return tuple(sorted((approval for _, approval in found), key=lambda one: one.person))
