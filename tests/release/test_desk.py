"""The desk with real tokens: nothing is in force before enough different people approved exactly those bytes."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance.errors import ProoflineError
from appliance.evidence import envelope, strict_json
from appliance.intake.errors import ReleaseTampered
from appliance.release import errors
from appliance.release.contribution import contribute
from appliance.release.desk import Desk
from appliance.release.draft import Draft, NewStationKey
from appliance.release.proposal import CEREMONY_TYPE
from appliance.release.roots import Approver, Online
from appliance.target.errors import ImageNotBootable
from appliance.verify import site_errors
from appliance.verify.site import Directory, SiteTrust
from tests.release.forge import IMAGE, START, spki
from tests.release.token_holder import TokenHolder

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=300)
People = dict[str, TokenHolder]


@pytest.fixture
def desk(tmp_path: Path, people: People) -> Desk:
    """A desk whose root ceremony is over."""
    made = new_desk(tmp_path / "desk", people)
    approve(made, people, "ada", "bob")
    made.promote(people["desk"], NOW)
    return made


def new_desk(folder: Path, people: People) -> Desk:
    return Desk.create(
        folder,
        site="demo",
        approvers=[Approver(person, people[person].public) for person in ("ada", "bob", "carol")],
        online=Online(people["desk"].public, "the desk's safe"),
        place="office",
        machine={"system": "test"},
        now=NOW,
    )


def approve(desk: Desk, people: People, *persons: str, ticket: str = "CHG-1") -> None:
    for person in persons:
        desk.approve(people[person], person=person, ticket=ticket, expect=desk.proposal().digest, at=NOW)


def fill(draft: Draft) -> None:
    draft.set_profile("demo", part="stm32f412xg", swclk_hz=4_000_000, prefix="FW")
    add_release(draft, "1.0.0")
    draft.set_station(
        "bench-01",
        site="demo",
        origin="demo.example/bench-01",
        products=["*"],
        keys=[NewStationKey("manifest", "ecdsa-p256-sha256", spki("m1"), NOW, LATER)],
    )
    draft.add_order(
        "WO-1",
        sku="demo",
        version="1.0.0",
        quantity=2,
        stations=["bench-01"],
        ticket="CHG-2",
        opens=NOW,
        closes=LATER,
    )
    draft.set_operator("olga", name="Olga", badge="B-1", roles=["operator"], since=NOW, until=LATER)
    draft.set_settings("bench-01", max_width_ms=1000, max_unexported_entries=10, session_s=60, probe="any")


def add_release(draft: Draft, version: str, content: bytes = IMAGE) -> None:
    draft.add_firmware(
        "demo",
        version,
        content,
        name="demo.bin",
        format="bin",
        built_at=NOW,
        build_id="b-1",
        ticket="CHG-1",
        load_address=START,
    )


def filled(desk: Desk, people: People) -> None:
    with desk.edit(NOW) as draft:
        fill(draft)
    approve(desk, people, "bob", "carol", ticket="CHG-2")
    desk.promote(people["desk"], NOW)


def test_nothing_is_in_force_before_the_ceremony_is_over(tmp_path: Path, people: People) -> None:
    desk = new_desk(tmp_path / "desk", people)
    with pytest.raises(errors.DeskUnpublished):
        desk.published()
    approve(desk, people, "ada")
    with pytest.raises(errors.ApprovalsTooFew):
        desk.promote(people["desk"], NOW)
    assert desk.in_force() is None


def test_ceremony_is_recorded_and_signed_by_those_who_signed_the_root(desk: Desk, people: People) -> None:
    document = (desk.folder / "ceremonies" / "1.json").read_bytes()
    parsed = envelope.decode(document, (CEREMONY_TYPE,))
    record = strict_json.decode(parsed.payload)
    assert isinstance(record, dict)
    assert [one["person"] for one in record["approvers"]] == ["ada", "bob", "carol"]
    assert record["machine"] == {"system": "test"}
    assert desk.online_holder == "the desk's safe"
    ring = desk.ring()
    assert ring
    message = envelope.pae(CEREMONY_TYPE, parsed.payload)
    signers = {
        key.person
        for one in parsed.signatures
        for key in ring.keys.values()
        if key.digest == one.keyid and key.verify(one.sig, message)
    }
    assert signers == {"ada", "bob"}


def test_ceremony_record_that_was_altered_is_refused(desk: Desk, people: People) -> None:
    filled(desk, people)
    rotate(desk, add=(Approver("dave", people["dave"].public),))
    approve(desk, people, "bob", "carol", "dave")
    desk.promote(people["desk"], NOW)
    assert [one["person"] for one in desk.ceremony(2)["approvers"]] == ["ada", "bob", "carol", "dave"]
    first, second = (desk.folder / "ceremonies" / f"{version}.json" for version in (1, 2))
    good = second.read_bytes()
    unsigned = json.loads(good)
    unsigned["signatures"] = unsigned["signatures"][:1]
    altered = json.loads(good)
    altered["payload"] = json.loads(first.read_bytes())["payload"]
    for document in (b"{}", first.read_bytes(), strict_json.encode(unsigned), strict_json.encode(altered)):
        second.write_bytes(document)
        with pytest.raises(errors.CeremonyFalse):
            desk.ceremony(2)
    second.write_bytes(good)
    assert desk.ceremony(2)["root"]["version"] == 2


def test_what_is_promoted_is_what_was_proposed_and_approvals_travel_along(desk: Desk, people: People) -> None:
    filled(desk, people)
    site = desk.published()
    assert site.release("demo", "1.0.0").ranges[0].start == START
    assert site.read("firmware/demo/1.0.0/demo.bin") == IMAGE
    assert [(one.person, one.ticket) for one in site.approvals] == [("bob", "CHG-2"), ("carol", "CHG-2")]
    assert site.versions.as_record() == {"root": 1, "timestamp": 2, "snapshot": 2, "targets": 2}
    assert not desk.has_proposal()


def test_proposal_says_every_difference_and_its_digest(desk: Desk, people: People) -> None:
    filled(desk, people)
    with desk.edit(NOW) as draft:
        draft.expire_order("WO-1", NOW + timedelta(days=1))
        draft.set_operator("lea", name="Lea", badge="B-2", roles=["lead"], since=NOW, until=LATER)
    shown = "\n".join(desk.show())
    assert desk.proposal().digest in shown
    assert "~ orders/WO-1.json" in shown
    assert '~ closes: "2027-09-18T12:00:00.000000Z" -> "2026-11-23T12:00:00.000000Z"' in shown
    assert '+ operators[lea].roles: ["lead"]' in shown
    assert "firmware/" not in shown


def test_approval_of_a_proposal_that_changed_since_is_refused(desk: Desk, people: People) -> None:
    with desk.edit(NOW) as draft:
        fill(draft)
    seen = desk.proposal().digest
    approve(desk, people, "ada")
    with desk.edit(NOW) as draft:
        draft.expire_order("WO-1", NOW + timedelta(days=1))
    assert desk.contributions() == []
    with pytest.raises(errors.NotTheProposal):
        desk.approve(people["bob"], person="bob", ticket="CHG-1", expect=seen, at=NOW)


def test_contribution_made_elsewhere_is_handed_in_in_any_order(desk: Desk, people: People) -> None:
    with desk.edit(NOW) as draft:
        fill(draft)
    proposal, ring = desk.proposal(), desk.ring()
    made = [
        contribute(
            proposal, ring, people[person], person=person, expect=proposal.digest, ticket="CHG-3", at=NOW
        ).to_bytes()
        for person in ("carol", "ada", "bob")
    ]
    for document in reversed(made):
        desk.hand_in(document)
    assert len(desk.promote(people["desk"], NOW).approvals) == 3


def sign_root_too(contribution: dict[str, object]) -> None:
    signatures = contribution["signatures"]
    assert isinstance(signatures, dict)
    signatures["root"] = signatures["targets"]


CONTRIBUTIONS: list[tuple[str, Callable[[dict[str, object]], object], type[ProoflineError]]] = [
    ("of another schema", lambda c: c.update(schema=2), errors.ContributionMalformed),
    ("with a field more", lambda c: c.update(note=""), errors.ContributionMalformed),
    ("for another proposal", lambda c: c.update(proposal="sha256:" + "0" * 64), errors.ContributionForeign),
    ("in another's name", lambda c: c.update(person="bob"), errors.NoApprover),
    ("by a key that nobody knows", lambda c: c.update(keyid="0" * 64), errors.NoApprover),
    ("by a key id that is a list", lambda c: c.update(keyid=[]), errors.ContributionMalformed),
    ("without signatures", lambda c: c.update(signatures={}), errors.ContributionFalse),
    ("with a false signature", lambda c: c.update(signatures={"targets": "AAAA"}), errors.ContributionFalse),
    ("that signs a root as well", sign_root_too, errors.ContributionMalformed),
    ("without its approval", lambda c: c.update(approval=None), errors.ContributionMalformed),
    ("with a broken approval", lambda c: c.update(approval="{}"), errors.ContributionMalformed),
]


@pytest.mark.parametrize(("_case", "bend", "expected"), CONTRIBUTIONS, ids=[case for case, _, _ in CONTRIBUTIONS])
def test_broken_contribution_is_refused_by_name(
    desk: Desk,
    people: People,
    _case: str,
    bend: Callable[[dict[str, object]], object],
    expected: type[ProoflineError],
) -> None:
    with desk.edit(NOW) as draft:
        fill(draft)
    proposal = desk.proposal()
    made = contribute(
        proposal, desk.ring(), people["ada"], person="ada", expect=proposal.digest, ticket="CHG-3", at=NOW
    )
    document = json.loads(made.to_bytes())
    bend(document)
    with pytest.raises(ProoflineError) as refusal:
        desk.hand_in(strict_json.encode(document))
    assert type(refusal.value) is expected, refusal.value
    desk.hand_in(made.to_bytes())


def test_who_has_no_say_cannot_approve(desk: Desk, people: People) -> None:
    with desk.edit(NOW) as draft:
        fill(draft)
    digest = desk.proposal().digest
    for key, person in (("dave", "dave"), ("dave", "ada"), ("bob", "ada"), ("desk", "desk")):
        with pytest.raises(errors.NoApprover):
            desk.approve(people[key], person=person, ticket="CHG-1", expect=digest, at=NOW)
    with pytest.raises(errors.TicketMissing):
        desk.approve(people["ada"], person="ada", ticket="", expect=digest, at=NOW)


def test_only_the_desks_own_key_seals(desk: Desk, people: People) -> None:
    with pytest.raises(errors.OnlineKeyWrong):
        desk.renew(people["desk2"], NOW)
    before = desk.published()
    after = desk.renew(people["desk"], NOW + timedelta(days=30))
    assert after.digest == before.digest
    assert after.versions.timestamp == before.versions.timestamp + 1
    assert after.expires["timestamp"] > before.expires["timestamp"]


def edit_error(desk: Desk, change: Callable[[Draft], object]) -> type[ProoflineError]:
    with pytest.raises(ProoflineError) as refusal, desk.edit(NOW) as draft:
        change(draft)
    assert not desk.has_proposal()
    return type(refusal.value)


REFUSED_EDITS: list[tuple[str, Callable[[Draft], object], type[ProoflineError]]] = [
    ("nothing", lambda d: None, errors.NothingProposed),
    ("a release again", lambda d: add_release(d, "1.0.0"), errors.AlreadyThere),
    ("a release of an unknown product", lambda d: d.add_firmware(
        "other", "1", IMAGE, name="x.bin", format="bin", built_at=NOW, build_id="b", ticket="C", load_address=START
    ), site_errors.TargetUnknown),
    ("firmware that cannot boot", lambda d: add_release(d, "2", bytes(64)), ImageNotBootable),
    ("a release with a path for a version", lambda d: add_release(d, "../2"), site_errors.ReleaseRefused),
    ("an order again", lambda d: d.add_order(
        "WO-1", sku="demo", version="1.0.0", quantity=1, stations=["bench-01"], ticket="C", opens=NOW, closes=LATER
    ), errors.AlreadyThere),
    ("an order for nothing", lambda d: d.add_order(
        "WO-2", sku="demo", version="9", quantity=1, stations=["bench-01"], ticket="C", opens=NOW, closes=LATER
    ), site_errors.ReferenceBroken),
    ("an order that never opens", lambda d: d.add_order(
        "WO-2", sku="demo", version="1.0.0", quantity=1, stations=["bench-01"], ticket="C", opens=LATER, closes=NOW
    ), site_errors.WindowEmpty),
    ("no release while an order needs it", lambda d: d.revoke_release("demo", "1.0.0"), errors.StillNeeded),
    ("an order that is not there", lambda d: d.revoke_order("WO-9"), errors.NotThere),
    ("an operator that is not there", lambda d: d.remove_operator("nobody"), errors.NotThere),
    ("a station key that is not there", lambda d: d.revoke_station(
        "bench-01", at=NOW, reason="x", key="ff" * 32
    ), errors.NotThere),
    ("a badge twice", lambda d: d.set_operator(
        "two", name="Two", badge="B-1", roles=["lead"], since=NOW, until=LATER
    ), site_errors.RosterTwice),
    ("settings of no station", lambda d: d.set_settings(
        "bench-99", max_width_ms=1, max_unexported_entries=1, session_s=1, probe="any"
    ), site_errors.ReferenceBroken),
]  # fmt: skip


def test_what_a_station_would_refuse_never_gets_into_a_proposal(desk: Desk, people: People) -> None:
    filled(desk, people)
    found = {case: edit_error(desk, change) for case, change, _ in REFUSED_EDITS}
    assert found == {case: expected for case, _, expected in REFUSED_EDITS}


def test_allowlist_written_by_hand_is_not_proposed(desk: Desk, people: People) -> None:
    filled(desk, people)

    def forge(draft: Draft) -> None:
        document = strict_json.decode(draft.read("releases/demo/1.0.0.json"))
        assert isinstance(document, dict)
        document["ranges"][0]["sha256"] = "0" * 64
        draft.put("releases/demo/1.0.0.json", strict_json.encode(document))

    assert edit_error(desk, forge) is ReleaseTampered


def test_release_and_order_are_revoked_and_expired_by_a_new_proposal(desk: Desk, people: People) -> None:
    filled(desk, people)
    with desk.edit(NOW) as draft:
        draft.expire_release("demo", "1.0.0", NOW + timedelta(days=2))
    approve(desk, people, "ada", "carol")
    assert desk.promote(people["desk"], NOW).order("WO-1").open.until == NOW + timedelta(days=2)
    with desk.edit(NOW) as draft:
        draft.revoke_release("demo", "1.0.0", with_orders=True)
        draft.revoke_station("bench-01", at=NOW, reason="stolen")
    approve(desk, people, "ada", "carol")
    site = desk.promote(people["desk"], NOW)
    assert site.names("releases") == site.names("orders") == ()
    assert not any(path.startswith("firmware/") for path in site.targets)
    station = site.stations().station("bench-01")
    assert station
    assert station.keys[0].revoked
    assert not any("demo.bin" in path.name for path in desk.repository.rglob("*"))


def rotate(desk: Desk, *, add: tuple[Approver, ...] = (), remove: tuple[str, ...] = (), **more: object) -> None:
    desk.rotate(add=add, remove=remove, place="office", machine={}, now=NOW, **more)  # type: ignore[arg-type]  # threshold or online


def test_root_rotation_needs_old_and_new_and_proof_of_possession(desk: Desk, people: People) -> None:
    filled(desk, people)  # bob and carol approved what is in force
    rotate(desk, add=(Approver("dave", people["dave"].public),), remove=("ada",))
    assert desk.proposal().targets is None
    approve(desk, people, "bob", "carol")
    with pytest.raises(errors.PossessionUnproven):
        desk.promote(people["desk"], NOW)
    approve(desk, people, "dave")
    site = desk.promote(people["desk"], NOW)
    assert (site.versions.root, site.versions.targets) == (2, 2)
    # A station that pins the first root follows; one that pins the second starts there.
    for version in (1, 2):
        pinned = (desk.repository / "metadata" / f"{version}.root.json").read_bytes()
        assert SiteTrust.verify(Directory(desk.repository), pinned).versions.root == 2
    with desk.edit(NOW) as draft:
        draft.expire_order("WO-1", NOW + timedelta(days=1))
    with pytest.raises(errors.NoApprover):
        approve(desk, people, "ada")
    approve(desk, people, "dave", "bob")
    assert desk.promote(people["desk"], NOW).versions.targets == 3


def test_rotation_that_takes_an_approval_away_asks_for_it_again(desk: Desk, people: People) -> None:
    filled(desk, people)
    rotate(desk, add=(Approver("dave", people["dave"].public),), remove=("bob",))
    assert desk.proposal().targets is not None
    approve(desk, people, "dave")
    approve(desk, people, "carol", "bob")
    site = desk.promote(people["desk"], NOW)
    assert [one.person for one in site.approvals] == ["carol", "dave"]


def test_rotation_without_enough_of_the_old_is_refused(desk: Desk, people: People) -> None:
    filled(desk, people)
    rotate(desk, add=(Approver("dave", people["dave"].public),), remove=("ada",))
    approve(desk, people, "bob", "dave")
    with pytest.raises(errors.ApprovalsTooFew):
        desk.promote(people["desk"], NOW)
    with pytest.raises(errors.LastApprovers):
        rotate(desk, remove=("ada", "bob"))
    with pytest.raises(site_errors.RootThresholdTooLow):
        rotate(desk, threshold=1)


def test_one_key_under_two_names_is_refused(desk: Desk, people: People) -> None:
    with pytest.raises(errors.InputMalformed):
        rotate(desk, add=(Approver("mallory", people["ada"].public),))
    with pytest.raises(site_errors.SiteError):
        rotate(desk, online=Online(people["ada"].public, "ada"))


def test_online_key_is_replaced_by_a_rotation(desk: Desk, people: People) -> None:
    filled(desk, people)
    rotate(desk, online=Online(people["desk2"].public, "the new safe"))
    approve(desk, people, "ada", "bob")
    with pytest.raises(errors.OnlineKeyWrong):
        desk.promote(people["desk"], NOW)
    assert desk.promote(people["desk2"], NOW).versions.root == 2
    assert desk.online_holder == "the new safe"


def test_export_is_a_carrier_that_verifies(desk: Desk, people: People, tmp_path: Path) -> None:
    filled(desk, people)
    assert desk.export(tmp_path / "stick").digest == desk.published().digest
    with pytest.raises(errors.CarrierTargetInUse):
        desk.export(tmp_path / "stick")


def test_published_files_that_were_altered_are_noticed(desk: Desk, people: People) -> None:
    filled(desk, people)
    target = desk.published().targets["roster.json"]
    path = desk.repository / target.file
    path.write_bytes(path.read_bytes().replace(b"Olga", b"Olgb"))
    with pytest.raises(ProoflineError) as refusal, desk.edit(NOW) as draft:
        draft.expire_order("WO-1", NOW + timedelta(days=1))
    assert type(refusal.value) is site_errors.DigestWrong


def test_nothing_that_a_station_would_refuse_is_published(desk: Desk, people: People) -> None:
    filled(desk, people)
    path = desk.repository / desk.published().targets["firmware/demo/1.0.0/demo.bin"].file
    path.write_bytes(bytes(len(IMAGE)))
    before = desk.repository
    with pytest.raises(errors.PromotionRefused, match="PL-SIT-021"):
        desk.renew(people["desk"], NOW)
    assert desk.repository == before
    assert [place.name for place in before.parent.iterdir() if place.name.startswith("new")] == []


def test_proposal_on_what_is_no_longer_in_force_is_stale(desk: Desk, people: People) -> None:
    with desk.edit(NOW) as draft:
        fill(draft)
    old = (desk.folder / "proposal.json").read_bytes()
    desk.drop()
    for name in ("lea", "leo"):
        with desk.edit(NOW) as draft:
            draft.set_operator(name, name=name, badge=name, roles=["lead"], since=NOW, until=LATER)
        approve(desk, people, "ada", "bob")
        desk.promote(people["desk"], NOW)
    (desk.folder / "proposal.json").write_bytes(old)
    with pytest.raises(errors.ProposalStale):
        desk.promote(people["desk"], NOW)
    with pytest.raises(errors.ProposalStale), desk.edit(NOW):
        pass


def test_folder_that_is_no_desk_is_refused(tmp_path: Path, people: People) -> None:
    with pytest.raises(errors.DeskMissing):
        Desk(tmp_path)
    (tmp_path / "desk.json").write_text("{}")
    with pytest.raises(errors.DeskMissing):
        Desk(tmp_path)
    with pytest.raises(errors.DeskExists):
        new_desk(tmp_path, people)


def test_desk_without_a_proposal_says_so(desk: Desk, people: People) -> None:
    for ask in (desk.show, desk.drop, desk.contributions, lambda: desk.promote(people["desk"], NOW)):
        with pytest.raises(errors.NoProposal):
            ask()
    with desk.edit(NOW) as draft:
        fill(draft)
    (desk.folder / "proposal.json").write_bytes(b"{}")
    with pytest.raises(errors.DeskDamaged):
        desk.show()
