"""Good documents to break: one of each kind that a log holds, and trees to prove things about."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from appliance.evidence import statement, strict_json
from appliance.evidence.envelope import Envelope, Signature, encode
from appliance.evidence.label import canonical_digest, derived_label

Doc = dict[str, Any]

PART, UID = "stm32f412xg", "203932334e4650120042003d"
FIRMWARE = bytes(range(256)) * 16
FIRMWARE_SHA256 = sha256(FIRMWARE).hexdigest()
ANCHOR = f"sha256:{sha256(b'root').hexdigest()}"


def hexdigest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def press(number: int = 1) -> Doc:
    return {
        "schema": 1,
        "press": f"{number:032x}",
        "order": "WO-1",
        "event": "provision",
        "label": None,
        "operator": {"id": "olga", "method": "badge"},
        "boot_id": "0b" * 16,
        "monotonic_ms": 1000 * number,
    }


def reservation(number: int = 1, **changes: Any) -> Doc:
    return {
        "schema": 1,
        "station": "bench-01",
        "press": f"{number:032x}",
        "order": "WO-1",
        "event": "provision",
        "sequence": 0,
        "previous": None,
        "device": {"part": PART, "uid": UID},
        "label": None,
        "boot_id": "0b" * 16,
        "monotonic_ms": 1000 * number,
        **changes,
    }


def station() -> Doc:
    return {
        "id": "bench-01",
        "site": "demo",
        "kind": "appliance",
        "image": {"version": "1.0.0", "verity": f"sha256:{hexdigest('verity')}", "slot": "A"},
        "anchor": ANCHOR,
        "boot_id": "0b" * 16,
        "probe": {"kind": "virtual", "id": "nucleo-1"},
    }


def clock(second: int = 0) -> Doc:
    stamp = f"2026-11-22T12:{second // 60:02d}:{second % 60:02d}"
    return {
        "status": "Synchronized",
        "earliest": f"{stamp}.000001Z",
        "latest": f"{stamp}.010001Z",
        "sources": ["192.0.2.1"],
    }


def keys() -> list[Doc]:
    return [
        {
            "purpose": "manifest",
            "token_model": "SoftHSM v2",
            "token_serial": "0123456789abcdef",
            "cka_id": "01",
            "policy": "satisfied",
        }
    ]


def predicate(number: int = 1, uid: str = UID) -> Doc:
    """A unit that passed: press `number` of the day, a device of its own if `uid` says so."""
    return {
        "event": {
            "kind": "provision",
            "sequence": 0,
            "previous": None,
            "verdict": "pass",
            "refusal": None,
            "press": f"{number:032x}",
            "press_digest": canonical_digest(press(number)),
            "reservation": {"index": 0, "digest": f"sha256:{hexdigest('reservation')}"},
        },
        "device": {
            "part": PART,
            "uid": uid,
            "dpidr": "0x2ba01477",
            "idcode": "0x30006441",
            "rom": "0xe00ff000",
            "rdp": 0,
            "flash_kib": 1024,
        },
        "label": {"mode": "derived", "text": derived_label("FW", PART, uid), "scanned": None},
        "order": {"id": "WO-1", "sku": "demo", "quantity": 10, "ticket": "CHG-2"},
        "release": {
            "sku": "demo",
            "version": "1.0.0",
            "digest": f"sha256:{hexdigest('release')}",
            "metadata": {"root": 1, "timestamp": 3, "snapshot": 3, "targets": 3},
            "approvals": [
                {"person": "ada", "key": f"sha256:{hexdigest('ada')}", "ticket": "CHG-9"},
                {"person": "bob", "key": f"sha256:{hexdigest('bob')}", "ticket": "CHG-9"},
            ],
        },
        "measurement": {
            "method": "on-target-sha256",
            "ranges": [
                {
                    "name": "image",
                    "start": 0x0800_0000,
                    "length": len(FIRMWARE),
                    "sha256": FIRMWARE_SHA256,
                    "expected": FIRMWARE_SHA256,
                }
            ],
            "erased": [{"start": 0x0800_1000, "length": 0xFF000}],
            "unerased": [],
        },
        "identity": None,
        "lock": None,
        "station": station(),
        "operator": {"id": "olga", "method": "badge"},
        "clock": clock(number),
        "keys": keys(),
        "stages": [{"name": "identify", "us": 1200}, {"name": "program", "us": 6_500_000}],
    }


def refused(number: int = 2) -> Doc:
    """A press that was refused before a device was read."""
    found = predicate(number)
    found["event"].update(verdict="refused", refusal={"code": "PL-LIN-001", "engineer": "no board"}, reservation=None)
    return found | {"device": None, "measurement": None}


def records(first: int, count: int) -> list[Doc]:
    return [
        {
            "n": n,
            "kind": "refusal",
            "press": f"{n:032x}",
            "press_digest": None,
            "operator": "olga",
            "code": "PL-CLK-001",
            "engineer": 'the clock said "no"',
            "boot_id": "0b" * 16,
            "monotonic_ms": n,
        }
        for n in range(first, first + count)
    ]


def refusals(first: int = 0, count: int = 3, previous: str = statement.FIRST_HEAD, second: int = 0) -> Doc:
    listed = records(first, count)
    head = statement.chain(previous, listed)
    return {
        "station": station(),
        "clock": clock(second),
        "keys": keys(),
        "journal": {"first": first, "last": first + count - 1, "previous": previous, "head": head},
        "records": listed,
    }


def spelled(payload: bytes, edit: Any) -> bytes:
    """The payload with `edit` applied to its document: a statement nobody's builder would make."""
    document = strict_json.decode(payload)
    edit(document)
    return strict_json.encode(document)


def signed(payload: bytes, kind: str = statement.STATEMENT_PAYLOAD) -> bytes:
    """An envelope with a signature that only looks like one."""
    return encode(Envelope(kind, payload, (Signature(b"\x30" + bytes(70), "sha256:00"),)))
