"""The gate on a tree of sysfs files, which does what the kernel does with them: a device that is authorised gets
interfaces, unauthorised ones; one that is put out loses them."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from appliance.usbgate.errors import KernelRefused
from appliance.usbgate.gate import Gate, Seen
from appliance.usbgate.policy import Board
from appliance.usbgate.service import as_reply, board_here
from appliance.usbgate.sysfs import Usb
from tests.usbgate.devices import KEYBOARD_PLUG, OWN_HUB, ST_LINK, STICK, TYPING_STICK, Plug

BOARD = Board("0000:00:*", "1", {"2": (0x2109, 0x3431)})


class Kernel:
    """A tree like /sys, one controller with one bus."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.links = root / "bus/usb/devices"
        self.links.mkdir(parents=True)
        self.probed = root / "bus/usb/drivers_probe"
        self.probed.write_text("")
        self.controller = root / "devices/pci0000:00/0000:00:02.0"
        self.plugs: dict[str, Plug] = {}
        bus = {"authorized": "1", "authorized_default": "0", "interface_authorized_default": "0", "dev": "189:0"}
        self._add("usb1", bus)
        self.udev = root / "run-udev-data"
        self.udev.mkdir()
        (self.udev / "c189:0").write_text("")

    def plug(self, name: str, plug: Plug, *, authorized: str = "0", devnum: int = 2) -> None:
        self._add(name, {"authorized": authorized, "devnum": str(devnum)})
        (self.links / name / "descriptors").write_bytes(plug.bytes())
        self.plugs[name] = plug
        self.settle()

    def unplug(self, name: str) -> None:
        del self.plugs[name]
        for link in [*self.links.glob(f"{name}:*"), self.links / name]:
            link.unlink()

    def settle(self) -> None:
        """What the kernel does once a device's `authorized` was written."""
        for name, plug in self.plugs.items():
            there = list(self.links.glob(f"{name}:*"))
            is_in = self.read(name) == "1"
            for link in there if not is_in else []:
                link.unlink()
            for iface in plug.configs[0].ifaces if is_in and not there else ():
                if iface.alternate == 0:
                    self._add(f"{name}:1.{iface.number}", {"authorized": "0"})

    def read(self, name: str, attribute: str = "authorized") -> str:
        return (self.links / name / attribute).read_text()

    def write(self, name: str, value: str, attribute: str = "authorized") -> None:
        (self.links / name / attribute).write_text(value)
        self.settle()

    def let_in(self, name: str) -> dict[str, str]:
        return {link.name: self.read(link.name) for link in sorted(self.links.glob(f"{name}:*"))}

    def _add(self, name: str, files: dict[str, str]) -> None:
        place = self.controller / name
        place.mkdir(parents=True, exist_ok=True)
        for file, content in files.items():
            (place / file).write_text(content)
        (self.links / name).symlink_to(place)


class Bench:
    def __init__(self, root: Path, board: Board | None = BOARD) -> None:
        self.kernel = Kernel(root)
        self.gate = Gate(Usb(root, self.kernel.udev), board)

    def look(self, *, times: int = 3) -> dict[str, Seen]:
        """As often as events would make the gate look."""
        for _ in range(times):
            self.gate.look()
            self.kernel.settle()
        return {seen.name: seen for seen in self.gate.known}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def code(seen: Seen) -> str:
    return "" if seen.refusal is None else seen.refusal.code


def test_a_stick_is_let_in_by_itself_and_by_its_interface_and_gets_its_driver(bench: Bench) -> None:
    bench.kernel.plug("1-1", STICK)
    seen = bench.look()["1-1"]
    assert (seen.what, seen.interfaces, seen.refusal) == ("stick", ("1-1:1.0",), None)
    assert bench.kernel.read("1-1") == "1"
    assert bench.kernel.let_in("1-1") == {"1-1:1.0": "1"}
    assert bench.kernel.probed.read_text() == "1-1:1.0"
    assert as_reply(seen)["what"] == "stick"


@pytest.mark.parametrize(
    ("name", "plug", "wanted"),
    [
        ("1-1", KEYBOARD_PLUG, "PL-USB-011"),
        ("1-1", TYPING_STICK, "PL-USB-012"),
        ("1-1", ST_LINK, "PL-USB-012"),
        ("1-3", STICK, "PL-USB-010"),
        ("1-2", STICK, "PL-USB-013"),
    ],
)
def test_anything_else_stays_out_and_is_named_once(
    bench: Bench, name: str, plug: Plug, wanted: str, caplog: pytest.LogCaptureFixture
) -> None:
    bench.kernel.plug(name, plug)
    seen = bench.look()[name]
    assert (seen.what, seen.interfaces, code(seen)) == ("", (), wanted)
    assert bench.kernel.read(name) == "0"
    assert bench.kernel.probed.read_text() == ""
    assert caplog.text.count(wanted) == 1


def test_the_boards_own_hub_is_let_in_whole(bench: Bench) -> None:
    bench.kernel.plug("1-2", OWN_HUB)
    assert bench.look()["1-2"].what == "own"
    assert bench.kernel.let_in("1-2") == {"1-2:1.0": "1"}


def test_what_was_let_in_without_the_gate_is_put_out_and_named(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.kernel.plug("1-1", TYPING_STICK, authorized="1")
    for interface in bench.kernel.let_in("1-1"):
        bench.kernel.write(interface, "1")
    bench.look()
    assert bench.kernel.read("1-1") == "0"
    assert bench.kernel.let_in("1-1") == {}
    assert "PL-USB-022" in caplog.text


def test_somebody_who_lets_a_keyboard_in_later_is_undone_at_the_next_look(bench: Bench) -> None:
    bench.kernel.plug("1-1", KEYBOARD_PLUG)
    bench.look()
    bench.kernel.write("1-1", "1")
    bench.look()
    assert bench.kernel.read("1-1") == "0"


@pytest.mark.parametrize("attribute", ["authorized_default", "interface_authorized_default"])
def test_nothing_is_let_in_on_a_bus_that_lets_in_by_itself(
    bench: Bench, attribute: str, caplog: pytest.LogCaptureFixture
) -> None:
    bench.kernel.write("usb1", "1", attribute)
    bench.kernel.plug("1-1", STICK, authorized="1")
    seen = bench.look()["1-1"]
    assert (code(seen), bench.gate.guarded) == ("PL-USB-020", False)
    assert bench.kernel.read("1-1") == "0"
    assert caplog.text.count(f"usb1: PL-USB-020: usb1 has {attribute}=1") == 1
    bench.kernel.write("usb1", "0", attribute)
    assert bench.look()["1-1"].what == "stick"
    assert bench.gate.guarded


def test_a_bus_that_udev_has_not_come_to_is_closed_without_a_word(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    (bench.kernel.udev / "c189:0").unlink()
    bench.kernel.write("usb1", "1", "interface_authorized_default")
    bench.kernel.plug("1-1", STICK)
    seen = bench.look()["1-1"]
    assert (code(seen), bench.gate.guarded) == ("PL-USB-023", False)
    assert bench.kernel.read("1-1") == "0"
    assert caplog.text == ""
    bench.kernel.write("usb1", "0", "interface_authorized_default")
    (bench.kernel.udev / "c189:0").write_text("")
    assert bench.look()["1-1"].what == "stick"
    assert bench.gate.guarded


class Early(Usb):
    """A tree whose udev hands no device over before it was asked for so many times."""

    early = 0

    def authorize(self, name: str, *, allow: bool) -> None:
        if self.early:
            self.early -= 1
            raise KernelRefused(path=name, why="Permission denied")
        super().authorize(name, allow=allow)


@pytest.mark.parametrize(("early", "told"), [(1, 0), (2, 1)])
def test_a_device_that_udev_has_not_come_to_waits_for_its_event_and_a_kernel_that_refuses_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, early: int, told: int
) -> None:
    bench = Bench(tmp_path)
    usb = Early(tmp_path, bench.kernel.udev)
    bench.gate = Gate(usb, BOARD)
    bench.kernel.plug("1-1", STICK)
    usb.early = early
    assert code(bench.look(times=1)["1-1"]) == "PL-USB-023"
    assert bench.look()["1-1"].what == "stick"
    assert caplog.text.count("PL-USB-021") == told


def test_descriptors_that_make_no_sense_keep_a_device_out(bench: Bench) -> None:
    bench.kernel.plug("1-1", STICK)
    (bench.kernel.links / "1-1" / "descriptors").write_bytes(STICK.bytes()[:-1])
    assert code(bench.look()["1-1"]) == "PL-USB-002"
    (bench.kernel.links / "1-1" / "descriptors").write_bytes(bytes(70_000))
    assert code(bench.look()["1-1"]) == "PL-USB-001"
    assert bench.kernel.read("1-1") == "0"


def test_a_device_that_changes_its_story_stays_out_until_it_is_plugged_in_anew(bench: Bench) -> None:
    class Turning(Usb):
        """Tells of a keyboard as soon as it is let in."""

        def authorize(self, name: str, *, allow: bool) -> None:
            super().authorize(name, allow=allow)
            if allow and ":" not in name:
                (bench.kernel.links / name / "descriptors").write_bytes(TYPING_STICK.bytes())

    bench.gate = Gate(Turning(bench.kernel.root, bench.kernel.udev), BOARD)
    bench.kernel.plug("1-1", STICK)
    bench.gate.look()
    (seen,) = bench.gate.known
    assert code(seen) == "PL-USB-003"
    assert bench.kernel.read("1-1") == "0"
    (bench.kernel.links / "1-1" / "descriptors").write_bytes(STICK.bytes())
    bench.gate.look()
    (seen,) = bench.gate.known
    assert code(seen) == "PL-USB-003", "a second story does not help it"
    assert bench.kernel.let_in("1-1") == {}

    bench.gate = Gate(Usb(bench.kernel.root, bench.kernel.udev), BOARD)
    bench.kernel.unplug("1-1")
    bench.look()
    bench.kernel.plug("1-1", STICK, devnum=3)
    assert bench.look()["1-1"].what == "stick"


def test_a_device_that_is_pulled_out_is_forgotten(bench: Bench) -> None:
    bench.kernel.plug("1-1", STICK)
    bench.look()
    bench.kernel.unplug("1-1")
    assert bench.look() == {}
    bench.kernel.plug("1-1", KEYBOARD_PLUG)
    assert code(bench.look()["1-1"]) == "PL-USB-011"


def test_a_device_that_goes_while_it_is_looked_at_is_no_crash(bench: Bench) -> None:
    bench.kernel.plug("1-1", STICK)
    (bench.kernel.links / "1-1" / "descriptors").unlink()
    assert code(bench.look()["1-1"]) == "PL-USB-021"


def test_without_a_map_every_port_is_closed(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "sys", None)
    bench.kernel.plug("1-1", STICK)
    assert code(bench.look()["1-1"]) == "PL-USB-010"
    assert bench.kernel.read("1-1") == "0"


def test_a_machine_is_known_by_its_device_tree(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    baked = Path(__file__).parents[2] / "systemd/share/usbgate.json"
    (tmp_path / "compatible").write_bytes(b"linux,dummy-virt\0")
    virt = board_here(str(baked), tmp_path / "compatible")
    assert virt is not None
    assert virt.intake == "1"
    assert board_here(str(baked), tmp_path / "none") is None
    assert "PL-USB-031" in caplog.text
