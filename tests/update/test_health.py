"""The look at a boot: real sockets and files; systemd's and verity's side as they present themselves to a program."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.ipc import Service, interface_of
from appliance.update import health, slot, units
from appliance.update.errors import SlotUnreadable, SlotUnverified, SystemSilent
from appliance.update.verdict import UNITS, VERBS, Unit, causes, unit_of

ROOT = Path(__file__).parents[2]
REPLIES: dict[str, dict[str, Any]] = {
    "usbgate": {"guarded": True, "devices": []},
    "clock": {"verdict": {"status": "Unknown", "sources": []}},
    "intake": {},
    "line": {"state": "idle", "permille": 0, "units": 0},
    "signer": {"station": "", "origin": "", "enrolled": False, "keys": [], "last_size": 0, "signatures": 0},
    "recorder": {
        "origin": "",
        "size": 0,
        "root": "",
        "checkpointed": 0,
        "journal": 0,
        "journal_committed": 0,
        "units": 0,
    },
    "panel": {"pattern": "not_enrolled", "lights": {}, "text": "", "stopped": False, "presses": 0},
}


class Stand:
    """A service that gives its role's answer to every verb."""

    def __init__(self, role: str) -> None:
        self._role = role

    def __getattr__(self, verb: str) -> Callable[..., dict[str, Any]]:
        return lambda *_caller, **_arguments: REPLIES[self._role]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Path]:
    """All services answer, as on a fresh station."""
    doors = []
    for role in VERBS:
        interface = interface_of(role)
        access = {verb: frozenset({"health"}) for verb in interface.methods}
        service = Service(interface, Stand(role), access, {"health": os.getuid()})
        door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        door.bind(os.fspath(tmp_path / f"{role}.sock"))
        door.listen()
        doors.append(door)

        def accept(door: socket.socket = door, service: Service = service) -> None:
            while True:
                try:
                    connection, _ = door.accept()
                except OSError:
                    return
                threading.Thread(target=service.converse, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
    yield tmp_path
    for door in doors:
        door.shutdown(socket.SHUT_RDWR)
        door.close()


class Systemd:
    """What `show` would tell: watchdogs that are fed between looks, but those of `hungry`."""

    def __init__(self, hungry: frozenset[str] = frozenset()) -> None:
        self._looks = 0
        self._hungry = hungry

    def show(self) -> dict[str, Unit]:
        self._looks += 1
        fed = {role: 1 if role in self._hungry else self._looks for role in VERBS}
        services = {unit_of(role): Unit("active", "success", 0, fed[role]) for role in VERBS}
        return {**services, **dict.fromkeys(UNITS, Unit("active", "success", 0, 0))}


def test_a_station_that_is_not_enrolled_and_knows_no_time_is_good(run: Path) -> None:
    seen, size = health.observe(run, Systemd().show, lambda: 42, patience_s=20)
    assert (causes(seen), size) == ((), 42)


def test_a_service_without_a_door_is_waited_for_and_then_a_cause(run: Path) -> None:
    (run / "panel.sock").unlink()
    begin = time.monotonic()
    seen, _ = health.observe(run, Systemd().show, lambda: 42, patience_s=2)
    assert time.monotonic() - begin >= 2
    assert [cause.code for cause in causes(seen)] == ["PL-HLT-001"]


def test_a_line_that_never_gets_ready_for_its_first_board_is_a_cause(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(REPLIES, "line", REPLIES["line"] | {"state": "preparing"})
    seen, _ = health.observe(run, Systemd().show, lambda: 42, patience_s=2, preparing_s=2)
    assert [(cause.code, cause.details["role"]) for cause in causes(seen)] == [("PL-HLT-001", "line")]


def test_a_watchdog_that_is_not_fed_is_waited_for_and_then_a_cause(run: Path) -> None:
    seen, _ = health.observe(run, Systemd(frozenset({"line"})).show, lambda: 42, patience_s=2)
    assert [(cause.code, cause.details["role"]) for cause in causes(seen)] == [("PL-HLT-003", "line")]


def test_a_slot_that_cannot_be_read_is_a_cause_and_not_a_crash(run: Path) -> None:
    def unreadable() -> int:
        raise SlotUnreadable(device="/dev/dm-0", at=0, size=1, why="EIO")

    seen, _ = health.observe(run, Systemd().show, unreadable, patience_s=20)
    assert [cause.code for cause in causes(seen)] == ["PL-HLT-007"]


class Disk:
    """The block device behind a folder, as sysfs and /dev show it."""

    def __init__(self, place: Path, content: bytes, uuid: str = "CRYPT-VERITY-0123-root") -> None:
        number = os.stat(place).st_dev
        self.about = place / "block" / f"{os.major(number)}:{os.minor(number)}"
        (self.about / "dm").mkdir(parents=True)
        (self.about / "dm/uuid").write_text(f"{uuid}\n")
        (self.about / "size").write_text(f"{-(-len(content) // 512)}\n")
        (self.about / "uevent").write_text("MAJOR=254\nMINOR=0\nDEVNAME=dm-0\nDEVTYPE=disk\n")
        (place / "dev").mkdir()
        self.device = place / "dev/dm-0"
        self.device.write_bytes(content)
        self._place = place

    def read(self) -> int:
        return slot.read_all(self._place, sysfs=self._place / "block", devices=self._place / "dev")


def test_the_whole_slot_is_read(tmp_path: Path) -> None:
    assert Disk(tmp_path, bytes(9 * 1024 * 1024)).read() == 9 * 1024 * 1024


def test_a_slot_that_ends_early_is_refused(tmp_path: Path) -> None:
    disk = Disk(tmp_path, bytes(1024 * 1024))
    os.truncate(disk.device, 1000 * 1024)
    with pytest.raises(SlotUnreadable, match="byte 1024000 of 1048576"):
        disk.read()


def test_a_block_that_gives_an_error_is_named_by_its_place(tmp_path: Path) -> None:
    disk = Disk(tmp_path, bytes(1024))
    disk.device.unlink()
    disk.device.symlink_to("/proc/self/mem")  # its first page is not mapped: a read error as a disk's
    with pytest.raises(SlotUnreadable, match="byte 0 of 1024: Input/output error"):
        disk.read()


@pytest.mark.parametrize("uuid", ["", "CRYPT-LUKS2-0123-state", "LVM-xyz"])
def test_a_system_that_verity_does_not_guard_is_refused(tmp_path: Path, uuid: str) -> None:
    with pytest.raises(SlotUnverified):
        Disk(tmp_path, bytes(1024), uuid).read()


def test_a_system_on_no_device_mapper_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SlotUnverified):
        slot.read_all(tmp_path, sysfs=tmp_path)


def program(folder: Path, text: str) -> None:
    (folder / "systemctl").write_text(f"#!/bin/sh\n{text}\n")
    (folder / "systemctl").chmod(0o755)


@pytest.mark.parametrize("text", ["exit 1", "echo Id=other.service", "true", "echo no bus >&2; exit 4"])
def test_a_systemd_that_tells_nothing_of_use_is_no_health(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    program(tmp_path, text)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(SystemSilent):
        units.show(["proofline-clock.service"])


def test_the_program_ends_with_the_verdict_and_writes_its_causes(run: Path) -> None:
    """As a process, on a machine that is no station: nobody may call, and the system lies on no verity."""
    program(run, "exit 1")
    environ = {
        **os.environ,
        "PATH": f"{run}:{os.environ['PATH']}",
        "PROOFLINE_RUN": os.fspath(run),
        "RUNTIME_DIRECTORY": os.fspath(run),
    }
    command = [sys.executable, "-m", "appliance.update.health"]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, check=False)
    assert done.returncode == 1, done.stderr
    verdict = json.loads((run / "verdict.json").read_text())
    assert (verdict["good"], [cause["code"] for cause in verdict["causes"]]) == (False, ["PL-HLT-005"])
    assert b"PL-HLT-005" in done.stderr
