"""A gang at the panel: one act is durable whole, labels find their positions, and nothing is green too early."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from itertools import combinations, product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance import durable
from appliance.errors import ProoflineError
from appliance.panel import config, errors
from appliance.panel import press as press_module
from appliance.panel.errors import ConfigWrong, StillWorking
from appliance.panel.face import Outcome, choose
from appliance.panel.gang import Place, combined, progress, signs
from appliance.panel.lights import PATTERNS, POSITION_PATTERNS
from appliance.panel.press import KEEP_FINISHED, PressBook
from appliance.panel.session import Draft, Session, pressed, scanned
from tests.panel.test_face import READY
from tests.panel.test_lights import LEAST_MS, difference_ms
from tests.panel.test_press import DRAFT, opened
from tests.panel.test_process import Scene
from tests.panel.test_session import NOW, SITE
from tests.panel.test_surroundings import GOOD, PINS
from tests.release.forge import good_documents

LABELS = ("FW-1", None, "FW-3")
GANG = Draft("olga", "WO-1", "provision", None, LABELS)
VERDICTS = ("pass", "fail", "refused", "aborted", "quarantined")


def outcome(verdict: str, *, recovered: bool = False) -> Outcome:
    return Outcome(verdict, "" if verdict == "pass" else f"why {verdict}.", recovered, ago_ms=0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "presses.journal"


# Presses.


def test_one_act_makes_a_press_for_each_position_with_its_own_record(path: Path) -> None:
    journal, book = opened(path)
    gang = book.open_gang(GANG)
    assert [(press.position, press.label) for press in gang] == list(enumerate(LABELS))
    assert len({press.press for press in gang}) == len({press.digest() for press in gang}) == 3
    assert gang[1].document()["position"] == 1
    assert "position" not in replace(gang[1], position=None).document()
    assert (book.gang, book.act, book.unfinished, book.count) == (gang, gang, gang[0], 3)
    with pytest.raises(StillWorking):
        book.open(DRAFT)
    with pytest.raises(StillWorking):
        book.open_gang(GANG)
    journal.close()
    assert len(durable.read_journal(path)) == 1  # all of them, or none
    journal, book = opened(path)
    assert book.gang == gang
    book.finish(gang[0].press, "pass", stop=False)
    assert book.gang == gang[1:]
    with pytest.raises(StillWorking):
        book.open(DRAFT)
    for press in gang[1:]:
        book.finish(press.press, "aborted", stop=False)
    assert book.gang == ()
    book.open(DRAFT)
    journal.close()


def test_a_stop_counts_when_the_whole_gang_has_ended_and_survives_until_then(path: Path) -> None:
    journal, book = opened(path)
    first, second, third = book.open_gang(GANG)
    book.finish(second.press, "refused", stop=True)
    assert book.stopped_by is None
    journal.close()
    journal, book = opened(path)
    assert book.stopped_by is None
    book.finish(first.press, "pass", stop=False)
    book.finish(third.press, "pass", stop=False)
    assert book.stopped_by == second.press
    next_gang = book.open_gang(GANG)
    assert book.stopped_by == second.press  # of an earlier gang
    for press in next_gang:
        book.finish(press.press, "refused", stop=False)
    book.restart("lea")
    assert book.stopped_by is None
    journal.close()


@settings(max_examples=60)
@given(st.lists(st.sampled_from(["one", "gang", "pass", "last", "stop", "restart", "reopen"]), max_size=40))
def test_any_history_with_gangs_reads_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, acts: list[str]) -> None:
    path = tmp_path_factory.mktemp("book") / "j"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(press_module, "COMPACT_AT", 6)
        journal, book = opened(path)
        for act in acts:
            match act:
                case "one" if not book.gang:
                    book.open(DRAFT)
                case "gang" if not book.gang:
                    book.open_gang(GANG)
                case "pass" if book.gang:
                    book.finish(book.gang[0].press, "pass", stop=False)
                case "last" if book.gang:
                    book.finish(book.gang[-1].press, "fail", stop=False)
                case "stop" if book.gang:
                    book.finish(book.gang[-1].press, "refused", stop=True)
                case "restart" if book.stopped_by is not None:
                    book.restart("lea")
                case "reopen":
                    seen = (book.act, book.gang, book.stopped_by, book.count)
                    journal.close()
                    journal, book = opened(path)
                    assert (book.act, book.gang, book.stopped_by, book.count) == seen
        journal.close()


def test_what_is_remembered_of_gangs_is_bounded(path: Path) -> None:
    journal, book = opened(path)
    first = book.open_gang(GANG)
    for press in first:
        book.finish(press.press, "pass", stop=False)
    for _ in range(KEEP_FINISHED // 3 + 1):
        for press in book.open_gang(GANG):
            book.finish(press.press, "pass", stop=False)
    assert book.find(first[0].press) is None
    assert book.count == 3 * (KEEP_FINISHED // 3 + 2)
    journal.close()


_PRESSER = """
import os, sys
from pathlib import Path
from appliance import durable
from appliance.panel.press import PressBook
from appliance.panel.session import Draft
book = PressBook(durable.Journal(Path(sys.argv[1])), "b" * 32, lambda: 0)
while True:
    gang = book.open_gang(Draft("olga", "WO-1", "provision", None, (None,) * 4))
    os.write(1, b"o" + b"o".join(press.press.encode() for press in gang) + b"\\n")
    for press in gang:
        book.finish(press.press, "pass", stop=False)
"""


def test_a_kill_leaves_a_gang_whole_or_not_at_all(path: Path) -> None:
    worker = subprocess.Popen([sys.executable, "-c", _PRESSER, os.fspath(path)], stdout=subprocess.PIPE)
    assert worker.stdout is not None
    heard = [worker.stdout.readline() for _ in range(9)]
    worker.send_signal(signal.SIGKILL)
    heard += worker.stdout.readlines()
    worker.wait()
    worker.stdout.close()
    journal, book = opened(path)
    for line in heard:
        if line.endswith(b"\n"):
            assert all(book.find(press) for press in line[1:-1].decode().split("o"))
    assert len(book.act) == 4
    journal.close()


@pytest.mark.parametrize(
    "record",
    [
        {"at": "gang", "n": 0, "records": []},
        {"at": "gang", "n": 1, "records": [{}]},
        {"at": "gang", "n": 1, "records": [{"position": "0"}]},
        {"at": "gang", "n": 1},
    ],
)
def test_a_gang_that_makes_no_sense_is_refused_by_name(path: Path, record: dict[str, Any]) -> None:
    with durable.Journal(path) as journal:
        journal.append(json.dumps(record).encode())
    with durable.Journal(path) as journal, pytest.raises(errors.PressJournalWrong):
        PressBook(journal, "b" * 32, lambda: 0)


# Labels.


def scan(session: Session, *texts: str, positions: int | None = 3) -> Session:
    site = replace(SITE, positions=positions)
    for text in texts:
        session = scanned(session, site, text, time=NOW, now_ms=0, stopped_by=None).session
    return session


def test_scanned_labels_belong_to_the_positions_in_their_order() -> None:
    site = replace(SITE, positions=3)
    session = scan(Session(), "badge-olga", "WO-1", "FW-1", "LABELS:skip", "FW-3")
    draft, after = pressed(session, site, 10)
    assert (draft.label, draft.labels) == (None, LABELS)
    assert after.labels == ()
    assert pressed(scan(after, "FW-9"), site, 10)[0].labels == ("FW-9", None, None)
    assert scan(session, "LABELS:clear").labels == ()
    assert scan(session, "WO-1").labels == ()  # chosen anew
    assert pressed(scan(Session(), "badge-olga", "WO-1"), site, 10)[0].labels == (None, None, None)


@pytest.mark.parametrize(
    ("texts", "refusal"),
    [
        (("FW-1", "FW-2", "FW-3", "FW-4"), errors.LabelsComplete),
        (("FW-1", "FW-2", "FW-3", "LABELS:skip"), errors.LabelsComplete),
        (("FW-1", "FW-1"), errors.LabelScannedTwice),
        (("LABELS:forget",), errors.ScanUnreadable),
    ],
)
def test_labels_that_fit_no_position_are_refused_by_name(texts: tuple[str, ...], refusal: type[ProoflineError]) -> None:
    session = scan(Session(), "badge-olga", "WO-1", *texts[:-1])
    with pytest.raises(refusal):
        scan(session, texts[-1])


def test_a_single_fixture_takes_the_last_label_as_before() -> None:
    session = scan(Session(), "badge-olga", "WO-1", "FW-1", "LABELS:clear", positions=None)
    assert pressed(session, SITE, 10)[0].label == "LABELS:clear"


# What is shown.


def test_green_for_all_means_that_every_position_passed() -> None:
    outcomes = [outcome(verdict, recovered=recovered) for verdict, recovered in product(VERDICTS, (False, True))]
    for gang in product(outcomes, repeat=3):
        found = combined(gang)
        shown = choose(replace(READY, outcome=found))[0].name
        assert (shown == "pass") == all(one == outcome("pass") for one in gang)
        assert shown == min((choose(replace(READY, outcome=one))[0].name for one in gang), key=_worst)


def _worst(name: str) -> int:
    return ["attention", "fail", "refused", "pass"].index(name)


def test_the_text_says_which_position_and_which_passed() -> None:
    found = combined([outcome("pass"), outcome("fail"), outcome("aborted"), outcome("pass")])
    assert found.text == "Position 2: FAIL. why fail. Position 3: NOT DONE. why aborted. Passed: 1, 4."
    assert combined([outcome("pass"), outcome("pass")]).text == ""


def test_progress_names_every_position() -> None:
    places = [Place("program", 250, None), Place("waiting", 0, None), Place("append", 0, outcome("pass"))]
    assert progress(places) == "1 program 25 %, 2 waiting 0 %, 3 ended"


def test_a_position_is_dark_unless_its_own_board_is_meant() -> None:
    gang = combined([outcome("pass"), outcome("fail")])
    late = replace(gang, ago_ms=READY.pass_ms)
    for name, shown in PATTERNS.items():
        found = [one.name for one in signs(gang, shown=shown, pass_ms=READY.pass_ms)]
        said = name in {"pass", "fail", "refused", "attention", "stopped"}
        assert found == (["pass", "fail"] if said else ["dark", "dark"])
    assert [one.name for one in signs(late, shown=PATTERNS["fail"], pass_ms=READY.pass_ms)] == ["dark", "fail"]
    assert signs(None, shown=PATTERNS["ready"], pass_ms=READY.pass_ms) == ()
    assert signs(outcome("refused"), shown=PATTERNS["refused"], pass_ms=READY.pass_ms) == ()


@pytest.mark.parametrize(("one", "other"), list(combinations(POSITION_PATTERNS, 2)))
def test_two_signs_of_a_position_differ_in_monochrome_too(one: str, other: str) -> None:
    assert difference_ms(POSITION_PATTERNS[one].slots(), POSITION_PATTERNS[other].slots()) >= LEAST_MS


def test_the_right_lamp_of_a_position_is_lit_for_a_proof_alone() -> None:
    assert POSITION_PATTERNS["pass"].green == "x" * 20
    assert all("x" not in one.green for name, one in POSITION_PATTERNS.items() if name != "pass")
    assert all("x" in POSITION_PATTERNS[name].red for name in ("fail", "refused", "attention"))
    assert all("x" not in one.blue for one in POSITION_PATTERNS.values())


# The configuration.

POSITIONS = [{"red": 20, "green": 21}, {"red": 22, "green": 23}]


def test_lamps_of_positions_are_configured_in_their_order() -> None:
    found = config.parse(json.dumps({**GOOD, "pins": {**PINS, "positions": POSITIONS}}).encode(), "panel.json")
    assert (found.pins, found.positions) == (PINS, tuple(POSITIONS))
    assert config.parse(json.dumps(GOOD).encode(), "panel.json").positions == ()


def test_each_board_has_its_own_lamps() -> None:
    entry = {"chip": "c", "pressed": "low", "pins": {**PINS, "positions": POSITIONS}}
    document = {"schema": 1, "scanner": "/dev/scanner", "boards": {"some,board": entry}}
    found = config.parse(json.dumps(document).encode(), "panel.json", ("some,board",))
    assert (found.chip, found.pins, found.positions) == ("c", PINS, tuple(POSITIONS))


@pytest.mark.parametrize(
    "positions",
    [
        {},
        [{}],
        [{"red": 20}],
        [{"red": 20, "green": 21, "blue": 22}],
        [{"red": 20, "green": 20}],
        [{"red": 17, "green": 21}],
        [*POSITIONS, *POSITIONS],
        [{"red": 20, "green": True}],
        [{"red": 2 * n, "green": 2 * n + 1} for n in range(20, 29)],
    ],
)
def test_lamps_that_cannot_be_are_refused_by_name(positions: object) -> None:
    with pytest.raises(ConfigWrong):
        config.parse(json.dumps({**GOOD, "pins": {**PINS, "positions": positions}}).encode(), "panel.json")


# The real process, on mock pins.


def test_a_gang_by_hand(tmp_path: Path) -> None:
    documents = good_documents()
    settings_document = documents["settings/bench-01.json"]
    del settings_document["probe"]
    settings_document["gang"] = ["vnucleo:1", "vnucleo:2"]
    found = Scene(tmp_path, documents, POSITIONS)
    try:
        found.start()
        found.sign_in()
        found.scan("FW-1", "Position 1: label FW-1. 1 to go.")
        assert found.press()
        reply = found.panel.call("NextPress", wait_ms=0)
        gang = reply["gang"]
        assert reply["press"] == gang[0]
        assert [(one["position"], one["label"]) for one in gang] == [(0, "FW-1"), (1, None)]
        first, second = (one["press"] for one in gang)
        found.recorder.manifests[first] = {"verdict": "pass", "code": None}
        found.finish(first, "pass")
        found.pattern("running")
        found.lamps(**{"red 1": False, "green 1": False, "red 2": False, "green 2": False, "green": False})
        assert found.panel.call("NextPress", wait_ms=0)["press"]["press"] == second
        found.finish(second, "fail")
        seen = found.pattern("fail")
        assert "Position 2: FAIL." in seen["text"]
        assert [one["pattern"] for one in seen["positions"]] == ["pass", "fail"]
        found.lamps(**{"red 1": False, "green 1": True, "red 2": True, "green 2": False, "red": True, "green": False})
        assert found.press()
        found.lamps(**{"red 1": False, "green 1": False, "red 2": False, "green 2": False})
    finally:
        found.close()
