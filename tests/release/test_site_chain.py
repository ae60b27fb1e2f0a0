"""A repository that is wrong in one thing is refused by that thing's name; its unmodified twin is accepted."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.exceptions import FormatError

from appliance.errors import ProoflineError
from appliance.evidence import strict_json
from appliance.verify import site_errors as errors
from appliance.verify.site import Interval, SiteTrust
from appliance.verify.site_chain import parse_root
from appliance.verify.site_keys import KeyRing
from tests.release.forge import Doc, Forge, Memory, sha, sign, tuf_key

T, S, TS = "metadata/3.targets.json", "metadata/3.snapshot.json", "metadata/timestamp.json"
ADA, BOB = "approvals/3/ada.json", "approvals/3/bob.json"


def verify(forge: Forge, pinned: bytes | None = None) -> SiteTrust:
    files = forge.files()
    return SiteTrust.verify(Memory(files), pinned or files["metadata/1.root.json"])


def edit_file(path: str, change: Callable[[bytes], bytes]) -> Callable[[Forge], None]:
    def bend(forge: Forge) -> None:
        forge.edit_files = lambda files: files.update({path: change(files[path])})

    return bend


def drop_file(path: str) -> Callable[[Forge], None]:
    def bend(forge: Forge) -> None:
        forge.edit_files = lambda files: files.__delitem__(path)

    return bend


def setting(**changes: object) -> Callable[[Forge], None]:
    def bend(forge: Forge) -> None:
        for name, value in changes.items():
            assert hasattr(forge, name)
            setattr(forge, name, value)

    return bend


def signed(part: str, change: Callable[[Doc], object]) -> Callable[[Forge], None]:
    """Bend what is signed, before it is signed."""

    def bend(forge: Forge) -> None:
        setattr(forge, f"edit_{part}", change)

    return bend


def put(**values: object) -> Callable[[Doc], None]:
    return lambda document: document.update(values)


def same_person_twice(forge: Forge) -> None:
    forge.approvers = {"ada": "ada", "ada2": "ada", "bob": "bob", "carol": "carol"}
    forge.targets_signers = ["ada", "ada2"]


def same_key_twice(root: Doc) -> None:
    root["keys"]["id-ada@2"] = tuf_key("ada", "mallory")
    root["roles"]["targets"]["keyids"].append("id-ada@2")


def online_approves(root: Doc) -> None:
    root["roles"]["targets"]["keyids"].append("id-online")
    root["keys"]["id-online"]["x-proofline-person"] = "desk"


def mixed_timestamp(forge: Forge) -> None:
    """A timestamp of version 3 beside the snapshot and targets of version 4: both properly signed."""
    old = Forge(version=3).files()
    forge.version = 4
    forge.edit_files = lambda files: files.update({"metadata/timestamp.json": old["metadata/timestamp.json"]})


def mixed_snapshot(forge: Forge) -> None:
    """The snapshot of a sister repository with the same version, properly signed by the same desk."""

    def swap(files: dict[str, bytes]) -> None:
        document = b""
        while len(document) != len(files[S]):  # a DER signature's length varies; the length alone must not tell
            document = Forge(expires="2031-01-01T00:00:00Z").files()[S]
        files[S] = document

    forge.edit_files = swap


def duplicate_key(document: bytes) -> bytes:
    return document.replace(b'"version":', b'"version": 1, "version":', 1)


def resigned(path: str, names: list[str]) -> Callable[[Forge], None]:
    """The same content, signed by others; everything above it is bound again, so only the signers are wrong."""
    return setting(**{path: names})


def entry(change: Callable[[Doc], object]) -> Callable[[Doc], None]:
    def bend(targets: Doc) -> None:
        change(targets["targets"]["roster.json"])

    return bend


def meta(name: str, **values: object) -> Callable[[Doc], None]:
    return lambda document: document["meta"][name].update(values)


def no_meta(name: str, field: str) -> Callable[[Doc], None]:
    def bend(document: Doc) -> None:
        del document["meta"][name][field]

    return bend


def next_root(change: Callable[[Doc], object], signers: list[str] | None = None) -> Callable[[Forge], None]:
    def bend(forge: Forge) -> None:
        forge.edit_next_root = change  # type: ignore[assignment]  # what it returns does not matter
        forge.next_root_signers = signers or ["ada", "bob"]

    return bend


def approved_by_other_key(forge: Forge) -> None:
    forge.approval_signers = {"bob": "carol"}


def envelope_of_two(document: bytes) -> bytes:
    value = json.loads(document)
    value["signatures"] = value["signatures"] * 2
    return strict_json.encode(value)


def many_targets(targets: Doc) -> None:
    one = {"length": 1, "hashes": {"sha256": "0" * 64}}
    targets["targets"].update({f"orders/W{n}.json": one for n in range(8_200)})


BROKEN: dict[str, tuple[Callable[[Forge], None], type[errors.SiteError]]] = {
    # files
    "timestamp missing": (drop_file(TS), errors.FileMissing),
    "snapshot missing": (drop_file(S), errors.FileMissing),
    "targets missing": (drop_file(T), errors.FileMissing),
    "timestamp truncated": (edit_file(TS, lambda d: d[:-20]), errors.MetadataMalformed),
    "timestamp is not an object": (edit_file(TS, lambda _: b"[]"), errors.MetadataMalformed),
    "timestamp has a third member": (
        edit_file(TS, lambda d: d.replace(b'{"signatures"', b'{"x": 1, "signatures"', 1)),
        errors.MetadataMalformed,
    ),
    "timestamp with a key twice": (edit_file(TS, duplicate_key), errors.MetadataDuplicateKey),
    "timestamp deeply nested": (edit_file(TS, lambda _: b"[" * 5_000), errors.MetadataMalformed),
    "timestamp with a thousand signatures": (
        edit_file(TS, lambda d: d.replace(b'"signatures": [', b'"signatures": [' + b"{}," * 1_000, 1)),
        errors.MetadataMalformed,
    ),
    "timestamp expires never": (signed("timestamp", put(expires="never")), errors.MetadataMalformed),
    "timestamp of another specification": (signed("timestamp", put(spec_version="2.0")), errors.MetadataMalformed),
    "timestamp version is true": (signed("timestamp", put(version=True)), errors.MetadataMalformed),
    "timestamp version is 0": (signed("timestamp", put(version=0)), errors.MetadataMalformed),
    "timestamp version is huge": (signed("timestamp", put(version=1 << 40)), errors.MetadataMalformed),
    "snapshot in the timestamp's place": (
        lambda forge: setattr(forge, "edit_files", lambda files: files.update({TS: files[S]})),
        errors.MetadataRoleWrong,
    ),
    # the root
    "another site's root": (
        edit_file("metadata/1.root.json", lambda _: Forge(expires="2035-01-01T00:00:00Z").pinned()),
        errors.SiteForeign,
    ),
    "root skips a version": (next_root(put(version=3)), errors.RootVersionWrong),
    "root 2 signed by one": (next_root(put(), ["ada"]), errors.SignaturesTooFew),
    "root 2 signed by a stranger": (next_root(put(), ["ada", "mallory"]), errors.SignaturesTooFew),
    "root 2 signed by the online key": (next_root(put(), ["ada", "online"]), errors.SignatureOfWrongRole),
    "root 2 not signed by its own new people": (
        next_root(lambda root: root["roles"]["root"].update(threshold=3)),
        errors.SignaturesTooFew,
    ),
    "root names no person": (
        signed("root", lambda r: r["keys"]["id-ada"].pop("x-proofline-person")),
        errors.RootPersonMissing,
    ),
    "root names a person badly": (
        signed("root", lambda r: r["keys"]["id-ada"].update({"x-proofline-person": "../ada"})),
        errors.RootKeyRefused,
    ),
    "one key under two ids": (signed("root", same_key_twice), errors.RootKeyTwice),
    "root with a key that does not parse": (
        signed("root", lambda r: r["keys"]["id-carol"]["keyval"].update(public="-----BEGIN")),
        errors.RootKeyRefused,
    ),
    "root with an unknown algorithm": (
        signed("root", lambda r: r["keys"]["id-carol"].update(scheme="ecdsa-sha2-nistp384")),
        errors.RootKeyRefused,
    ),
    "targets at a threshold of one": (
        signed("root", lambda r: r["roles"]["targets"].update(threshold=1)),
        errors.RootThresholdTooLow,
    ),
    "root without consistent snapshots": (signed("root", put(consistent_snapshot=False)), errors.RootRuleBroken),
    "online key among the approvers": (
        signed("root", online_approves),
        errors.RootRuleBroken,
    ),
    "role with a key that is not there": (
        signed("root", lambda r: r["roles"]["targets"]["keyids"].append("id-ghost")),
        errors.RootRuleBroken,
    ),
    # thresholds
    "targets signed by one": (setting(targets_signers=["ada"]), errors.SignaturesTooFew),
    "targets signed by nobody": (setting(targets_signers=[]), errors.SignaturesTooFew),
    "targets signed by a stranger": (setting(targets_signers=["ada", "mallory"]), errors.SignaturesTooFew),
    "targets signed by the online key": (setting(targets_signers=["ada", "online"]), errors.SignatureOfWrongRole),
    "targets signed by one person with two keys": (same_person_twice, errors.SignaturesOfOnePerson),
    "timestamp signed by an approver": (setting(online_signers=["ada"]), errors.SignatureOfWrongRole),
    "targets altered after signing": (
        edit_file(T, lambda d: d.replace(b'"length": 1', b'"length": 2', 1)),
        errors.DigestWrong,
    ),
    # the chain
    "old timestamp, new snapshot": (mixed_timestamp, errors.FileMissing),
    "sister repository's snapshot": (mixed_snapshot, errors.DigestWrong),
    "snapshot longer than bound": (edit_file(S, lambda d: d + b" "), errors.LengthWrong),
    "timestamp binds no length": (signed("timestamp", no_meta("snapshot.json", "length")), errors.MetadataUnbound),
    "timestamp binds no hash": (signed("timestamp", no_meta("snapshot.json", "hashes")), errors.MetadataUnbound),
    "snapshot binds by another hash": (
        signed("snapshot", meta("targets.json", hashes={"md5": "0" * 32})),
        errors.MetadataUnbound,
    ),
    "timestamp's entry has an unknown field": (
        signed("timestamp", meta("snapshot.json", weak=1)),
        errors.MetadataMalformed,
    ),
    "snapshot says another version than its name": (signed("snapshot", put(version=2)), errors.VersionWrong),
    "targets say another version than their name": (signed("targets", put(version=9)), errors.VersionWrong),
    "snapshot lists more": (
        signed("snapshot", lambda d: d["meta"].update({"extra.json": {"version": 1}})),
        errors.SnapshotForeign,
    ),
    "targets delegate": (
        signed(
            "targets",
            put(
                delegations={
                    "keys": {},
                    "roles": [{"name": "x", "keyids": [], "threshold": 1, "terminating": False, "paths": ["*"]}],
                }
            ),
        ),
        errors.DelegationRefused,
    ),
    "target outside": (
        signed("targets", lambda d: d["targets"].update({"../x.json": d["targets"]["roster.json"]})),
        errors.TargetPathRefused,
    ),
    "target of an unknown kind": (
        signed("targets", lambda d: d["targets"].update({"usb/policy.json": d["targets"]["roster.json"]})),
        errors.TargetPathRefused,
    ),
    "target with two hashes": (
        signed("targets", entry(lambda e: e["hashes"].update(sha512="0" * 128))),
        errors.TargetEntryRefused,
    ),
    "target without SHA-256": (signed("targets", entry(put(hashes={"sha512": "0"}))), errors.TargetEntryRefused),
    "target with a custom field": (signed("targets", entry(put(custom={"a": 1}))), errors.TargetEntryRefused),
    "target of gigabytes": (signed("targets", entry(put(length=1 << 32))), errors.TargetEntryRefused),
    "target of a length that is text": (signed("targets", entry(put(length="7"))), errors.MetadataMalformed),
    "thousands of targets": (signed("targets", many_targets), errors.TargetsTooMany),
    # approvals
    "approval missing": (drop_file(BOB), errors.ApprovalMissing),
    "approval truncated": (edit_file(BOB, lambda d: d[:-9]), errors.ApprovalMalformed),
    "approval of another kind": (
        edit_file(BOB, lambda d: d.replace(b"proofline.approval", b"proofline.manifest")),
        errors.ApprovalMalformed,
    ),
    "approval with two signatures": (edit_file(BOB, envelope_of_two), errors.ApprovalSignatureFalse),
    "approval signed by another approver": (approved_by_other_key, errors.ApprovalSignatureFalse),
    "approval of another's": (
        lambda forge: setattr(forge, "edit_files", lambda files: files.update({BOB: files[ADA]})),
        errors.ApprovalSignatureFalse,
    ),
    "approval for another digest": (signed("approval", put(digest="sha256:" + "0" * 64)), errors.ApprovalDigestWrong),
    "approval for another version": (signed("approval", put(version=2)), errors.ApprovalVersionWrong),
    "approval for another person": (signed("approval", put(person="carol")), errors.ApprovalPersonWrong),
    "approval for another role": (signed("approval", put(role="root")), errors.ApprovalRoleWrong),
    "approval without a ticket": (signed("approval", put(ticket="")), errors.ApprovalTicketMissing),
    "approval with a ticket in two lines": (signed("approval", put(ticket="a\nb")), errors.ApprovalTicketMissing),
    "approval with an empty list of tickets": (signed("approval", put(tickets=[])), errors.FieldLengthWrong),
    "approval at no time": (signed("approval", put(at="yesterday")), errors.FieldTimeMalformed),
    "approval of schema 2": (signed("approval", put(schema=2)), errors.DocumentSchemaUnknown),
    "approval with more fields": (signed("approval", put(note="x")), errors.FieldUnknown),
    "approval with fewer fields": (signed("approval", lambda d: d.pop("at")), errors.FieldMissing),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_repository_is_refused_by_name(case: str) -> None:
    bend, expected = BROKEN[case]
    forge, twin = Forge(), Forge()
    # Another site's root lies on the carrier, not in the station.
    pinned = twin.pinned() if case == "another site's root" else None
    bend(forge)
    with pytest.raises(errors.SiteError) as refusal:
        verify(forge, pinned)
    assert type(refusal.value) is expected, refusal.value
    assert verify(twin).versions.targets == 3


def test_accepted_repository_says_who_approved_what() -> None:
    trust = verify(Forge())
    assert [(one.person, one.ticket) for one in trust.approvals] == [("ada", "CHG-9"), ("bob", "CHG-9")]
    assert trust.versions.as_record() == {"root": 1, "timestamp": 3, "snapshot": 3, "targets": 3}
    files = Forge().files()
    trust = SiteTrust.verify(Memory(files), files["metadata/1.root.json"])
    assert trust.anchor == f"sha256:{sha(files['metadata/1.root.json'])}"


def test_third_approval_that_does_not_hold_does_not_count_and_does_not_harm() -> None:
    forge = Forge(targets_signers=["ada", "bob", "carol"])
    drop_file("approvals/3/carol.json")(forge)
    assert [one.person for one in verify(forge).approvals] == ["ada", "bob"]


def test_any_two_of_three_are_enough_in_any_order() -> None:
    for pair in (["carol", "ada"], ["bob", "carol"]):
        assert [one.person for one in verify(Forge(targets_signers=pair)).approvals] == sorted(pair)


def test_chain_of_roots_is_followed_and_a_replaced_approver_counts_no_more() -> None:
    def replace_bob(root: Doc) -> None:
        root["keys"]["id-dave"] = tuf_key("dave", "dave")
        del root["keys"]["id-bob"]
        for role in ("root", "targets"):
            root["roles"][role]["keyids"] = ["id-ada", "id-carol", "id-dave"]

    forge = Forge(edit_next_root=replace_bob, next_root_signers=["ada", "bob", "carol"])
    with pytest.raises(errors.SignaturesTooFew):
        verify(forge)
    forge.targets_signers = ["ada", "dave"]
    forge.approvers["dave"] = "dave"
    # Root 1 is made from `approvers`, too: pin the original one.
    original = Forge(next_root_signers=forge.next_root_signers)
    files = forge.files()
    files["metadata/1.root.json"] = original.pinned()
    trust = SiteTrust.verify(Memory(files), files["metadata/1.root.json"])
    assert trust.versions.root == 2
    assert [one.person for one in trust.approvals] == ["ada", "dave"]


def test_pinned_root_may_be_a_later_one_of_the_same_chain() -> None:
    files = Forge(edit_next_root=lambda _: None).files()
    trust = SiteTrust.verify(Memory(files), files["metadata/2.root.json"])
    assert trust.versions.root == 2


@pytest.mark.parametrize(
    ("earliest", "latest", "status"),
    [
        ("2029-12-31", "2029-12-31", "valid"),
        ("2029-12-31", "2030-01-02", "unsure"),
        ("2030-01-01", "2030-01-02", "expired"),
        ("1970-01-01", "2099-01-01", "unsure"),
    ],
)
def test_expiry_says_what_is_certain(earliest: str, latest: str, status: str) -> None:
    at = Interval(*(datetime.fromisoformat(day).replace(tzinfo=UTC) for day in (earliest, latest)))
    expiry = verify(Forge()).expiry(at)
    assert expiry.status == status
    assert bool(expiry.roles) == (status != "valid")


def test_expiry_without_a_clock_is_unknown_never_valid() -> None:
    assert verify(Forge()).expiry(None).status == "unknown"


def test_target_swapped_after_verification_is_refused_when_it_is_read() -> None:
    files = Forge().files()
    trust = SiteTrust.verify(Memory(files), files["metadata/1.root.json"])
    target = trust.targets["firmware/demo/1.0.0/demo.bin"]
    content = files[target.file]
    for swapped, expected in (
        (content[:-1] + b"\0", errors.DigestWrong),
        (content + b"\0", errors.LengthWrong),
        (None, errors.FileMissing),
    ):
        if swapped is None:
            del files[target.file]
        else:
            files[target.file] = swapped
        with pytest.raises(expected):
            trust.read(target.path)
    files[target.file] = content
    assert trust.read(target.path) == content


def test_what_is_not_approved_is_named() -> None:
    trust = verify(Forge())
    for ask in (
        lambda: trust.order("WO-9"),
        lambda: trust.release("demo", "9"),
        lambda: trust.read("../../etc/passwd"),
    ):
        with pytest.raises(errors.TargetUnknown):
            ask()


@given(st.binary(max_size=300))
def test_root_parser_refuses_noise_by_name(noise: bytes) -> None:
    with pytest.raises(errors.SiteError):
        parse_root(noise, "noise")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-10, 1 << 40) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@given(st.sampled_from(["_type", "spec_version", "version", "expires", "consistent_snapshot", "keys", "roles"]), _JSON)
def test_root_with_anything_in_a_field_is_refused_by_name_or_read(field: str, value: object) -> None:
    root = Forge().root_document(1)
    root[field] = value
    try:
        _, ring = parse_root(sign_loosely(root), "root")
    except ProoflineError:
        return
    assert isinstance(ring, KeyRing)


@given(st.sampled_from([T, S, TS, ADA]), st.integers(0, 10_000), st.integers(0, 255))
def test_no_flipped_byte_anywhere_is_accepted_as_something_else(path: str, position: int, byte: int) -> None:
    files = dict(_FILES)
    document = bytearray(files[path])
    document[position % len(document)] = byte
    files[path] = bytes(document)
    try:
        trust = SiteTrust.verify(Memory(files), files["metadata/1.root.json"])
    except ProoflineError:
        return
    assert trust.digest == _TRUST.digest


def sign_loosely(root: Doc) -> bytes:
    try:
        return sign(root, ["ada", "bob"])
    except (FormatError, UnicodeError):  # the canonical form refuses some values; unsigned they are as good a test
        return json.dumps({"signed": root, "signatures": []}).encode()


_FILES = Forge().files()
_TRUST = SiteTrust.verify(Memory(_FILES), _FILES["metadata/1.root.json"])
