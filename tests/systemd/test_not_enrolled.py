"""A station whose card holds no site, or a broken one: every service runs and answers, the panel says what is the
matter, and whatever a person tries is refused by that name and put on record."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from appliance.errors import ProoflineError
from appliance.ipc import Client
from appliance.panel.lights import LAMPS, PATTERNS, rhythm
from appliance.station import NotEnrolled, SiteUnreadable, find_site
from hil.local_station.daemons import Lines
from hil.local_station.place import CHECKOUT
from hil.local_station.supervisor import Supervisor, Unit, separate_users, uid_of

SERVICES = {
    "clock": "appliance.clock",
    "intake": "appliance.intake",
    "panel": "hil.local_station.mock_panel",
    "recorder": "appliance.recorder",
    "signer": "appliance.custody",
    "line": "appliance.line",
    "usbgate": "appliance.usbgate",
}
PINS = {"button": 17, "red": 5, "blue": 6, "green": 13, "buzzer": 19}


@dataclass(frozen=True)
class Fresh:
    """A station as it leaves the card writer, without a token, a time server or a release."""

    supervisor: Supervisor
    hands: Lines

    def client(self, role: str) -> Client:
        return Client(role, self.supervisor.run / f"{role}.sock")

    def ask(self, role: str, verb: str, **arguments: object) -> dict[str, Any]:
        with self.client(role) as client:
            return client.call(verb, **arguments)

    def wait(self, there: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        deadline = time.monotonic() + 60
        while not there(seen := self.ask("panel", "Describe")):
            assert time.monotonic() < deadline, seen
            time.sleep(0.1)
        return seen


def start(folder: Path, site: dict[str, bytes]) -> Fresh:
    for name, role in (("staged", "intake"), ("log", "recorder"), ("hands", "panel"), ("site", None)):
        place = folder / name
        place.mkdir()
        place.chmod(0o755)
        if role is not None and separate_users():
            os.chown(place, uid_of(role), uid_of(role))
    for name, content in site.items():
        (folder / "site" / name).write_bytes(content)
    (folder / "clock.json").write_text(
        json.dumps({"schema": 1, "chronyc": ["-h", f"{folder}/nobody.sock"], "sample": None})
    )
    (folder / "panel.json").write_text(json.dumps({"schema": 1, "pins": PINS, "scanner": f"{folder}/hands/scanner"}))
    common = {
        "PYTHONPATH": os.fspath(CHECKOUT),
        "PROOFLINE_SITE": f"{folder}/site",
        "PROOFLINE_STAGED": f"{folder}/staged",
        "PROOFLINE_LOG": f"{folder}/log",
        "PROOFLINE_CLOCK_CONFIG": f"{folder}/clock.json",
        "PROOFLINE_PANEL_CONFIG": f"{folder}/panel.json",
        "PROOFLINE_PANEL_HANDS": f"{folder}/hands/panel.sock",
        "PROOFLINE_TOKEN_CONFIG": f"{folder}/no-token.json",
        "PROOFLINE_USB_CONFIG": f"{CHECKOUT}/systemd/share/usbgate.json",
    }
    supervisor = Supervisor(folder / "services", common)
    for role, module in SERVICES.items():
        supervisor.start(Unit(role, [sys.executable, "-m", module]))
    return Fresh(supervisor, Lines(folder / "hands" / "panel.sock"))


@pytest.fixture
def folder() -> Iterator[Path]:
    """Below the checkout, where every service's user may enter."""
    (CHECKOUT / ".build").mkdir(exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix="fresh-", dir=CHECKOUT / ".build"))
    place.chmod(0o755)
    yield place
    shutil.rmtree(place, ignore_errors=True)


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(ProoflineError) as refusal:
        call()
    return refusal.value.code


def codes(closed: Sequence[dict[str, Any]]) -> list[str]:
    return [one["code"] for one in closed]


def test_a_station_without_a_site_runs_says_so_and_refuses_by_that_name(folder: Path) -> None:
    fresh = start(folder, {})
    with fresh.supervisor:
        seen = fresh.wait(lambda seen: seen["pattern"] == "not_enrolled")
        assert seen["lights"] == {lamp: rhythm(getattr(PATTERNS["not_enrolled"], lamp)) for lamp in LAMPS}
        assert "PL-STA-003" in seen["text"]

        gates = fresh.ask("signer", "Gates")
        assert (gates["open"], gates["signing"], codes(gates["closed"])) == (False, False, ["PL-STA-003"])
        assert fresh.ask("signer", "Describe")["enrolled"] is False

        before = fresh.ask("recorder", "Describe")["journal"]
        fresh.hands.ask(do="press", hold_ms=120)
        seen = fresh.wait(lambda seen: seen["pattern"] == "refused")
        assert "PL-STA-003" in seen["text"]
        deadline = time.monotonic() + 20
        while fresh.ask("recorder", "Describe")["journal"] == before:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert fresh.ask("recorder", "Describe")["size"] == 0

        assert refused(lambda: fresh.ask("intake", "Import", carrier=f"{folder}/site")) == "PL-STA-003"
        assert fresh.ask("intake", "Describe")["generation"] is None
        assert fresh.ask("line", "Describe")["state"] in {"idle", "preparing"}
        assert fresh.ask("clock", "Read")["verdict"]["status"] == "Unknown"
        assert "devices" in fresh.ask("usbgate", "Describe")
        assert {role: fresh.supervisor.restarts(role) for role in SERVICES} == dict.fromkeys(SERVICES, 0)


BROKEN = {
    "no-root": {"station.json": b'{"schema":1,"station":"bench-01","site":"demo"}'},
    "no-station": {"root.json": b"{}"},
    "half-written": {"root.json": b"{}", "station.json": b'{"schema":1,"sta'},
    "other-schema": {"root.json": b"{}", "station.json": b'{"schema":2,"station":"bench-01","site":"demo"}'},
}


@pytest.mark.parametrize("site", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_site_is_not_taken_for_a_missing_one(tmp_path: Path, site: dict[str, bytes]) -> None:
    assert isinstance(find_site(tmp_path), NotEnrolled)
    assert isinstance(find_site(tmp_path / "nothing"), NotEnrolled)
    for name, content in site.items():
        (tmp_path / name).write_bytes(content)
    assert isinstance(find_site(tmp_path), SiteUnreadable)


def test_a_broken_site_closes_every_gate_by_its_own_name_and_stops_no_service(folder: Path) -> None:
    fresh = start(folder, BROKEN["half-written"])
    with fresh.supervisor:
        seen = fresh.wait(lambda seen: seen["pattern"] == "fault")
        assert "PL-STA-002" in seen["text"]
        assert codes(fresh.ask("signer", "Gates")["closed"]) == ["PL-STA-002"]
        assert refused(lambda: fresh.ask("intake", "Import", carrier=f"{folder}/site")) == "PL-STA-002"
        assert {role: fresh.supervisor.restarts(role) for role in SERVICES} == dict.fromkeys(SERVICES, 0)
