"""A whole log: every entry genuine, and still it may not make sense. Each way has its row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from appliance.errors import ProoflineError
from appliance.evidence import envelope, log, statement
from appliance.evidence.envelope import Envelope
from appliance.verify.audit import Audit, Summary
from tests.evidence import samples
from tests.evidence.samples import Doc
from tests.verify.workshop import ORIGIN, UIDS, Shelf, Site, Station, public, sign, verifier

TRUST = Site().trust()


def recount(station: Station, **policy: Any) -> Summary:
    files = station.files()
    judge = verifier(station.trust, **policy)
    trusted = judge.check_checkpoint(files["checkpoint"], ORIGIN)
    audit = Audit(judge, trusted)
    for index, entry in log.recount(Shelf(files), trusted.checkpoint):
        audit.add(index, entry)
    return audit.finish()


def quarantine(found: Doc) -> None:
    found["event"].update(verdict="quarantined", refusal={"code": "PL-LIN-009", "engineer": "power cut"})
    found["measurement"] = None


def rework(found: Doc) -> None:
    found["event"]["kind"] = "rework"


def working_day() -> Station:
    """Passes, a refusal without a device, a quarantine and its rework, journalled refusals, work in progress."""
    station = Station(TRUST)
    station.unit(UIDS[0])
    station.refusals(2)
    found = station.predicate(UIDS[1])
    found["event"].update(verdict="refused", refusal={"code": "PL-LIN-001", "engineer": "no board"})
    station.conclude(found | {"device": None, "measurement": None})
    station.unit(UIDS[2], quarantine)
    again = station.predicate(UIDS[2])
    rework(again)
    station.reserve(again)
    station.conclude(again)
    station.refusals(3)
    station.reserve(station.predicate(UIDS[3]))
    return station


def test_a_working_day_adds_up() -> None:
    station = working_day()
    summary = recount(station)
    assert summary.verdicts == {"pass": 2, "refused": 1, "quarantined": 1}
    assert (summary.entries, summary.reservations, summary.devices) == (10, 4, 3)
    assert (summary.refusals, summary.open_reservations) == (5, (9,))
    assert summary.earliest is not None
    assert summary.latest is not None
    assert summary.earliest < summary.latest


def test_an_empty_log_adds_up() -> None:
    assert recount(Station(TRUST)).entries == 0


def refused(station: Station) -> ProoflineError:
    with pytest.raises(ProoflineError) as found:
        recount(station)
    return found.value


def pass_again(station: Station) -> None:
    found = station.predicate(UIDS[0])
    station.reserve(found)
    station.conclude(found)


def as_another_station(station: Station) -> None:
    station.unit(UIDS[1], lambda found: found["station"].update(id="bench-02"))


def reserved_by_another_station(station: Station) -> None:
    station.reserve(station.predicate(UIDS[1]), lambda document: document.update(station="bench-02"))


def same_press_reserved(station: Station) -> None:
    found = station.predicate(UIDS[1])
    station.reserve(found, lambda document: document.update(press=f"{1:032x}"))


def same_press_concluded(station: Station) -> None:
    found = station.predicate(UIDS[1])
    found["event"].update(
        verdict="refused", refusal={"code": "PL-LIN-001", "engineer": "x"}, press=f"{1:032x}", press_digest=PRESS_1
    )
    station.conclude(found | {"device": None, "measurement": None})


PRESS_1 = samples.predicate(1)["event"]["press_digest"]


def left_open(station: Station) -> None:
    station.reserve(station.predicate(UIDS[1]))
    station.reserve(station.predicate(UIDS[2]))


def reservation_of_nobody(station: Station) -> None:
    found = station.predicate(UIDS[1])
    found["event"]["reservation"] = {"index": 1, "digest": "sha256:" + "00" * 32}
    station.conclude(found)


def closed_before(station: Station) -> None:
    found = station.predicate(UIDS[1])
    found["event"]["reservation"] = {"index": 0, "digest": "sha256:" + "00" * 32}
    station.conclude(found)


def differs(**changes: object) -> Callable[[Station], None]:
    def act(station: Station) -> None:
        found = station.predicate(UIDS[1])
        station.reserve(found, lambda document: document.update(changes))
        station.conclude(found)

    return act


def other_digest(station: Station) -> None:
    station.unit(UIDS[1], lambda found: found["event"]["reservation"].update(digest="sha256:" + "00" * 32))


def reservation_denied(station: Station) -> None:
    found = station.predicate(UIDS[1])
    station.reserve(found)
    found["event"].update(verdict="refused", refusal={"code": "PL-LIN-001", "engineer": "x"}, reservation=None)
    station.conclude(found | {"measurement": None})


def event_skipped(station: Station) -> None:
    station.chains[UIDS[0]] = (2, station.chains[UIDS[0]][1])
    found = station.predicate(UIDS[0])
    rework(found)
    station.reserve(found)


def predecessor_forgotten(station: Station) -> None:
    del station.chains[UIDS[0]]
    station.reserve(station.predicate(UIDS[0]))


def another_predecessor(station: Station) -> None:
    station.chains[UIDS[0]] = (1, "sha256:" + "00" * 32)
    station.reserve(station.predicate(UIDS[0]))


def too_many(station: Station) -> None:
    for uid in UIDS[1:11]:
        station.unit(uid)


def back_in_time(station: Station) -> None:
    station.second = -1
    station.unit(UIDS[1])


def journal_gap(station: Station) -> None:
    station.refusals(2)
    station.journal = (3, station.journal[1])
    station.refusals(1)


def journal_fork(station: Station) -> None:
    station.refusals(2)
    station.journal = (2, "sha256:" + "11" * 32)
    station.refusals(1)


def journal_again(station: Station) -> None:
    station.refusals(2)
    station.journal = (0, statement.FIRST_HEAD)
    station.refusals(2)


def foreign_entry(station: Station) -> None:
    station.entries.append(b"not an envelope")


def approval_as_entry(station: Station) -> None:
    station.entries.append(sign("m1", b"{}", "application/vnd.proofline.approval+json"))


def unsigned_manifest(station: Station) -> None:
    payload = statement.build_manifest(samples.refused())
    station.entries.append(envelope.encode(Envelope(statement.STATEMENT_PAYLOAD, payload, ())))


def signed_reservation(station: Station) -> None:
    payload = statement.build_reservation(samples.reservation())
    station.entries.append(sign("m1", payload, statement.RESERVATION_PAYLOAD))


def strangers_manifest(station: Station) -> None:
    station.unit(UIDS[1], name="mallory")


def manifest_by_checkpoint_key(station: Station) -> None:
    station.unit(UIDS[1], name="c1")


SENSELESS: list[tuple[Callable[[Station], None], str]] = [
    (as_another_station, "PL-VRF-011"),
    (reserved_by_another_station, "PL-VRF-040"),
    (same_press_reserved, "PL-VRF-041"),
    (same_press_concluded, "PL-VRF-041"),
    (left_open, "PL-VRF-044"),
    (reservation_of_nobody, "PL-VRF-042"),
    (closed_before, "PL-VRF-042"),
    (other_digest, "PL-VRF-043"),
    (differs(press="0a" * 16), "PL-VRF-043"),
    (differs(event="rework"), "PL-VRF-043"),
    (differs(order="WO-2"), "PL-VRF-043"),
    (differs(label="FW-0000000000"), "PL-VRF-043"),
    (differs(device={"part": samples.PART, "uid": UIDS[5]}), "PL-VRF-043"),
    (reservation_denied, "PL-VRF-043"),
    (event_skipped, "PL-VRF-045"),
    (predecessor_forgotten, "PL-VRF-045"),
    (another_predecessor, "PL-VRF-045"),
    (pass_again, "PL-VRF-046"),
    (too_many, "PL-VRF-047"),
    (back_in_time, "PL-VRF-048"),
    (journal_gap, "PL-VRF-049"),
    (journal_fork, "PL-VRF-049"),
    (journal_again, "PL-VRF-049"),
    (foreign_entry, "PL-EVD-003"),
    (approval_as_entry, "PL-EVD-013"),
    (unsigned_manifest, "PL-EVD-014"),
    (signed_reservation, "PL-EVD-011"),
    (strangers_manifest, "PL-VRF-004"),
    (manifest_by_checkpoint_key, "PL-VRF-005"),
]


@pytest.mark.parametrize(
    ("act", "code"), SENSELESS, ids=[f"{at}-{row[0].__name__}" for at, row in enumerate(SENSELESS)]
)
def test_a_log_that_makes_no_sense(act: Callable[[Station], None], code: str) -> None:
    station = Station(TRUST)
    station.unit(UIDS[0])
    recount(station)
    act(station)
    assert refused(station).code == code


def test_an_entry_of_a_station_with_keys_of_its_own() -> None:
    site = Site()
    first, second = site.forge.documents["stations.json"]["stations"]
    site.forge.documents["orders/WO-1.json"]["stations"] = ["bench-01", "bench-02"]
    first["keys"], second["keys"] = [first["keys"][1]], [first["keys"][0]]
    station = Station(site.trust())
    station.unit(UIDS[0], lambda found: found["station"].update(id="bench-02"))
    station.entries.pop(0)
    assert refused(station).code == "PL-VRF-040"


def test_a_key_stolen_and_revoked_writes_nothing_old_any_more() -> None:
    moment = "2026-11-22T12:00:05.000000Z"
    site = Site()
    keys = site.forge.documents["stations.json"]["stations"][0]["keys"]
    keys.append(dict(keys[0]))
    keys[2]["public"] = public("m2")
    keys[0]["revoked"] = {"at": moment, "reason": "stolen"}
    trust = site.trust()

    station = Station(trust)
    station.unit(UIDS[0])
    station.second = 8
    station.unit(UIDS[1], name="m2")
    assert recount(station).verdicts == {"pass": 2}
    # The thief dates a manifest before the revocation, but the log has moved on.
    station.second = 1
    station.unit(UIDS[2], name="m1")
    assert refused(station).code == "PL-VRF-048"


def test_a_batch_may_overtake_a_manifest_that_was_signed_before_it() -> None:
    station = Station(TRUST)
    station.unit(UIDS[0])
    station.second = 8
    station.refusals(1)
    station.second = 5
    station.unit(UIDS[1])
    assert recount(station).verdicts == {"pass": 2}
    # By once only: the next manifest was made when the batch was in the log already.
    station.second = 6
    station.unit(UIDS[2])
    assert refused(station).code == "PL-VRF-048"


def test_a_checkpoint_key_that_ended_before_the_last_entry() -> None:
    site = Site().bend(lambda station: station["keys"][1].update(until="2026-11-22T12:00:03.000000Z"))
    station = Station(site.trust())
    station.unit(UIDS[0])
    assert recount(station).entries == 2
    station.unit(UIDS[1])
    assert refused(station).code == "PL-VRF-012"


def test_units_worked_on_together() -> None:
    station = Station(TRUST)
    first = station.predicate(UIDS[0])
    station.reserve(first)
    second = station.predicate(UIDS[1])
    station.reserve(second)
    station.conclude(second)
    station.conclude(first | {"clock": samples.clock(6)})
    assert refused(station).code == "PL-VRF-044"
    assert recount(station, concurrent=2).verdicts == {"pass": 2}


def test_a_unit_that_lost_its_order_is_still_closed() -> None:
    station = Station(TRUST)
    found = station.predicate(UIDS[0])
    station.reserve(found)
    found["event"].update(verdict="refused", refusal={"code": "PL-LIN-001", "engineer": "order withdrawn"})
    found["label"]["text"] = None
    station.conclude(found | {"measurement": None, "order": None, "release": None})
    assert recount(station).verdicts == {"refused": 1}


def test_a_unit_that_passes_after_rework_counts_for_its_order() -> None:
    station = Station(TRUST)
    station.unit(UIDS[0], quarantine)
    for uid in UIDS[1:10]:
        station.unit(uid)
    again = station.predicate(UIDS[0])
    rework(again)
    station.reserve(again)
    station.conclude(again)
    assert recount(station).verdicts == {"pass": 10, "quarantined": 1}
    station.unit(UIDS[11])
    assert refused(station).code == "PL-VRF-047"
