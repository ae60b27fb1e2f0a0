"""A small factory in memory: a site's repository, a station with keys, units, logs and proofs, all genuine.

A test asks for something good and breaks one thing. Keys are P-256 in software; formats, signatures and trees are real.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.hashes import SHA256

from appliance.evidence import base64_strict, envelope, merkle, note, proof, statement, tiles
from appliance.evidence import checkpoint as checkpoints
from appliance.evidence.envelope import Envelope, Signature
from appliance.verify.policy import Policy
from appliance.verify.site import SiteTrust
from appliance.verify.site_times import Interval
from appliance.verify.verifier import Verifier
from tests.evidence import samples
from tests.evidence.samples import Doc
from tests.release.forge import Forge, Memory, key, spki

ORIGIN = "demo.example/bench-01"
NOW = Interval(datetime(2026, 11, 23, tzinfo=UTC), datetime(2026, 11, 23, tzinfo=UTC))
UIDS = [f"{at:024x}" for at in range(0x20, 0x60)]


def digest_of(name: str) -> str:
    return f"sha256:{sha256(spki(name)).hexdigest()}"


def public(name: str) -> str:
    """A key's public half as stations.json has it."""
    return base64_strict.encode(spki(name))


@cache
def pinned_root() -> bytes:
    return Forge().pinned()


@dataclass
class Site:
    """A site's repository, and what manifests made under it must say."""

    forge: Forge = field(default_factory=Forge)

    def bend(self, edit: Callable[[Doc], object]) -> Site:
        """Edit the first station's entry in stations.json."""
        edit(self.forge.documents["stations.json"]["stations"][0])
        return self

    def files(self) -> dict[str, bytes]:
        """The repository's files; all sites of a test run are the same site, with the same root."""
        return self.forge.files() | {"metadata/1.root.json": pinned_root()}

    def trust(self) -> SiteTrust:
        return SiteTrust.verify(Memory(self.files()), pinned_root())


def sign(name: str, payload: bytes, kind: str = statement.STATEMENT_PAYLOAD) -> bytes:
    """An envelope over `payload`, signed by the key `name`."""
    signature = key(name).sign(envelope.pae(kind, payload), ECDSA(SHA256()))
    return envelope.encode(Envelope(kind, payload, (Signature(signature, digest_of(name)),)))


def checkpoint_note(name: str, size: int, root: bytes, origin: str = ORIGIN, *more: note.NoteSignature) -> bytes:
    """A checkpoint signed by the key `name`."""
    body = checkpoints.encode_body(checkpoints.Checkpoint(origin, size, root))
    signature = key(name).sign(body.encode(), ECDSA(SHA256()))
    line = note.NoteSignature(origin, note.key_id(origin, note.ECDSA, spki(name)), signature)
    return note.encode(note.Note(body, (*more, line)))


class Station:
    """bench-01: makes entries that agree with each other, and lets a test have the last word about each."""

    def __init__(self, trust: SiteTrust) -> None:
        self.trust = trust
        self.entries: list[bytes] = []
        self.chains: dict[str, tuple[int, str | None]] = {}
        self.presses = 0
        self.second = 0
        self.journal = (0, statement.FIRST_HEAD)

    def predicate(self, uid: str) -> Doc:
        """The next press's manifest of a unit that passes, as far as it does not depend on a reservation."""
        self.presses += 1
        self.second += 2
        found = samples.predicate(self.presses, uid)
        found["clock"] = samples.clock(self.second)
        found["station"]["anchor"] = self.trust.anchor
        found["release"].update(
            digest=self.trust.release("demo", "1.0.0").digest,
            metadata=self.trust.versions.as_record(),
            approvals=[one.as_record() for one in self.trust.approvals],
        )
        found["measurement"]["ranges"] = [
            {"name": one.name, "start": one.start, "length": one.length, "sha256": one.sha256, "expected": one.sha256}
            for one in self.trust.release("demo", "1.0.0").ranges
        ]
        sequence, previous = self.chains.get(uid, (0, None))
        found["event"].update(sequence=sequence, previous=previous, reservation=None)
        return found

    def reserve(self, found: Doc, edit: Callable[[Doc], object] = lambda _: None) -> None:
        """Append the reservation that a manifest will name, and name it there."""
        event, device = found["event"], found["device"]
        document = samples.reservation(
            self.presses,
            press=event["press"],
            event=event["kind"],
            sequence=event["sequence"],
            previous=event["previous"],
            device={"part": device["part"], "uid": device["uid"]},
            label=found["label"]["text"],
        )
        edit(document)
        kind = statement.RESERVATION_PAYLOAD
        entry = envelope.encode(Envelope(kind, statement.build_reservation(document), ()))
        event["reservation"] = {"index": len(self.entries), "digest": f"sha256:{sha256(entry).hexdigest()}"}
        self.entries.append(entry)

    def conclude(self, found: Doc, name: str = "m1") -> bytes:
        """Sign and append a manifest."""
        entry = sign(name, statement.build_manifest(found))
        self.entries.append(entry)
        if found["device"] is not None:
            event = found["event"]
            self.chains[found["device"]["uid"]] = (event["sequence"] + 1, f"sha256:{sha256(entry).hexdigest()}")
        return entry

    def unit(self, uid: str, edit: Callable[[Doc], object] = lambda _: None, name: str = "m1") -> bytes:
        """A whole unit: reservation and manifest. `edit` changes the manifest after the reservation was made."""
        found = self.predicate(uid)
        self.reserve(found)
        edit(found)
        return self.conclude(found, name)

    def refusals(self, count: int = 2, edit: Callable[[Doc], object] = lambda _: None) -> bytes:
        first, head = self.journal
        self.second += 2
        found = samples.refusals(first, count, head, self.second)
        found["station"]["anchor"] = self.trust.anchor
        self.journal = (first + count, found["journal"]["head"])
        edit(found)
        entry = sign("m1", statement.build_refusals(found))
        self.entries.append(entry)
        return entry

    def checkpoint(self, name: str = "c1", origin: str = ORIGIN) -> bytes:
        root = merkle.root_of(map(merkle.leaf_hash, self.entries))
        return checkpoint_note(name, len(self.entries), root, origin)

    def proof(self, entry: bytes, name: str = "c1") -> bytes:
        leaves = [merkle.leaf_hash(one) for one in self.entries]
        index = self.entries.index(entry)
        path = merkle.inclusion_proof(index, len(leaves), merkle.node_of(leaves))
        return proof.encode(proof.Proof(index, path, self.checkpoint(name)))

    def files(self, name: str = "c1") -> dict[str, bytes]:
        """The published log."""
        leaves = [merkle.leaf_hash(one) for one in self.entries]
        found = {"checkpoint": self.checkpoint(name)}
        for tile in tiles.tiles_of(len(leaves)):
            first = tile.index * 256
            if tile.level == tiles.ENTRIES:
                found[tile.path] = tiles.encode_bundle(self.entries[first : first + tile.width])
            else:
                span = 256**tile.level
                runs = range(first * span, (first + tile.width) * span, span)
                found[tile.path] = b"".join(merkle.root_of(leaves[at : at + span]) for at in runs)
        return found


def write(files: dict[str, bytes], folder: Path) -> Path:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def verifier(trust: SiteTrust, **policy: Any) -> Verifier:
    return Verifier(trust, Policy(**policy), NOW)


class Shelf:
    """A `log.Storage` over a dict."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    def read(self, path: str, limit: int) -> bytes | None:
        content = self.files.get(path)
        return None if content is None else content[: limit + 1]
