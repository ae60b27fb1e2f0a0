"""`proofline verify`, as an auditor meets it: files in, an answer and an exit code out."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from appliance.cli import main
from appliance.evidence import strict_json
from tests.release.forge import IMAGE, START
from tests.verify.test_audit import working_day
from tests.verify.test_verifier import AFTER, BEFORE, development, failed
from tests.verify.workshop import UIDS, Site, Station, pinned_root, write

AT = ["--at", "2026-11-23T00:00:00.000000Z"]


class Desk:
    """An auditor's folder: the site's repository, its root, and whatever a test puts there."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys
        self.put_site(Site())

    def put_site(self, site: Site) -> None:
        write(site.files(), self.folder / "site")
        (self.folder / "root.json").write_bytes(pinned_root())

    def put(self, name: str, content: bytes) -> str:
        (self.folder / name).write_bytes(content)
        return str(self.folder / name)

    def ask(self, *words: str) -> tuple[int, str]:
        """Exit code and output."""
        trust = ["--site", str(self.folder / "site"), "--root", str(self.folder / "root.json")]
        code = main(["verify", *words, *trust, *([] if "--at" in words else AT)])
        return code, self._capsys.readouterr().out

    def ask_json(self, *words: str) -> tuple[int, Any]:
        code, text = self.ask(*words, "--json")
        found = json.loads(text)
        assert found["outcome"] == code
        return code, found


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(tmp_path, capsys)


@pytest.fixture
def unit(desk: Desk) -> list[str]:
    station = Station(Site().trust())
    entry = station.unit(UIDS[0])
    station.unit(UIDS[1])
    return [desk.put("unit.manifest.json", entry), desk.put("unit.tlog-proof", station.proof(entry))]


def test_a_good_unit_is_true_and_says_what_was_not_checked(desk: Desk, unit: list[str]) -> None:
    code, text = desk.ask("unit", *unit)
    assert code == 0
    assert "TRUE: the record is genuine (logged) and the verdict is 'pass'." in text
    for word in ("signature", "log", "release", "flash", "ada (CHG-9)", "NOT checked", "witness", "retention"):
        assert word in text
    assert all(len(line) <= 100 for line in text.splitlines())
    code, found = desk.ask_json("unit", *unit)
    assert (code, found["level"], found["refusal"]) == (0, "logged", None)
    assert "witness" in {one["what"] for one in found["not_checked"]}


def test_a_manifest_alone_is_not_enough(desk: Desk, unit: list[str]) -> None:
    code, found = desk.ask_json("unit", unit[0])
    assert (code, found["refusal"]["code"]) == (2, "PL-VRF-015")
    code, found = desk.ask_json("unit", unit[0], "--level", "signed")
    assert (code, found["level"]) == (0, "signed")
    assert desk.ask("unit", *unit, "--level", "retained")[0] == 2


def test_one_flipped_bit_anywhere_is_never_true(desk: Desk, unit: list[str]) -> None:
    for path in map(Path, unit):
        good = path.read_bytes()
        for at in range(0, len(good), max(len(good) // 60, 1)):
            bad = bytearray(good)
            bad[at] ^= 1
            path.write_bytes(bytes(bad))
            code, _ = desk.ask("unit", *unit)
            # A key id is a hint that nobody believes: a flipped one changes nothing but the entry, so its
            # place in the log.
            assert code != 0, (path.name, at)
        path.write_bytes(good)
    assert desk.ask("unit", *unit)[0] == 0


def test_a_failed_unit_is_a_no_but_its_record_is_shown(desk: Desk) -> None:
    station = Station(Site().trust())
    entry = station.unit(UIDS[0], failed)
    files = [desk.put("m.json", entry), desk.put("p", station.proof(entry))]
    code, text = desk.ask("unit", *files)
    assert code == 1
    assert "FALSE: This unit did not pass" in text
    assert "PL-VRF-014" in text
    assert "under a checkpoint signed by" in text
    assert desk.ask("unit", *files, "--any-verdict")[0] == 0


def test_a_development_station_is_refused_unless_allowed(desk: Desk) -> None:
    station = Station(Site().trust())
    entry = station.unit(UIDS[0], development)
    files = [desk.put("m.json", entry), desk.put("p", station.proof(entry))]
    assert desk.ask_json("unit", *files)[1]["refusal"]["code"] == "PL-VRF-003"
    code, text = desk.ask("unit", *files, "--allow-development")
    assert code == 0
    assert "no image vouches" in text


def test_the_site_decides_by_time_and_word(desk: Desk, unit: list[str]) -> None:
    assert desk.ask("unit", *unit, "--at", "2031-01-01T00:00:00.000000Z")[0] == 2
    code, text = desk.ask("unit", *unit, "--at", "2031-01-01T00:00:00.000000Z", "--accept-expired")
    assert code == 0
    assert "revocations" in text
    assert desk.ask("unit", *unit, "--at", "yesterday")[0] == 3
    desk.put_site(Site().bend(lambda station: station["keys"][0].update(revoked={"at": BEFORE, "reason": "lost"})))
    assert desk.ask("unit", *unit)[0] == 1
    desk.put_site(Site().bend(lambda station: station["keys"][0].update(revoked={"at": AFTER, "reason": "lost"})))
    code, text = desk.ask("unit", *unit)
    assert code == 0
    assert "revoked key" in text
    (desk.folder / "site/metadata/timestamp.json").write_bytes(b"{}")
    assert desk.ask("unit", *unit)[0] == 2


def test_what_cannot_be_read_is_bad_input(desk: Desk, unit: list[str]) -> None:
    assert desk.ask("unit", str(desk.folder / "absent"), unit[1])[0] == 3
    assert desk.ask("unit", str(desk.folder), unit[1])[0] == 3
    assert desk.ask("unit", desk.put("large", bytes(70_000)), unit[1])[0] == 3
    assert desk.ask("unit", desk.put("empty", b""), unit[1])[0] == 3
    assert desk.ask("unit", unit[0], unit[0])[0] == 3
    assert desk.ask("unit", unit[1], unit[1])[0] == 3
    os.mkfifo(desk.folder / "pipe")
    assert desk.ask("unit", str(desk.folder / "pipe"))[0] == 3
    with pytest.raises(SystemExit) as usage:
        main(["verify", "unit"])
    assert usage.value.code == 3


def test_a_document_cannot_draw_on_the_terminal(desk: Desk) -> None:
    station = Station(Site().trust())
    found = station.predicate(UIDS[0])
    found["event"].update(verdict="refused", refusal={"code": "PL-LIN-001", "engineer": "\u202eTRUE\u200b"})
    entry = station.conclude(found | {"measurement": None})
    code, text = desk.ask("unit", desk.put("m.json", entry), desk.put("p", station.proof(entry)))
    assert code == 1
    assert "\u202e" not in text
    assert "\\u202eTRUE\\u200b" in text


def test_a_whole_log_is_recounted(desk: Desk) -> None:
    station = working_day()
    folder = write(station.files(), desk.folder / "log")
    code, text = desk.ask("log", str(folder))
    assert code == 0
    assert "TRUE: every entry holds, alone and together." in text
    assert "2 pass, 1 quarantined, 1 refused" in text
    assert "work in progress" in text
    facts = desk.ask_json("log", str(folder))[1]["facts"]
    assert (facts["entries"][:3], facts["devices"], facts["reservations"]) == ("10,", "3", "4")
    assert facts["refusals"].startswith("5 ")


def test_a_log_continues_the_checkpoint_that_an_auditor_kept(desk: Desk) -> None:
    station = Station(Site().trust())
    station.unit(UIDS[0])
    kept = desk.put("kept", station.checkpoint())
    station.unit(UIDS[1])
    folder = write(station.files(), desk.folder / "log")
    code, text = desk.ask("log", str(folder), "--since", kept)
    assert code == 0
    assert "the log continues kept (entries: 2)" in text
    # A log that was rolled back, and one that was rewritten.
    later = desk.put("later", station.checkpoint())
    short = Station(Site().trust())
    short.unit(UIDS[0])
    assert desk.ask_json("log", str(write(short.files(), desk.folder / "short")), "--since", later)[0] == 1
    other = Station(Site().trust())
    for uid in UIDS[2:5]:
        other.unit(uid)
    code, found = desk.ask_json("log", str(write(other.files(), desk.folder / "other")), "--since", kept)
    assert (code, found["refusal"]["code"]) == (1, "PL-EVD-023")


@pytest.mark.parametrize(
    ("path", "content", "code", "refusal"),
    [
        ("checkpoint", None, 1, "PL-EVD-090"),
        ("checkpoint", b"", 3, "PL-EVD-041"),
        ("tile/0/000.p/10", None, 1, "PL-EVD-090"),
        ("tile/0/000.p/10", bytes(320), 1, "PL-EVD-091"),
        ("tile/0/000.p/10", bytes(319), 3, "PL-EVD-031"),
        ("tile/entries/000.p/10", b"", 3, "PL-EVD-032"),
        ("tile/entries/000.p/10", bytes(20_000_000), 3, "PL-VRF-071"),
    ],
)
def test_a_bent_log_is_not_true(desk: Desk, path: str, content: bytes | None, code: int, refusal: str) -> None:
    folder = write(working_day().files(), desk.folder / "log")
    if content is None:
        (folder / path).unlink()
    else:
        (folder / path).write_bytes(content)
    found = desk.ask_json("log", str(folder))
    assert (found[0], found[1]["refusal"]["code"]) == (code, refusal)


def test_a_log_that_is_not_there_is_no_verdict(desk: Desk) -> None:
    code, found = desk.ask_json("log", str(desk.folder / "nowhere"))
    assert (code, found["refusal"]["code"]) == (3, "PL-VRF-070")


def test_a_log_of_nobody(desk: Desk) -> None:
    station = Station(Site().trust())
    files = station.files() | {"checkpoint": station.checkpoint(origin="demo.example/bench-77")}
    code, found = desk.ask_json("log", str(write(files, desk.folder / "log")))
    assert (code, found["refusal"]["code"]) == (2, "PL-VRF-013")


def test_a_measurement_against_a_release(desk: Desk) -> None:
    release = ["--release", "demo/1.0.0"]
    dump = desk.put("flash.bin", IMAGE + b"\xff" * 64)
    code, text = desk.ask("measurement", dump, *release, "--base", hex(START))
    assert code == 0
    assert "64 bytes outside the image are erased" in text
    assert desk.ask("measurement", dump, *release, "--base", hex(START + 4))[0] == 1
    assert desk.ask("measurement", dump, *release, "--base", "there")[0] == 3
    assert desk.ask("measurement", dump, *release)[0] == 3
    assert desk.ask("measurement", dump, "--release", "demo/9.9.9", "--base", hex(START))[0] == 2
    assert desk.ask("measurement", dump, "--release", "../../etc", "--base", hex(START))[0] == 2
    assert desk.ask("measurement", desk.put("bad.hex", b":00000001FE\n"), *release)[0] == 3
    measured = Station(Site().trust()).predicate(UIDS[0])["measurement"]
    assert desk.ask("measurement", desk.put("m.json", strict_json.encode(measured)), *release)[0] == 0


def test_a_defect_of_ours_is_not_a_verdict(
    desk: Desk, unit: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("appliance.verify.narrate.tell_unit", lambda *_: 1 // 0)
    assert desk.ask("unit", *unit)[0] == 2
    assert "FALSE" not in capsys.readouterr().out
