"""Which devices are written, on machines of every kind: their sysfs is laid out here, down to the links."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from appliance.card import device
from appliance.card.errors import (
    CardError,
    CardInputUnreadable,
    DeviceIsPartition,
    DeviceReadOnly,
    DeviceTooSmall,
    DeviceUnfit,
    NotConfirmed,
)
from tests.card.workbench import new_card


class Machine:
    """A sysfs and a proc with one disk."""

    def __init__(self, folder: Path) -> None:
        self.sysfs, self.proc = folder / "sys", folder / "proc"
        self.write(self.proc / "swaps", "Filename\tType\n")
        self.mounted("/dev/root 0:1 /")

    def write(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n", "utf-8")

    def disk(self, number: str, where: str, **files: str) -> Path:
        place = self.sysfs / "devices" / where
        defaults = {"ro": "0", "size": str(8 << 21), "removable": "0", "queue/logical_block_size": "512", "dev": number}
        for name, text in (defaults | files).items():
            self.write(place / name, text)
        (place / "holders").mkdir(exist_ok=True)
        link = self.sysfs / "dev/block" / number
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(place)
        return place

    def part(self, place: Path, name: str, number: str) -> Path:
        self.write(place / name / "partition", "1")
        self.write(place / name / "dev", number)
        (place / name / "holders").mkdir()
        (self.sysfs / "dev/block" / number).symlink_to(place / name)
        return place / name

    def mounted(self, *lines: str) -> None:
        text = ""
        for line in lines:
            source, number, target = line.split()
            text += f"30 1 {number} / {target} rw,relatime shared:1 - ext4 {source} rw\n"
        self.write(self.proc / "self/mountinfo", text.rstrip("\n"))

    def look(self, name: str, number: str) -> device.Device:
        major, minor = map(int, number.split(":"))
        return device.describe(Path("/dev") / name, os.makedev(major, minor), self.sysfs)

    def why(self, name: str, number: str) -> list[str]:
        major, minor = map(int, number.split(":"))
        found = self.look(name, number)
        return list(device.in_use(found, os.makedev(major, minor), self.sysfs, self.proc))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def reader(machine: Machine) -> Path:
    """A card in a USB reader."""
    usb = machine.sysfs / "devices/usb1/1-2"
    machine.write(usb / "idVendor", "14cd")
    machine.write(usb / "serial", "1215 2008")
    where = "usb1/1-2/1-2:1.0/host6/target6:0:0/6:0:0:0/block/sdb"
    place = machine.disk("8:16", where, removable="1")
    (place / "device").symlink_to(place.parents[1])
    machine.write(place.parents[1] / "vendor", "Mass    ")
    machine.write(place.parents[1] / "model", "Storage\tDevice ")
    return place


def test_a_card_in_a_reader_is_named_by_what_the_reader_says(machine: Machine) -> None:
    reader(machine)
    found = machine.look("sdb", "8:16")
    assert (found.model, found.serial, found.removable) == ("Mass Storage Device", "1215 2008", True)
    assert found.phrase == f"Mass Storage Device 1215 2008 {8 << 30}"
    assert machine.why("sdb", "8:16") == []
    device.confirm(found, ("whatever",), None)


def test_an_sd_card_in_its_own_slot_is_removable_and_a_soldered_chip_is_not(machine: Machine) -> None:
    for number, name, kind in (("179:0", "mmcblk0", "SD"), ("179:8", "mmcblk1", "MMC")):
        place = machine.disk(number, f"mmc/{name}/block/{name}")
        machine.write(place / "device/type", kind)
        machine.write(place / "device/name", "SC32G")
        machine.write(place / "device/serial", "0x5a3b1c")
        found = machine.look(name, number)
        assert (found.model, found.serial, found.removable) == ("SC32G", "0x5a3b1c", kind == "SD")


def test_a_fixed_disk_is_written_only_when_it_is_named(machine: Machine) -> None:
    place = machine.disk("259:0", "pci/nvme/nvme0/nvme0n1")
    machine.write(place / "device/model", "Samsung SSD 990")
    machine.write(place / "device/serial", "S7DNN")
    found = machine.look("nvme0n1", "259:0")
    for typed in (None, "", "yes", "Samsung SSD 990", f"Samsung SSD 990 S7DNN {(8 << 30) + 1}"):
        with pytest.raises(NotConfirmed, match=r"--confirm 'Samsung SSD 990 S7DNN 8589934592'"):
            device.confirm(found, (), typed)
    device.confirm(found, (), "Samsung SSD 990 S7DNN 8589934592\n")


def test_a_card_with_a_stations_evidence_is_written_only_when_it_is_named(machine: Machine) -> None:
    reader(machine)
    found = machine.look("sdb", "8:16")
    for state in ("proofline-state", "proofline-gone", "proofline-new"):
        with pytest.raises(NotConfirmed, match="evidence"):
            device.confirm(found, ("proofline-boot", state), None)
    device.confirm(found, ("proofline-boot", "proofline-state"), found.phrase)


def test_a_wrong_confirmation_is_refused_even_where_none_is_needed(machine: Machine) -> None:
    reader(machine)
    with pytest.raises(NotConfirmed):
        device.confirm(machine.look("sdb", "8:16"), (), "another card")


def test_what_is_mounted_swap_or_held_is_in_use(machine: Machine) -> None:
    place = reader(machine)
    machine.part(place, "sdb1", "8:17")
    held = machine.part(place, "sdb2", "8:18")
    machine.mounted("/dev/root 0:1 /", "/dev/sdb1 8:17 /mnt", "/dev/sdb1 0:44 /btrfs")
    assert machine.why("sdb", "8:16") == ["/dev/sdb1 is mounted at /mnt", "/dev/sdb1 is mounted at /btrfs"]
    machine.mounted("/dev/root 0:1 /")
    machine.write(machine.proc / "swaps", "Filename\tType\tSize\n/dev/sdb2                partition\t8\t0\t-2")
    assert machine.why("sdb", "8:16") == ["/dev/sdb2 is swap space"]
    machine.write(machine.proc / "swaps", "Filename\tType")
    (held / "holders" / "dm-0").mkdir()
    assert machine.why("sdb", "8:16") == ["/dev/sdb2 is part of dm-0"]


@pytest.mark.parametrize(
    ("files", "refusal"),
    [
        ({"ro": "1"}, DeviceReadOnly),
        ({"queue/logical_block_size": "4096"}, DeviceUnfit),
        ({"size": ""}, DeviceUnfit),
        ({"partition": "2"}, DeviceIsPartition),
    ],
)
def test_what_cannot_be_a_card_is_refused(machine: Machine, files: dict[str, str], refusal: type[CardError]) -> None:
    machine.disk("8:32", "usb/sdc", **files)
    with pytest.raises(refusal):
        machine.look("sdc", "8:32")


def test_a_disk_that_sysfs_does_not_know_is_refused(machine: Machine) -> None:
    with pytest.raises(DeviceUnfit):
        machine.look("sdz", "8:240")


def test_files_are_cards_when_they_are_large_enough(tmp_path: Path) -> None:
    empty = device.look(new_card(tmp_path / "card.img"))
    assert empty.removable
    device.confirm(empty, (), None)
    used = new_card(tmp_path / "used.img")
    with used.open("r+b") as file:
        file.write(b"something")
    with pytest.raises(NotConfirmed):
        device.confirm(device.look(used), (), None)
    with pytest.raises(DeviceTooSmall):
        device.look(new_card(tmp_path / "small.img", 2 << 30))
    with pytest.raises(DeviceUnfit):
        device.look(new_card(tmp_path / "odd.img", (4 << 30) + 1))


def test_folders_pipes_and_nothing_are_no_cards(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(DeviceUnfit):
            device.look(path)
    with pytest.raises(CardInputUnreadable):
        device.look(tmp_path / "nothing")
