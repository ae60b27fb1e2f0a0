"""A reset at the desk: proven before it is proposed, and never beside a key that still lives."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from appliance.cli import main
from appliance.release.desk import Desk
from appliance.release.errors import NotThere
from appliance.release.resets import Proven, propose_reset
from appliance.verify.site_errors import ReferenceBroken, ResetKeyValid
from appliance.verify.site_resets import JournalHead, LogHead
from tests.release.test_desk import LATER, NOW, People, approve, desk, filled

__all__ = ["desk"]

HEADS = Proven(LogHead(7, "sha256:" + "ab" * 32), JournalHead(2, "sha256:" + "cd" * 32), NOW - timedelta(hours=1))
ORDER = {"order": "RST-1", "state": "ef" * 16, "ticket": "CHG-9", "since": NOW, "until": LATER}


def propose(desk: Desk, station: str = "bench-01") -> None:
    with desk.edit(NOW) as draft:
        propose_reset(draft, station, HEADS, now=NOW, **ORDER)  # type: ignore[arg-type]  # one table for two verbs


def test_a_reset_comes_with_the_end_of_the_stations_identity(desk: Desk, people: People) -> None:
    filled(desk, people)
    propose(desk)
    told = "\n".join(desk.show())
    assert "-> station bench-01 wipes everything it holds" in told
    approve(desk, people, "ada", "bob")
    desk.promote(people["desk"], NOW)
    site = desk.published()
    assert (site.reset("bench-01").log, site.names("resets")) == (HEADS.log, ("bench-01",))
    station = site.stations().station("bench-01")
    assert station is not None
    assert [key.revoked.reason for key in station.keys if key.revoked is not None] == ["reset RST-1"]


def test_a_reset_of_a_station_with_a_living_key_is_no_proposal(desk: Desk, people: People) -> None:
    filled(desk, people)
    with pytest.raises(ResetKeyValid), desk.edit(NOW) as draft:
        draft.set_reset("bench-01", log=HEADS.log, refusals=HEADS.refusals, **ORDER)  # type: ignore[arg-type]
    assert not desk.has_proposal()


def test_a_reset_of_a_station_that_there_is_not_is_no_proposal(desk: Desk, people: People) -> None:
    filled(desk, people)
    with pytest.raises(ReferenceBroken):
        propose(desk, "bench-77")


def test_nothing_is_proposed_from_a_copy_that_is_no_log(
    desk: Desk, people: People, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(desk, people)
    monkeypatch.setattr("appliance.release.cli._now", lambda: NOW)
    words = ["--log", str(tmp_path), "--state", "ef" * 16, "--order", "RST-1", "--ticket", "CHG-9"]
    common = ["--desk", str(desk.folder), "--until", "2027-01-01T00:00:00Z"]
    assert main(["release", "reset", "bench-01", *words, *common]) != 0
    assert "PL-EVD" in capsys.readouterr().err
    assert not desk.has_proposal()


def test_a_reset_that_was_obeyed_is_taken_out_again(desk: Desk, people: People) -> None:
    filled(desk, people)
    propose(desk)
    assert main(["release", "revoke", "reset", "bench-01", "--desk", str(desk.folder)]) == 0
    assert desk.proposal().targets is not None
    with pytest.raises(NotThere), desk.edit(NOW) as draft:
        draft.revoke_reset("bench-01")
