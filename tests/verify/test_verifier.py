"""One manifest, judged by the site's word: what holds, and every way in which it may not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import ProoflineError
from appliance.evidence import envelope, note, statement, strict_json
from appliance.evidence.envelope import Envelope, Signature
from appliance.verify.errors import BAD_INPUT, FALSE, UNDECIDED, outcome_of
from appliance.verify.keys import PublicKey
from appliance.verify.policy import Level, Policy
from appliance.verify.verifier import Verifier
from tests.evidence.samples import Doc
from tests.release.forge import ed25519_spki, key
from tests.verify.workshop import NOW, ORIGIN, UIDS, Site, Station, checkpoint_note, public, sign, verifier

Edit = Callable[[Doc], object]


def refusal_of(act: Callable[[], object]) -> ProoflineError:
    with pytest.raises(ProoflineError) as refused:
        act()
    return refused.value


def nothing(_: Doc) -> None:
    pass


def judge(site: Edit = nothing, unit: Edit = nothing, signer: str = "m1", checkpoint: str = "c1", **policy: Any) -> Any:
    """Make a unit at a good station, bend the site or the unit, and judge it."""
    station = Station(Site().trust())
    found = station.predicate(UIDS[0])
    station.reserve(found)
    unit(found)
    entry = station.conclude(found, signer)
    bent = Site()
    site({"station": bent.forge.documents["stations.json"]["stations"], "documents": bent.forge.documents})
    return verifier(bent.trust(), **policy).check_unit(entry, station.proof(entry, checkpoint))


def test_a_good_unit_holds() -> None:
    unit = judge()
    assert (unit.level, unit.index, unit.signed.manifest.verdict) == (Level.LOGGED, 1, "pass")
    assert unit.signed.notes == ()
    assert unit.checkpoint.station == "bench-01"
    assert unit.checkpoint.strangers == 0


def at_event(**changes: Any) -> Edit:
    return lambda found: found["event"].update(changes)


def manifest_key(**changes: Any) -> Edit:
    return lambda site: site["station"][0]["keys"][0].update(changes)


def checkpoint_key(**changes: Any) -> Edit:
    return lambda site: site["station"][0]["keys"][1].update(changes)


def document(path: str, **changes: Any) -> Edit:
    return lambda site: site["documents"][path].update(changes)


def development(found: Doc) -> None:
    found["station"].update(kind="development", image=None)


def failed(found: Doc) -> None:
    found["event"].update(verdict="fail", refusal={"code": "PL-TGT-001", "engineer": "range image differs"})


BEFORE, THEN, AFTER = "2026-11-01T00:00:00.000000Z", "2026-11-22T12:00:02.005000Z", "2026-12-01T00:00:00.000000Z"

BENT: list[tuple[str, dict[str, Any], str, int]] = [
    ("station not listed", {"unit": lambda f: f["station"].update(id="bench-09")}, "PL-VRF-001", UNDECIDED),
    ("station elsewhere", {"unit": lambda f: f["station"].update(site="other")}, "PL-VRF-002", FALSE),
    ("development station", {"unit": development}, "PL-VRF-003", FALSE),
    ("a stranger's signature", {"signer": "mallory"}, "PL-VRF-004", FALSE),
    ("the checkpoint key's signature", {"signer": "c1"}, "PL-VRF-005", FALSE),
    ("an approver's signature", {"signer": "ada"}, "PL-VRF-004", FALSE),
    ("key ended before", {"site": manifest_key(until=BEFORE)}, "PL-VRF-008", FALSE),
    ("key ended within", {"site": manifest_key(until=THEN)}, "PL-VRF-008", FALSE),
    ("key began within", {"site": manifest_key(**{"from": THEN})}, "PL-VRF-008", FALSE),
    ("key revoked before", {"site": manifest_key(revoked={"at": BEFORE, "reason": "lost"})}, "PL-VRF-009", FALSE),
    ("key revoked within", {"site": manifest_key(revoked={"at": THEN, "reason": "lost"})}, "PL-VRF-009", FALSE),
    ("another site's root", {"unit": lambda f: f["station"].update(anchor="sha256:" + "0" * 64)}, "PL-VRF-010", FALSE),
    ("no keys any more", {"site": lambda s: s["station"][0].update(keys=[])}, "PL-VRF-011", UNDECIDED),
    ("no checkpoint key", {"site": lambda s: s["station"][0]["keys"].pop(1)}, "PL-VRF-011", UNDECIDED),
    ("checkpoint by the manifest key", {"checkpoint": "m1"}, "PL-EVD-045", FALSE),
    ("checkpoint by a stranger", {"checkpoint": "mallory"}, "PL-EVD-045", FALSE),
    ("checkpoint key over", {"site": checkpoint_key(until=BEFORE)}, "PL-VRF-012", FALSE),
    ("checkpoint key revoked", {"site": checkpoint_key(revoked={"at": AFTER, "reason": "x"})}, "PL-VRF-009", FALSE),
    ("failed unit", {"unit": failed}, "PL-VRF-014", FALSE),
    ("witness asked for", {"minimum": Level.WITNESSED}, "PL-VRF-015", UNDECIDED),
    (
        "reservation behind",
        {"unit": lambda f: f["event"]["reservation"].update(index=1)},
        "PL-VRF-016",
        FALSE,
    ),
    ("release digest", {"unit": lambda f: f["release"].update(digest="sha256:" + "0" * 64)}, "PL-VRF-031", FALSE),
    (
        "other ranges approved",
        {"unit": lambda f: f["measurement"]["ranges"][0].update(name="image", start=0x0800_0004)},
        "PL-VRF-031",
        FALSE,
    ),
    ("order of another size", {"unit": lambda f: f["order"].update(quantity=11)}, "PL-VRF-032", FALSE),
    ("order of another ticket", {"unit": lambda f: f["order"].update(ticket="CHG-3")}, "PL-VRF-032", FALSE),
    ("order not open", {"site": document("orders/WO-1.json", opens=AFTER)}, "PL-VRF-032", FALSE),
    ("order of another station", {"site": document("orders/WO-1.json", stations=["bench-02"])}, "PL-VRF-032", FALSE),
    (
        "an approver left out",
        {"unit": lambda f: f["release"]["approvals"].pop()},
        "PL-VRF-033",
        FALSE,
    ),
    (
        "another ticket approved",
        {"unit": lambda f: f["release"]["approvals"][0].update(ticket="CHG-0")},
        "PL-VRF-033",
        FALSE,
    ),
    ("product not allowed", {"site": lambda s: s["station"][0].update(products=["other"])}, "PL-VRF-034", FALSE),
    (
        "operator gone before",
        {"site": lambda s: s["documents"]["roster.json"]["operators"][0].update(until=BEFORE)},
        "PL-VRF-035",
        FALSE,
    ),
]


@pytest.mark.parametrize(("bend", "code", "outcome"), [row[1:] for row in BENT], ids=[row[0] for row in BENT])
def test_a_bent_unit_does_not_hold(bend: dict[str, Any], code: str, outcome: int) -> None:
    refusal = refusal_of(lambda: judge(**bend))
    assert (refusal.code, outcome_of(refusal)) == (code, outcome)


@pytest.mark.parametrize(
    "bend",
    [
        {"unit": development, "allow_development": True},
        {"unit": failed, "require_pass": False},
        {"site": manifest_key(revoked={"at": AFTER, "reason": "lost"})},
        {"site": lambda s: s["station"][0]["keys"].append({**s["station"][0]["keys"][0], "public": public("m2")})},
        {"site": manifest_key(until="2026-11-22T12:00:02.010002Z")},
    ],
)
def test_what_the_policy_or_the_site_allows_holds(bend: dict[str, Any]) -> None:
    assert judge(**bend).level == Level.LOGGED


def test_another_stations_key_is_named() -> None:
    station = Station(Site().trust())
    entry = station.unit(UIDS[0], name="m9")
    site = Site()
    other = site.forge.documents["stations.json"]["stations"][1]
    mine = site.forge.documents["stations.json"]["stations"][0]["keys"][0]
    other["keys"] = [{**mine, "public": public("m9")}]
    refusal = refusal_of(lambda: verifier(site.trust()).check_manifest(entry))
    assert (refusal.code, refusal.details["found"]) == ("PL-VRF-006", "bench-02")


def test_without_a_proof_only_the_signature_is_established() -> None:
    trust = Site().trust()
    entry = Station(trust).unit(UIDS[0])
    assert verifier(trust, minimum=Level.SIGNED).check_unit(entry, None).level == Level.SIGNED
    assert refusal_of(lambda: verifier(trust).check_unit(entry, None)).code == "PL-VRF-015"


def test_a_revoked_keys_manifest_needs_the_log() -> None:
    entry = Station(Site().trust()).unit(UIDS[0])
    site = Site().bend(lambda s: s["keys"][0].update(revoked={"at": AFTER, "reason": "lost"}))
    judge_it = verifier(site.trust(), minimum=Level.SIGNED)
    assert refusal_of(lambda: judge_it.check_unit(entry, None)).code == "PL-VRF-009"


def test_the_key_id_is_a_hint_and_nothing_more() -> None:
    trust = Site().trust()
    payload = statement.build_manifest(_reserved(Station(trust)))
    good = envelope.decode(sign("m1", payload), {statement.STATEMENT_PAYLOAD}).signatures[0].sig
    for keyid in ("", "sha256:00", "c1"):
        entry = envelope.encode(Envelope(statement.STATEMENT_PAYLOAD, payload, (Signature(good, keyid),)))
        assert verifier(trust).check_manifest(entry).key.purpose == "manifest"


def _reserved(station: Station) -> Doc:
    found = station.predicate(UIDS[0])
    station.reserve(found)
    return found


def test_signatures_over_something_else_do_not_count() -> None:
    trust = Site().trust()
    kind = statement.STATEMENT_PAYLOAD
    payload = statement.build_manifest(_reserved(Station(trust)))
    good = envelope.decode(sign("m1", payload), {kind}).signatures[0]
    other_type = envelope.decode(sign("m1", payload, "application/json"), {"application/json"}).signatures[0]
    bare = Signature(key("m1").sign(payload, ECDSA(SHA256())))
    other = statement.build_manifest(_reserved(Station(trust)) | {"stages": []})
    for body, signatures, code in (
        (payload, (other_type,), "PL-VRF-004"),
        (payload, (bare,), "PL-VRF-004"),
        (other, (good,), "PL-VRF-004"),
        (payload, (Signature(good.sig[:-1]),), "PL-VRF-004"),
        (payload, (good, good), "PL-VRF-007"),
        (payload, (), "PL-EVD-014"),
    ):
        entry = envelope.encode(Envelope(kind, body, signatures))
        assert refusal_of(lambda e=entry: verifier(trust).check_manifest(e)).code == code  # type: ignore[misc]  # a lambda that keeps its row


def test_only_a_manifest_is_a_manifest() -> None:
    trust = Site().trust()
    station = Station(trust)
    station.unit(UIDS[0])
    batch = station.refusals()
    assert refusal_of(lambda: verifier(trust).check_manifest(batch)).code == "PL-EVD-071"
    assert refusal_of(lambda: verifier(trust).check_manifest(station.entries[0])).code == "PL-EVD-013"
    approval = sign("ada", strict_json.encode({}), "application/vnd.proofline.approval+json")
    assert refusal_of(lambda: verifier(trust).check_manifest(approval)).code == "PL-EVD-013"
    assert outcome_of(refusal_of(lambda: verifier(trust).check_manifest(b"garbage"))) == BAD_INPUT


def test_the_proof_of_another_unit_is_no_proof() -> None:
    trust = Site().trust()
    station = Station(trust)
    first, second = station.unit(UIDS[0]), station.unit(UIDS[1])
    judge_it = verifier(trust)
    assert judge_it.check_unit(first, station.proof(first)).index == 1
    assert refusal_of(lambda: judge_it.check_unit(first, station.proof(second))).code == "PL-EVD-022"
    rest = station.proof(first).replace(b"index 1\n", b"index 3\n")
    assert refusal_of(lambda: judge_it.check_unit(first, rest)).code == "PL-EVD-022"
    beyond = station.proof(first).replace(b"index 1\n", b"index 4\n")
    assert refusal_of(lambda: judge_it.check_unit(first, beyond)).code == "PL-EVD-020"


def test_a_checkpoint_speaks_for_its_own_log_only() -> None:
    trust = Site().trust()
    station = Station(trust)
    station.unit(UIDS[0])
    judge_it = verifier(trust)
    assert refusal_of(lambda: judge_it.check_checkpoint(station.checkpoint(), "elsewhere")).code == "PL-VRF-013"
    assert (
        refusal_of(lambda: judge_it.check_checkpoint(station.checkpoint(), "demo.example/bench-02")).code
        == "PL-EVD-051"
    )
    foreign = station.checkpoint(origin="demo.example/bench-02")
    assert refusal_of(lambda: judge_it.check_checkpoint(foreign, ORIGIN)).code == "PL-EVD-051"


def test_strangers_on_a_checkpoint_are_counted_not_believed() -> None:
    trust = Site().trust()
    stranger = note.NoteSignature("witness.example/w", b"abcd", bytes(72))
    document_ = checkpoint_note("c1", 1, bytes(32), ORIGIN, stranger)
    assert verifier(trust).check_checkpoint(document_, ORIGIN).strangers == 1


def test_a_forged_line_of_a_known_key_spoils_the_checkpoint() -> None:
    trust = Site().trust()
    line = note.parse(checkpoint_note("c1", 1, bytes(32))).signatures[0]
    document_ = checkpoint_note("c1", 2, bytes(32), ORIGIN, line)
    assert refusal_of(lambda: verifier(trust).check_checkpoint(document_, ORIGIN)).code == "PL-EVD-046"


def test_an_expired_site_decides_nothing_unless_it_is_accepted() -> None:
    site = Site()
    site.forge.expires = "2026-11-22T13:00:00Z"
    trust = site.trust()
    refusal = refusal_of(lambda: verifier(trust))
    assert (refusal.code, outcome_of(refusal)) == ("PL-VRF-030", UNDECIDED)
    assert verifier(trust, accept_expired=True).expiry.status == "expired"
    assert refusal_of(lambda: Verifier(trust, Policy(), None)).code == "PL-VRF-030"
    assert Verifier(Site().trust(), Policy(), NOW).expiry.status == "valid"


def test_what_the_site_no_longer_lists_is_said() -> None:
    station = Station(Site().trust())
    entry = station.unit(UIDS[0])
    site = Site()
    for path in ("orders/WO-1.json", "releases/demo/1.0.0.json"):
        del site.forge.documents[path]
    site.forge.documents["roster.json"]["operators"].pop(0)
    site.forge.version = 4
    notes = verifier(site.trust()).check_manifest(entry).notes
    assert [what for what, _ in notes] == ["work order", "approvals", "release", "operator"]


def test_an_order_amended_later_does_not_make_old_evidence_false() -> None:
    station = Station(Site().trust())
    entry = station.unit(UIDS[0])
    site = Site()
    site.forge.documents["orders/WO-1.json"].update(quantity=500, ticket="CHG-77")
    assert refusal_of(lambda: verifier(site.trust()).check_manifest(entry)).code == "PL-VRF-032"
    site.forge.version = 4
    assert [what for what, _ in verifier(site.trust()).check_manifest(entry).notes] == ["work order", "approvals"]


def test_a_refused_press_may_break_the_very_rule_it_was_refused_for() -> None:
    station = Station(Site().trust())
    found = station.predicate(UIDS[0])
    found["event"].update(verdict="refused", refusal={"code": "PL-LIN-002", "engineer": "order not open"})
    entry = station.conclude(found | {"measurement": None})
    site = Site()
    site.forge.documents["orders/WO-1.json"]["opens"] = AFTER
    assert verifier(site.trust()).check_manifest(entry).manifest.verdict == "refused"


def test_ed25519_keys_verify_too() -> None:
    public = PublicKey(ed25519_spki())
    assert public.note_type == note.ED25519
    assert len(public.note_material) == 32
    assert not public.verify(b"message", bytes(64))
    assert not public.verify(b"message", b"short")


HELD = Station(Site().trust())
ENTRY = HELD.unit(UIDS[0])
PROOF = HELD.proof(ENTRY)
JUDGE = verifier(HELD.trust)


@settings(max_examples=300, deadline=None)
@given(st.booleans(), st.integers(0, 4000), st.binary(max_size=4), st.integers(0, 6))
def test_bent_files_are_refused_by_name_or_mean_the_same(in_proof: bool, at: int, patch: bytes, cut: int) -> None:
    good = PROOF if in_proof else ENTRY
    at %= len(good)
    bad = good[:at] + patch + good[at + cut :]
    try:
        unit = JUDGE.check_unit(ENTRY, bad) if in_proof else JUDGE.check_unit(bad, PROOF)
    except ProoflineError:
        return
    # What still holds is the entry itself; around it only lines that nobody here can judge may differ.
    assert in_proof or bad == ENTRY
    assert unit.signed.manifest.predicate == JUDGE.check_unit(ENTRY, PROOF).signed.manifest.predicate


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300), st.binary(max_size=300))
def test_any_bytes_are_refused_by_name(entry: bytes, proof_document: bytes) -> None:
    for act in (
        lambda: JUDGE.check_unit(entry, proof_document),
        lambda: JUDGE.check_unit(ENTRY, proof_document),
        lambda: JUDGE.check_checkpoint(proof_document, ORIGIN),
    ):
        assert outcome_of(refusal_of(act)) in {FALSE, BAD_INPUT}
