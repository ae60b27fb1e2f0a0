"""Checkpoints of one history, refusals of one journal, whoever asks and however often the signer dies."""

from __future__ import annotations

import signal
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from appliance.custody.signer import ACCESS
from appliance.evidence import base64_strict, checkpoint, merkle, note, statement, strict_json
from appliance.ipc import Service, interface_of
from tests.custody.bench import ROLES, Bench, Everything, manifest_of, passed, verdict

ORIGIN = "demo.example/bench-01"
LEAVES = [merkle.leaf_hash(b"entry %d" % n) for n in range(40)]
FORK = [*LEAVES[:5], merkle.leaf_hash(b"another"), *LEAVES[6:]]


def tree(size: int, old: int = 0, leaves: list[bytes] = LEAVES) -> dict[str, Any]:
    """The arguments of SignCheckpoint for the first `size` leaves, coming from `old`."""
    proof = merkle.consistency_proof(old, size, merkle.node_of(leaves[:size])) if old else []
    return {
        "size": size,
        "root": base64_strict.encode(merkle.root_of(leaves[:size])),
        "consistency": [base64_strict.encode(one) for one in proof],
    }


class Key:
    """The station's checkpoint key as a verifier knows it."""

    def __init__(self, public: str) -> None:
        key = load_der_public_key(base64_strict.decode(public) or b"")
        assert isinstance(key, Ed25519PublicKey)
        self._key, self.name = key, ORIGIN
        self.key_id = note.key_id(ORIGIN, note.ED25519, key.public_bytes_raw())

    def verify(self, message: bytes, signature: bytes) -> bool:
        try:
            self._key.verify(signature, message)
        except InvalidSignature:
            return False
        return True


def test_a_growing_tree_is_signed_and_no_other(alone: Bench, keys: list[dict[str, str]]) -> None:
    alone.start()
    first = alone.call("SignCheckpoint", **tree(5))["checkpoint"]
    found, signed = checkpoint.parse(first.encode(), ORIGIN)
    assert (found.size, found.root) == (5, merkle.root_of(LEAVES[:5]))
    assert note.verify(signed, [Key(keys[1]["public"])])
    assert alone.call("SignCheckpoint", **tree(5))["checkpoint"] == first

    assert alone.code("SignCheckpoint", **tree(5, leaves=[*FORK[:4], FORK[5]])) == "PL-SGN-071"
    assert alone.code("SignCheckpoint", **tree(4)) == "PL-SGN-070"
    assert alone.code("SignCheckpoint", **tree(0)) == "PL-SGN-070"
    assert alone.code("SignCheckpoint", **tree(-1)) == "PL-SGN-070"
    assert alone.code("SignCheckpoint", **{**tree(9), "consistency": []}) == "PL-SGN-071"
    assert alone.code("SignCheckpoint", **{**tree(9, 5), "root": tree(8)["root"]}) == "PL-SGN-071"
    assert alone.code("SignCheckpoint", **tree(9, 4)) == "PL-SGN-071"
    assert alone.code("SignCheckpoint", **{**tree(9, 5), "root": "AAAA"}) == "PL-SGN-072"
    assert alone.code("SignCheckpoint", **{**tree(9, 5), "consistency": ["-"]}) == "PL-SGN-072"
    assert alone.code("SignCheckpoint", **tree(9, 5)) == ""
    assert alone.code("SignCheckpoint", **tree(12, 9, FORK)) == "PL-SGN-071"
    assert alone.call("Describe")["last_size"] == 9

    # Killed at once and started afresh, it still knows what it signed.
    alone.stop(signal.SIGKILL)
    alone.start()
    described = alone.call("Describe")
    assert (described["last_size"], described["last_root"]) == (9, tree(9)["root"])
    assert alone.code("SignCheckpoint", **tree(12, 9, FORK)) == "PL-SGN-071"
    assert alone.code("SignCheckpoint", **tree(8)) == "PL-SGN-070"
    assert alone.code("SignCheckpoint", **tree(40, 9)) == ""


def test_a_checkpoint_needs_no_time_but_an_approved_key(alone: Bench, keys: list[dict[str, str]]) -> None:
    alone.start()
    alone.time = verdict(status="Unknown", earliest=None, latest=None)
    assert alone.code("SignCheckpoint", **tree(3)) == ""
    revoked = {"at": "2026-11-22T00:00:00.000000Z", "reason": "lost"}
    alone.stage_changed(keys, "stations.json", "stations.0.keys.1.revoked", revoked)
    assert alone.code("SignCheckpoint", **tree(4, 3)) == "PL-SGN-012"


def records(count: int, first: int = 0) -> list[dict[str, Any]]:
    return [
        {
            "n": n,
            "kind": "refusal",
            "press": "ab" * 16,
            "press_digest": None,
            "operator": None,
            "code": "PL-SGN-020",
            "engineer": f"Number {n}.",
            "boot_id": "cd" * 16,
            "monotonic_ms": n,
        }
        for n in range(first, first + count)
    ]


def batch(items: list[dict[str, Any]], previous: str = statement.FIRST_HEAD) -> dict[str, Any]:
    return {
        "first": items[0]["n"],
        "previous": previous,
        "head": statement.chain(previous, items),
        "records": [strict_json.encode(one).decode() for one in items],
    }


def test_one_history_of_refusals_is_signed(alone: Bench) -> None:
    alone.start()
    one = batch(records(3))
    envelope = alone.call("SignRefusals", **one)["envelope"]
    predicate = manifest_of(envelope)
    assert predicate["journal"] == {"first": 0, "last": 2, "previous": one["previous"], "head": one["head"]}
    assert alone.call("SignRefusals", **one)["envelope"] == envelope, "asked again after a crash"

    two = batch(records(2, 3), one["head"])
    for wrong in (
        {**two, "first": 4},
        {**two, "previous": statement.FIRST_HEAD},
        batch(records(2, 4), one["head"]),
        batch(records(2)),
        batch([{**records(1)[0], "engineer": "Another."}, *records(4, 1)]),
    ):
        assert alone.code("SignRefusals", **wrong) == "PL-SGN-073", wrong
    for wrong in (
        {**two, "head": one["head"]},
        {**two, "records": two["records"][::-1]},
        {**two, "records": [two["records"][0].replace('{"', '{ "', 1), two["records"][1]]},
        {**two, "records": ["[]"]},
        {**two, "records": ["nonsense"]},
        {**two, "records": []},
        batch([{**records(1, 3)[0], "code": "none"}], one["head"]),
    ):
        assert alone.code("SignRefusals", **wrong) == "PL-SGN-074", wrong

    # The batch was signed, never appended, and more was journalled since: the longer one is the same history.
    longer = batch(records(5))
    assert alone.code("SignRefusals", **longer) == ""
    alone.stop(signal.SIGKILL)
    alone.start()
    assert alone.code("SignRefusals", **two) == "PL-SGN-073"
    assert alone.code("SignRefusals", **batch(records(1, 5), longer["head"])) == ""


def test_refusals_wait_for_the_time(alone: Bench) -> None:
    alone.start()
    alone.time = verdict(status="Unknown", earliest=None, latest=None)
    assert alone.code("SignRefusals", **batch(records(1))) == "PL-SGN-020"


def test_a_signer_that_was_killed_gives_the_same_envelope_again(alone: Bench) -> None:
    alone.start()
    press = alone.press()
    before = alone.call("SignManifest", press=press, observations=passed())
    alone.stop(signal.SIGKILL)
    alone.start()
    assert alone.call("SignManifest", press=press, observations=passed()) == before
    assert alone.sign(press, {**passed(), "stages": []}) == "PL-SGN-032"


def test_a_damaged_ledger_is_not_started_with(alone: Bench) -> None:
    alone.start()
    alone.sign(alone.press(), passed())
    alone.sign(alone.press(), passed())
    alone.stop()
    journal = alone.folder / "state" / "signer.journal"
    content = bytearray(journal.read_bytes())
    content[40] ^= 1
    journal.write_bytes(content)
    with pytest.raises(AssertionError, match="PL-DUR-001"):
        alone.start()


WHO_MAY = {
    "Gates": {"line", "panel", "recorder", "ops"},
    "SignManifest": {"line"},
    "SignRefusals": {"recorder"},
    "SignCheckpoint": {"recorder"},
    "IssueDeviceCertificate": {"line"},
    "Describe": {"line", "panel", "recorder", "export", "health", "ops"},
}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "Gates": {},
    "SignManifest": {"press": "00" * 16, "observations": passed()},
    "SignRefusals": batch(records(1)),
    "SignCheckpoint": tree(3),
    "IssueDeviceCertificate": {"press": "00" * 16, "public": ""},
    "Describe": {},
}


def test_every_verb_answers_its_callers_and_nobody_else() -> None:
    class Heard(Exception):  # it is no error that the verb was reached
        pass

    def heard(**_arguments: Any) -> dict[str, Any]:
        raise Heard

    peers = {role: 60_000 + n for n, role in enumerate(ROLES)}
    verbs = ("gates", "sign_manifest", "sign_refusals", "sign_checkpoint", "issue_device_certificate", "describe")
    service = Service(interface_of("signer"), Everything(dict.fromkeys(verbs, heard)), ACCESS, peers)
    for verb, allowed in WHO_MAY.items():
        message = {"method": f"io.proofline.signer.{verb}", "parameters": ARGUMENTS[verb]}
        for role, uid in [*peers.items(), ("nobody", 65_534), ("root", 0)]:
            if role in allowed:
                with pytest.raises(Heard):
                    service.handle(uid, 1, message)
            else:
                code = service.handle(uid, 1, message)["parameters"]["code"]
                assert code == ("PL-IPC-003" if role in peers else "PL-IPC-004"), (verb, role)
