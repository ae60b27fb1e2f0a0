"""A forger's workshop: whole site repositories made in memory, right in every detail or wrong in exactly one.

The keys are plain P-256 keys (a forger has no token); the formats, digests, signatures and approvals are real. A test
takes `Forge()`, breaks one thing through its hooks, and asks for `files()`.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from securesystemslib.formats import encode_canonical

from appliance.evidence import strict_json
from appliance.evidence.envelope import Envelope, Signature, encode, pae
from appliance.verify.site_approvals import PAYLOAD_TYPE

Doc = dict[str, Any]
Edit = Callable[[Doc], None]

START = 0x0800_0000
IMAGE = (0x2004_0000).to_bytes(4, "little") + (START + 0x201).to_bytes(4, "little") + bytes(range(256)) * 4
"""A kilobyte of firmware, as a bin: a vector table and what it points to."""


@cache
def key(name: str) -> EllipticCurvePrivateKey:
    """A key of its own for each name, made once in a process."""
    return generate_private_key(SECP256R1())


def spki(name: str) -> bytes:
    return key(name).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@cache
def ed25519_spki() -> bytes:
    return Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def tuf_key(name: str, person: str | None) -> Doc:
    pem = key(name).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    found: Doc = {"keytype": "ecdsa", "scheme": "ecdsa-sha2-nistp256", "keyval": {"public": pem}}
    if person is not None:
        found["x-proofline-person"] = person
    return found


def canonical(signed: Doc) -> bytes:
    text = encode_canonical(signed)
    assert text is not None
    return text.encode()


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def sign(signed: Doc, signers: list[str]) -> bytes:
    """Metadata with the signatures of the named keys; a key's id is `id-<name>`."""
    message = canonical(signed)
    signatures = [
        {"keyid": f"id-{name}", "sig": key(name.split("@")[0]).sign(message, ECDSA(SHA256())).hex()} for name in signers
    ]
    return json.dumps({"signatures": signatures, "signed": signed}).encode()


def good_documents() -> dict[str, Any]:
    """One product, one release, one order, two stations, two operators."""
    day = {"from": "2026-01-01T00:00:00.000000Z", "until": "2030-01-01T00:00:00.000000Z"}

    def station_key(name: str, purpose: str) -> Doc:
        public = base64.b64encode(spki(name)).decode()
        return {"purpose": purpose, "algorithm": "ecdsa-p256-sha256", "public": public, "revoked": None, **day}

    return {
        "products/demo.json": {
            "schema": 1,
            "sku": "demo",
            "part": "stm32f412xg",
            "swclk_hz": 4_000_000,
            "label": {"mode": "derived", "prefix": "FW", "scan": "optional"},
            "events": ["provision", "rework", "reflash", "return", "scrap"],
            "lock": {"policy": "none"},
            "identity": {"policy": "none"},
        },
        "firmware/demo/1.0.0/demo.bin": IMAGE,
        "releases/demo/1.0.0.json": {
            "schema": 1,
            "sku": "demo",
            "version": "1.0.0",
            "built_at": "2026-11-01T00:00:00.000000Z",
            "build_id": "b-1",
            "ticket": "CHG-1",
            "firmware": {
                "target": "firmware/demo/1.0.0/demo.bin",
                "format": "bin",
                "sha256": sha(IMAGE),
                "length": len(IMAGE),
                "load_address": START,
            },
            "ranges": [{"name": "image-0", "start": START, "length": len(IMAGE), "sha256": sha(IMAGE)}],
        },
        "orders/WO-1.json": {
            "schema": 1,
            "id": "WO-1",
            "sku": "demo",
            "version": "1.0.0",
            "quantity": 10,
            "stations": ["bench-01"],
            "ticket": "CHG-2",
            "opens": "2026-11-01T00:00:00.000000Z",
            "closes": "2027-11-01T00:00:00.000000Z",
        },
        "roster.json": {
            "schema": 1,
            "operators": [
                {"id": "olga", "name": "Olga", "badge_sha256": sha(b"B-1"), "roles": ["operator"], **day},
                {"id": "lea", "name": "Lea", "badge_sha256": sha(b"B-2"), "roles": ["operator", "lead"], **day},
            ],
        },
        "stations.json": {
            "schema": 1,
            "stations": [
                {
                    "id": "bench-01",
                    "site": "demo",
                    "origin": "demo.example/bench-01",
                    "products": ["*"],
                    "keys": [station_key("m1", "manifest"), station_key("c1", "checkpoint")],
                },
                {
                    "id": "bench-02",
                    "site": "demo",
                    "origin": "demo.example/bench-02",
                    "products": ["demo"],
                    "keys": [],
                },
            ],
        },
        "settings/bench-01.json": {
            "schema": 1,
            "station": "bench-01",
            "clock": {"max_width_ms": 1000, "ordered_only": False},
            "log": {"max_unexported_entries": 1000},
            "panel": {"session_s": 3600},
            "probe": "any",
        },
    }


def _nothing(_: Doc) -> None:
    pass


@dataclass
class Forge:
    """A site's repository to be. Every attribute may be bent before `files()` is asked for."""

    version: int = 3
    documents: dict[str, Any] = field(default_factory=good_documents)
    expires: str = "2030-01-01T00:00:00Z"
    approvers: dict[str, str] = field(default_factory=lambda: {"ada": "ada", "bob": "bob", "carol": "carol"})
    """Key name -> person."""
    root_signers: list[str] = field(default_factory=lambda: ["ada", "bob"])
    targets_signers: list[str] = field(default_factory=lambda: ["ada", "bob"])
    online_signers: list[str] = field(default_factory=lambda: ["online"])
    edit_root: Edit = _nothing
    edit_next_root: Edit | None = None
    next_root_signers: list[str] = field(default_factory=lambda: ["ada", "bob"])
    edit_targets: Edit = _nothing
    edit_snapshot: Edit = _nothing
    edit_timestamp: Edit = _nothing
    edit_approval: Edit = _nothing
    approval_signers: dict[str, str] = field(default_factory=dict)
    """Person -> name of the key that signs the approval instead of the right one."""
    edit_files: Callable[[dict[str, bytes]], None] = lambda _: None

    def root_document(self, version: int) -> Doc:
        keys = {f"id-{name}": tuf_key(name, person) for name, person in self.approvers.items()}
        people = sorted(keys)
        keys["id-online"] = tuf_key("online", None)
        online = {"keyids": ["id-online"], "threshold": 1}
        return {
            "_type": "root",
            "spec_version": "1.0.31",
            "version": version,
            "expires": self.expires,
            "consistent_snapshot": True,
            "keys": keys,
            "roles": {
                "root": {"keyids": people, "threshold": 2},
                "targets": {"keyids": people, "threshold": 2},
                "snapshot": dict(online),
                "timestamp": dict(online),
            },
        }

    def pinned(self) -> bytes:
        """The first root as the site made it (with `edit_root` applied)."""
        root = self.root_document(1)
        self.edit_root(root)
        return sign(root, self.root_signers)

    def files(self) -> dict[str, bytes]:
        """Every file of the carrier, by path."""
        files = {"metadata/1.root.json": self.pinned()}
        if self.edit_next_root is not None:
            root = self.root_document(2)
            self.edit_next_root(root)
            files["metadata/2.root.json"] = sign(root, self.next_root_signers)
        entries: Doc = {}
        for path, document in self.documents.items():
            content = document if isinstance(document, bytes) else strict_json.encode(document)
            entries[path] = {"length": len(content), "hashes": {"sha256": sha(content)}}
            folder, _, name = path.rpartition("/")
            files["/".join(part for part in ("targets", folder, f"{sha(content)}.{name}") if part)] = content
        version = self.version
        targets = self._signed("targets", {"targets": entries})
        self.edit_targets(targets)
        files[f"metadata/{version}.targets.json"] = document = sign(targets, self.targets_signers)
        snapshot = self._signed("snapshot", {"meta": {"targets.json": self._meta(document)}})
        self.edit_snapshot(snapshot)
        files[f"metadata/{version}.snapshot.json"] = document = sign(snapshot, self.online_signers)
        timestamp = self._signed("timestamp", {"meta": {"snapshot.json": self._meta(document)}})
        self.edit_timestamp(timestamp)
        files["metadata/timestamp.json"] = sign(timestamp, self.online_signers)
        for name in self.targets_signers:
            person = self.approvers.get(name, name)
            files[f"approvals/{version}/{person}.json"] = self.approval(name, person, targets)
        self.edit_files(files)
        return files

    def approval(self, name: str, person: str, targets: Doc) -> bytes:
        record: Doc = {
            "schema": 1,
            "role": "targets",
            "version": self.version,
            "digest": f"sha256:{sha(canonical(targets))}",
            "person": person,
            "ticket": "CHG-9",
            "at": "2026-11-22T10:00:00.000000Z",
        }
        self.edit_approval(record)
        payload = strict_json.encode(record)
        signer = self.approval_signers.get(person, name)
        signature = key(signer).sign(pae(PAYLOAD_TYPE, payload), ECDSA(SHA256()))
        return encode(Envelope(PAYLOAD_TYPE, payload, (Signature(signature),)))

    def _signed(self, role: str, rest: Doc) -> Doc:
        head = {"_type": role, "spec_version": "1.0.31", "version": self.version, "expires": self.expires}
        return deepcopy({**head, **rest})

    def _meta(self, document: bytes) -> Doc:
        return {"version": self.version, "length": len(document), "hashes": {"sha256": sha(document)}}


class Memory:
    """A `Source` over a dict."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    def read(self, path: str, limit: int) -> bytes | None:
        content = self.files.get(path)
        assert content is None or len(content) <= max(limit, 1 << 22)
        return content


def write(files: dict[str, bytes], folder: Path) -> Path:
    """The files as a directory."""
    for path, content in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    return folder
