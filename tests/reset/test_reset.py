"""A station forgets everything only when the site ordered exactly that, and holds all that would be forgotten."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from appliance.durable import Journal
from appliance.errors import ProoflineError
from appliance.release.draft import Draft
from appliance.release.errors import LogOfAnother
from appliance.release.resets import Proven, propose_reset, prove
from appliance.reset import confirm
from appliance.reset.decide import Held, Mark, decide
from appliance.reset.held import MARK, RECORDER, REFUSED, read_held
from appliance.verify.site import Directory, SiteTrust
from appliance.verify.site_catalogue import check_references
from appliance.verify.site_times import Interval
from tests.custody.bench import site
from tests.recorder.desk import Desk, uid
from tests.release.forge import Forge, Memory

STATE = "ab" * 16
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
AT = Interval(NOW, NOW + timedelta(seconds=1))
REFUSAL = {"code": "PL-CLK-009", "operator": "o", "engineer": "e", "action": "a", "details": {}}
Keys = list[dict[str, str]]


def worked(desk: Desk) -> Path:
    """A station that made two units and refused once; the shared part of its state partition."""
    desk.unit(uid(1))
    desk.ask("JournalRefusal", kind="refusal", press=desk.pressed(), operator="olga", refusal=REFUSAL)
    desk.ask("CommitRefusals")
    desk.unit(uid(2))  # its checkpoint covers the refusals, too
    shared = desk.folder / "shared"
    (shared / RECORDER).parent.mkdir(parents=True)
    (shared / MARK).parent.mkdir(parents=True)
    (shared / RECORDER).symlink_to(desk.folder / "recorder")
    (shared / "state-id").write_text(f"{STATE}\n")
    return shared


def in_force(desk: Desk) -> SiteTrust:
    return SiteTrust.verify(Directory(desk.folder / "staged/current"), (desk.folder / "site/root.json").read_bytes())


def exported(desk: Desk) -> Path:
    """A copy of what the station published."""
    copy = desk.folder / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(desk.published, copy)
    return copy


def ordered(desk: Desk, keys: Keys, bend: Callable[[dict[str, Any]], None] = lambda _: None) -> SiteTrust:
    """The repository that the desk makes of the export, with its reset order bent."""
    trust = in_force(desk)
    draft = Draft(trust)
    proven = prove(exported(desk), trust, "bench-01", now=NOW, development=True)
    propose_reset(
        draft,
        "bench-01",
        proven,
        order="RST-1",
        state=STATE,
        ticket="CHG-8",
        since=NOW - HOUR,
        until=NOW + HOUR,
        now=NOW,
    )
    draft.check()
    forge: Forge = site(keys)
    for name in ("stations.json", "resets/bench-01.json"):
        forge.documents[name] = json.loads(draft.read(name))
    bend(forge.documents)
    files = forge.files()
    return SiteTrust.verify(Memory(files), files["metadata/1.root.json"])


def test_a_station_whose_whole_evidence_is_proven_obeys(desk: Desk, keys: Keys) -> None:
    shared = worked(desk)
    held = read_held(shared)
    assert (held.state, held.heads.size, held.heads.count) == (STATE, 5, 1)
    mark = decide(ordered(desk, keys), "bench-01", held, AT)
    (shared / MARK).write_bytes(mark.encode())
    assert confirm.main(shared) == 0
    assert Mark.decode((shared / MARK).read_bytes()) == mark


@pytest.mark.parametrize(
    ("code", "more"),
    [
        ("PL-RST-010", lambda desk: desk.unit(uid(3))),
        ("PL-RST-012", lambda desk: desk.ask("JournalRefusal", kind="line_stop", press=None, operator=None)),
    ],
)
def test_one_entry_or_one_refusal_more_and_everything_stays(
    desk: Desk, keys: Keys, code: str, more: Callable[[Desk], object]
) -> None:
    shared = worked(desk)
    trust = ordered(desk, keys)
    mark = decide(trust, "bench-01", read_held(shared), AT)
    more(desk)
    with pytest.raises(ProoflineError) as refusal:
        decide(trust, "bench-01", read_held(shared), AT)
    assert refusal.value.code == code
    # it came after the mark: the last look finds it, takes the mark away and says why
    (shared / MARK).write_bytes(mark.encode())
    assert confirm.main(shared) == 1
    assert not (shared / MARK).exists()
    assert json.loads((shared / REFUSED).read_bytes())["code"] == code


def _bent(name: str, value: object) -> Callable[[dict[str, Any]], None]:
    def bend(documents: dict[str, Any]) -> None:
        order, *path = documents["resets/bench-01.json"], *name.split(".")
        for one in path[:-1]:
            order = order[one]
        order[path[-1]] = value

    return bend


def _key_valid(documents: dict[str, Any]) -> None:
    documents["stations.json"]["stations"][0]["keys"][1]["revoked"] = None


@pytest.mark.parametrize(
    ("code", "bend"),
    [
        ("PL-RST-001", _bent("state", "cd" * 16)),
        ("PL-RST-010", _bent("log.size", 4)),
        ("PL-RST-011", _bent("log.root", "sha256:" + "00" * 32)),
        ("PL-RST-012", _bent("refusals.count", 0)),
        ("PL-RST-012", _bent("refusals.head", "sha256:" + "00" * 32)),
        ("PL-RST-003", _bent("until", "2026-11-22T11:30:00.000000Z")),
        ("PL-RST-004", _bent("until", "2026-11-22T12:00:00.500000Z")),
        ("PL-RST-002", _bent("from", "2026-11-22T12:30:00.000000Z")),
        ("PL-SIT-061", _bent("state", "AB" * 16)),
        ("PL-SIT-061", _bent("log.root", "00" * 32)),
        ("PL-SIT-061", _bent("log.size", -1)),
        ("PL-SIT-045", _bent("force", True)),
        ("PL-SIT-049", _bent("until", "2026-11-22T10:00:00.000000Z")),
        ("PL-SIT-073", _key_valid),
    ],
)
def test_an_order_that_is_not_exactly_right_is_refused_by_name(
    desk: Desk, keys: Keys, code: str, bend: Callable[[dict[str, Any]], None]
) -> None:
    shared = worked(desk)
    trust = ordered(desk, keys, bend)
    with pytest.raises(ProoflineError) as refusal:
        decide(trust, "bench-01", read_held(shared), AT)
    assert refusal.value.code == code
    assert list((shared / MARK).parent.iterdir()) == []


def test_an_order_works_once_and_needs_a_clock(desk: Desk, keys: Keys) -> None:
    shared = worked(desk)
    trust = ordered(desk, keys)
    held = read_held(shared)
    for code, what, at in [
        ("PL-RST-001", replace(held, state="cd" * 16), AT),
        ("PL-RST-004", held, None),
        ("PL-RST-005", held, Interval(datetime(2031, 1, 1, tzinfo=UTC), datetime(2031, 1, 2, tzinfo=UTC))),
    ]:
        with pytest.raises(ProoflineError) as refusal:
            decide(trust, "bench-01", what, at)
        assert refusal.value.code == code


def test_a_repository_with_a_reset_and_a_living_identity_is_no_repository(desk: Desk, keys: Keys) -> None:
    worked(desk)
    with pytest.raises(ProoflineError) as refusal:
        check_references(ordered(desk, keys, _key_valid))
    assert refusal.value.code == "PL-SIT-073"


def test_the_desk_orders_nothing_from_a_copy_that_is_not_whole_or_not_this_stations(desk: Desk, keys: Keys) -> None:
    worked(desk)
    trust = in_force(desk)
    with pytest.raises(LogOfAnother):
        prove(exported(desk), trust, "bench-02", now=NOW, development=True)
    copy = exported(desk)
    bundle = max(copy.glob("tile/entries/**/*.p/*"), key=lambda one: int(one.name))
    bundle.write_bytes(bundle.read_bytes()[:-1] + b"?")
    with pytest.raises(ProoflineError) as refusal:
        prove(copy, trust, "bench-01", now=NOW, development=True)
    assert refusal.value.code.startswith("PL-EVD")


def test_records_that_cannot_be_read_to_their_end_are_not_wiped(desk: Desk, keys: Keys) -> None:
    shared = worked(desk)
    mark = decide(ordered(desk, keys), "bench-01", read_held(shared), AT)
    (tail,) = (desk.folder / "recorder/log").glob("*.log")
    with tail.open("ab") as file:
        file.write(b"torn")
    (shared / MARK).write_bytes(mark.encode())
    assert confirm.main(shared) == 1
    assert json.loads((shared / REFUSED).read_bytes())["code"] == "PL-RST-020"


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"schema":1}', b"\xff", b"0" * 9000])
def test_a_mark_that_nobody_wrote_wipes_nothing(desk: Desk, content: bytes) -> None:
    shared = worked(desk)
    (shared / MARK).write_bytes(content)
    assert confirm.main(shared) == 1
    assert json.loads((shared / REFUSED).read_bytes())["code"] == "PL-RST-021"


def test_a_station_that_recorded_nothing_has_heads_too(tmp_path: Path) -> None:
    (tmp_path / RECORDER / "log").mkdir(parents=True)
    Journal(tmp_path / RECORDER / "log/00000000.log").close()
    (tmp_path / "state-id").write_text(STATE)
    held = read_held(tmp_path)
    assert isinstance(held, Held)
    assert (held.heads.size, held.heads.count) == (0, 0)
    assert Proven.__dataclass_fields__.keys() == {"log", "refusals", "latest"}
