"""What root does to the slot state: for the health check, and for RAUC."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.update import records, slotstate
from appliance.update.errors import SlotInUse, SlotNotIntended, SlotNotKept, SlotRecordDamaged
from appliance.update.slots import Places, answer
from appliance.update.slotstate import ATTEMPTS
from appliance.verify.site_images import Version

ROOT = Path(__file__).parents[2]
OLD, NEW = "sha256:" + "0a" * 32, "sha256:" + "0b" * 32
INTENDED = records.Intended(Version(0, 2, 0), Version(0, 1, 5), NEW)


class Station:
    """The files that the root units work on."""

    def __init__(self, folder: Path) -> None:
        self.places = Places(folder / "image.json", folder / "by-partlabel", folder / "update", folder / "slots")
        for name in (self.places.partitions, self.places.updater, self.places.slots):
            name.mkdir()
        self.device = self.places.partitions / "proofline-slots"
        self.device.write_bytes(slotstate.encode(slotstate.fresh("a")).ljust(1 << 20, b"\0"))
        for slot in "ab":
            (self.places.partitions / f"proofline-hash-{slot}").write_bytes(bytes(4096))
        self.restarts = 0
        self.boot("a")

    def boot(self, slot: str) -> None:
        verity = OLD if slot == "a" else NEW
        version = "0.1.0" if slot == "a" else "0.2.0"
        image = {"version": version, "compatible": "proofline-arm64", "verity": verity, "slot": slot.upper()}
        self.places.image.write_text(json.dumps(image), "utf-8")

    def ask(self, *words: str) -> str:
        return answer(list(words), self.places, self._restart)

    def write(self, slot: str, verity: str) -> None:
        tree = self.places.partitions / f"proofline-hash-{slot}"
        tree.write_bytes(bytes(16) + bytes.fromhex(verity.removeprefix("sha256:")[:32]) + bytes(4064))

    @property
    def state(self) -> slotstate.State:
        found = slotstate.read(self.device)[0]
        assert found is not None
        return found

    def _restart(self) -> None:
        self.restarts += 1


@pytest.fixture
def station(tmp_path: Path) -> Station:
    return Station(tmp_path)


def installed(station: Station) -> None:
    station.ask("commit")
    records.save_intended(station.places.updater, INTENDED)
    station.ask("set-state", "b", "bad")
    station.write("b", NEW)
    station.ask("set-primary", "b")


def test_the_other_slot_is_out_before_it_is_written_and_first_after(station: Station) -> None:
    station.ask("commit")
    records.save_intended(station.places.updater, INTENDED)
    station.ask("set-state", "b", "bad")
    assert (station.state.left["b"], station.ask("get-primary"), station.ask("get-state", "b")) == (0, "a", "bad")
    station.write("b", NEW)
    station.ask("set-primary", "b")
    assert (station.state.left["b"], station.state.good["b"]) == (ATTEMPTS, False)
    assert station.ask("get-primary") == "b"


def test_a_slot_that_was_good_once_is_no_refuge_while_it_is_written(station: Station) -> None:
    installed(station)
    station.boot("b")
    station.ask("commit")
    station.ask("set-state", "a", "bad")
    assert (station.state.left["a"], station.state.good["a"], station.ask("get-primary")) == (0, False, "b")


def test_nothing_is_written_while_the_slot_that_runs_was_not_found_good(station: Station) -> None:
    with pytest.raises(SlotNotKept):
        station.ask("set-state", "b", "bad")
    installed(station)
    station.boot("b")
    with pytest.raises(SlotNotKept):
        station.ask("set-state", "a", "bad")


@pytest.mark.parametrize("words", [("set-state", "a", "bad"), ("set-primary", "a")])
def test_the_slot_that_runs_is_never_written(station: Station, words: tuple[str, ...]) -> None:
    station.ask("commit")
    before = station.state
    with pytest.raises(SlotInUse):
        station.ask(*words)
    assert station.state == before


@pytest.mark.parametrize("written", [OLD, "sha256:" + "00" * 32])
def test_a_slot_with_another_image_than_was_meant_is_not_armed(station: Station, written: str) -> None:
    station.ask("commit")
    records.save_intended(station.places.updater, INTENDED)
    station.ask("set-state", "b", "bad")
    station.write("b", written)
    with pytest.raises(SlotNotIntended):
        station.ask("set-primary", "b")
    assert station.ask("get-primary") == "a"


def test_a_slot_is_not_armed_when_nobody_meant_anything(station: Station) -> None:
    station.ask("commit")
    with pytest.raises(SlotNotIntended):
        station.ask("set-primary", "b")


def test_the_floor_rises_with_the_commit_and_not_with_the_installation(station: Station) -> None:
    installed(station)
    before = records.load_committed(station.places.slots)
    assert before is not None
    assert before.floor == records.NO_FLOOR
    station.boot("b")
    station.ask("commit")
    after = records.load_committed(station.places.slots)
    assert after is not None
    assert (after.floor, after.slot, after.verity) == (INTENDED.floor, "b", NEW)


def test_the_floor_survives_the_way_back(station: Station) -> None:
    installed(station)
    station.boot("b")
    station.ask("commit")
    station.boot("a")
    station.ask("commit")
    kept = records.load_committed(station.places.slots)
    assert kept is not None
    assert (kept.floor, kept.slot) == (INTENDED.floor, "a")


def test_a_floor_that_cannot_be_read_is_not_taken_for_none(station: Station) -> None:
    (station.places.slots / "committed.json").write_text("{", "utf-8")
    with pytest.raises(SlotRecordDamaged):
        station.ask("commit")
    assert station.state.good["a"], "the slot is kept all the same"


def test_a_boot_that_was_found_bad_restarts_until_its_attempts_are_used_up(station: Station) -> None:
    installed(station)
    station.boot("b")
    station.ask("fallback")
    assert station.restarts == 1


def test_a_boot_without_a_verdict_in_time_is_no_other(station: Station) -> None:
    """The timer asks the same, also when the boot was found good long ago."""
    station.ask("fallback")
    assert station.restarts == 1
    station.ask("commit")
    assert "found good in this boot" in station.ask("fallback")
    assert station.restarts == 1


@pytest.mark.parametrize("record", ["{", None])
def test_a_slot_that_was_good_before_stays(station: Station, record: str | None) -> None:
    """Also when nothing says any more in which boot that was."""
    station.ask("commit")
    place = station.places.slots / "committed.json"
    place.unlink()
    if record is not None:
        place.write_text(record, "utf-8")
    assert "was good before" in station.ask("fallback")
    assert station.restarts == 0


@pytest.mark.parametrize("slot", ["a", "b"])
def test_which_slot_runs_is_answered_by_the_handler_itself(station: Station, slot: str) -> None:
    station.boot(slot)
    handler = ROOT / "image/files/usr/lib/proofline/boot/slots"
    # as the first program of a boot writes it: without spaces, one line
    station.places.image.write_text(station.places.image.read_text("utf-8").replace(" ", "") + "\n", "utf-8")
    text = handler.read_text("utf-8").replace("/usr/lib/proofline/image.json", str(station.places.image))
    told = subprocess.run(["sh", "-c", text, "slots", "get-current"], capture_output=True, text=True, check=True)
    assert told.stdout == f"{slot}\n"


@pytest.mark.parametrize("words", [[], ["set-state", "b", "good"], ["set-primary", "c"], ["commit", "now"], ["mark"]])
def test_what_is_no_verb_is_refused(station: Station, words: list[str]) -> None:
    with pytest.raises(ValueError, match="no verb"):
        station.ask(*words)


LOADERS: dict[str, Callable[[Path], object]] = {
    "intended.json": records.load_intended,
    "committed.json": records.load_committed,
    "history.json": records.load_history,
}


@pytest.mark.parametrize("name", LOADERS)
@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"schema":1}', '{"schema":2,"attempts":[]}', '{"schema":1,"attempts":[1]}']
)
def test_a_damaged_record_is_named(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, "utf-8")
    with pytest.raises(Exception, match=r"PL-(SLT-006|UPD-023)"):
        LOADERS[name](tmp_path)


def test_records_are_read_as_they_were_written(tmp_path: Path) -> None:
    records.save_intended(tmp_path, INTENDED)
    assert records.load_intended(tmp_path) == INTENDED
    committed = records.Committed("boot", "b", Version(1, 2, 3), NEW, Version(1, 0, 0))
    records.save_committed(tmp_path, committed)
    assert records.load_committed(tmp_path) == committed
    history = records.History(
        (records.Attempt(Version(1, 2, 3), "sha256:00", NEW, "b", "boot", "refused", "PL-UPD-005"),)
    )
    records.save_history(tmp_path, history)
    assert records.load_history(tmp_path) == history
