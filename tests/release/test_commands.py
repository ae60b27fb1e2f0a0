"""Every command that needs no token, as it is typed, on a desk whose people hold real tokens."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from appliance import cli
from appliance.release.desk import Desk
from tests.release.forge import IMAGE, key
from tests.release.test_desk import NOW, People, approve, new_desk

WINDOW = ("--from", "2026-11-22T00:00:00Z", "--until", "2027-11-22T00:00:00+01:00")
PERIOD = ("--opens", "2026-11-22T00:00:00Z", "--closes", "2099-12-22T00:00:00.000000Z")


def pem(folder: Path, name: str) -> str:
    path = folder / f"{name}.pem"
    public = key(name).public_key()
    path.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return str(path)


class Desktop:
    """A desk's folder and the words typed at it."""

    def __init__(self, folder: Path, people: People) -> None:
        self.folder = folder
        self.people = people
        self.desk = new_desk(folder / "desk", people)
        self.promote("ada", "bob")

    def type(self, *words: str) -> int:
        return cli.main(["release", words[0], "--desk", str(self.folder / "desk"), *words[1:]])

    def promote(self, *persons: str) -> None:
        approve(self.desk, self.people, *persons)
        self.desk.promote(self.people["desk"], NOW)


@pytest.fixture
def desktop(tmp_path: Path, people: People) -> Desktop:
    return Desktop(tmp_path, people)


def fill(desktop: Desktop) -> None:
    """A product, a release, a station with keys, its settings, an order and an operator."""
    folder = desktop.folder
    (folder / "demo.bin").write_bytes(IMAGE)
    (folder / "badge").write_text("B-1\n")
    keys = ("--key", f"manifest={pem(folder, 'm1')}", "--key", f"checkpoint={pem(folder, 'c1')}")
    place = ("--site", "demo", "--origin", "demo.example/bench-01", "--product", "*")
    limits = ("--max-width-ms", "1000", "--max-unexported-entries", "100", "--session-s", "3600", "--probe", "any")
    for words in (
        ("profile", "demo", "--part", "stm32f412xg", "--swclk-hz", "4000000", "--label-prefix", "FW"),
        (
            "firmware", "demo", "1.0.0", str(folder / "demo.bin"), "--load-address", "0x8000000", "--build-id", "b1",
            "--ticket", "CHG-1",
        ),
        ("station", "bench-01", *place, *keys, *WINDOW),
        ("settings", "bench-01", *limits),
        (
            "order", "WO-1", "--sku", "demo", "--version", "1.0.0", "--quantity", "20", "--station", "bench-01",
            "--ticket", "CHG-2", *PERIOD,
        ),
        (
            "operator", "olga", "--name", "Olga", "--badge-file", str(folder / "badge"), "--role", "operator",
            *WINDOW,
        ),
    ):  # fmt: skip
        assert desktop.type(*words) == 0, words
    desktop.promote("ada", "carol")


def test_a_site_is_filled_by_commands(desktop: Desktop, capsys: pytest.CaptureFixture[str]) -> None:
    fill(desktop)
    site = desktop.desk.published()
    assert site.order("WO-1").quantity == 20
    operator = site.roster().by_badge("B-1")
    assert operator
    assert operator.id == "olga"
    station = site.stations().station("bench-01")
    assert station
    assert [one.purpose for one in station.keys] == ["manifest", "checkpoint"]
    assert site.settings("bench-01").panel_session_s == 3600
    capsys.readouterr()
    assert desktop.type("show") == 0
    shown = capsys.readouterr().out
    assert "root 1: made at office" in shown
    assert "approvers ada, bob, carol" in shown
    assert "releases/demo/1.0.0" in shown


def test_a_gang_fixture_is_set_by_commands(desktop: Desktop) -> None:
    fill(desktop)
    limits = ("--max-width-ms", "1000", "--max-unexported-entries", "100", "--session-s", "3600")
    assert desktop.type("settings", "bench-01", *limits, "--gang", "vnucleo:1", "vnucleo:2") == 0
    desktop.promote("ada", "carol")
    settings = desktop.desk.published().settings("bench-01")
    assert (settings.probe, settings.gang) == (None, ("vnucleo:1", "vnucleo:2"))


TAKING_BACK = [
    (("expire", "order", "WO-1", "--at", "2026-12-01T00:00:00Z"), "~ closes"),
    (("expire", "release", "demo/1.0.0"), "~ orders/WO-1.json"),
    (("revoke", "order", "WO-1"), "- orders/WO-1.json"),
    (("revoke", "release", "demo/1.0.0", "--with-orders"), "- releases/demo/1.0.0.json"),
    (("revoke", "station", "bench-01", "--reason", "stolen"), 'revoked.reason: "stolen"'),
    (("operator", "olga", "--remove"), "operators[olga].id"),
    (("root", "--remove", "carol", "--place", "office"), "- carol"),
]


def test_everything_can_be_taken_back_and_a_proposal_dropped(
    desktop: Desktop, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(desktop)
    before = desktop.desk.published().digest
    for words, shown in TAKING_BACK:
        assert desktop.type(*words) == 0, words
        capsys.readouterr()
        assert desktop.type("proposal") == 0
        assert shown in capsys.readouterr().out, words
        assert desktop.type("drop") == 0
    assert desktop.desk.published().digest == before


def test_new_approver_and_new_online_key_are_proposed_by_commands(desktop: Desktop) -> None:
    dave = f"dave={pem(desktop.folder, 'dave')}"
    assert desktop.type("root", "--add", dave, "--remove", "ada", "--place", "office") == 0
    new = ("--online", pem(desktop.folder, "online2"), "--holder", "new safe")
    assert desktop.type("root", "--add", dave, "--remove", "ada", *new, "--place", "office") == 0
    proposal = Desk(desktop.desk.folder).proposal()
    assert proposal.root
    assert proposal.root.version == 2
    assert proposal.ceremony
    assert proposal.ceremony["online"]["holder"] == "new safe"  # type: ignore[index]  # JSON


REFUSED = [
    ((
        "order", "WO-1", "--sku", "x", "--version", "1", "--quantity", "1", "--station", "b", "--ticket", "T", *PERIOD
    ), "PL-SIT-070"),
    (("firmware", "demo", "1", "no-such-file", "--build-id", "b", "--ticket", "T"), "PL-REL-014"),
    (("operator", "olga", "--role", "lead"), "PL-REL-015"),
    (("operator", "olga", "--remove"), "PL-REL-012"),
    (("revoke", "release", "demo"), "PL-REL-012"),
    (("root", "--remove", "nobody", "--place", "office"), "PL-REL-010"),
    (("drop",), "PL-REL-005"),
    (("proposal",), "PL-REL-005"),
    (("hand-in", "no-such-file"), "PL-REL-014"),
]  # fmt: skip


def test_refused_commands_say_code_and_next_step(desktop: Desktop, capsys: pytest.CaptureFixture[str]) -> None:
    for words, code in REFUSED:
        capsys.readouterr()
        assert desktop.type(*words) == cli.BAD_INPUT, words
        said = capsys.readouterr().err
        assert said.startswith(code), (words, said)
        assert "next: " in said
    assert not desktop.desk.has_proposal()


def test_times_without_sense_are_refused(desktop: Desktop, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        desktop.type("expire", "order", "WO-1", "--at", "tomorrow")
    assert "2026-11-22T12:00:00Z" in capsys.readouterr().err
