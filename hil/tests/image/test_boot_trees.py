"""The device trees that a station gets: Debian's own and the place for a TPM board, in the UKI and the boot FAT alike.

Nothing boots here; test_boot_pi.py has the Pi 3 that starts with one of them.
"""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from hil.virtual_station.card import Card
from hil.virtual_station.places import SCRATCH, STATIONS, TREE, inside
from image.builder.tree import ToolsTree
from image.builder.trees import BOARDS, made

TOOLS = ToolsTree(TREE, SCRATCH)
PINS, BUS = "soc/gpio@7e200000", "soc/spi@7e204000"
BUS_ALIAS = "of:NspiT(null)Cbrcm,bcm2835-spi"


def debians(board: str) -> Path:
    """The tree as the kernel's package has it."""
    (found,) = (SCRATCH / "loose/linux").glob(f"usr/lib/linux-image-*/broadcom/{board}.dtb")
    return found


def described(tree: Path) -> dict[str, str]:
    """Every property of a tree by its path, as dtc prints it; a node is one without a value."""
    where: list[str] = []
    found: dict[str, str] = {}
    for line in map(str.strip, TOOLS.ask(["dtc", "-q", "-I", "dtb", "-O", "dts", inside(tree)]).splitlines()):
        if line == "};":
            where.pop()
        elif line:
            name, _equals, value = line.rstrip("{; ").partition(" = ")
            found["/".join([*where[1:], name])] = value
            if line.endswith("{"):
                where.append(name)
    assert not where
    return found


def in_the_uki(uki: bytes) -> list[bytes]:
    """The device trees that systemd's stub chooses from: PE sections (header at 0x3c; PE format, 3 and 4)."""
    (header,) = struct.unpack_from("<I", uki, 0x3C)
    count, optional = struct.unpack_from("<H", uki, header + 6)[0], struct.unpack_from("<H", uki, header + 20)[0]
    rows = [struct.unpack_from("<8sII2I", uki, header + 24 + optional + 40 * row) for row in range(count)]
    return [uki[at : at + size] for name, size, _address, _padded, at in rows if name == b".dtbauto"]


@pytest.mark.parametrize("board", [board for board, overlays in BOARDS.items() if overlays])
def test_the_bus_of_the_header_is_on_with_a_tpm_at_its_second_chip_select_and_nothing_else_differs(board: str) -> None:
    before, after = described(debians(board)), described(SCRATCH / f"trees/{board}.dtb")
    assert before.keys() <= after.keys()
    assert before[f"{BUS}/status"] == '"disabled"'
    gpio = before[f"{PINS}/phandle"].strip("<>")
    expected = {
        f"{BUS}/cs-gpios": f"<0x00 {gpio} 0x07 0x01>",
        f"{BUS}/status": '"okay"',
        f"{BUS}/tpm@1": "",
        f"{BUS}/tpm@1/compatible": '"infineon,slb9670", "tcg,tpm_tis-spi"',
        f"{BUS}/tpm@1/reg": "<0x01>",
        f"{BUS}/tpm@1/spi-max-frequency": "<0x1e84800>",
    }
    if "tpm-pins" in BOARDS[board]:
        pins = after[f"{PINS}/tpm-pins/phandle"]
        assert pins not in {value for name, value in before.items() if name.endswith("/phandle")}
        expected |= {
            f"{PINS}/tpm-pins": "",
            f"{PINS}/tpm-pins/brcm,function": "<0x04>",
            f"{PINS}/tpm-pins/brcm,pins": "<0x09 0x0a 0x0b>",
            f"{PINS}/tpm-pins/phandle": pins,
            f"{BUS}/pinctrl-0": pins,
            f"{BUS}/pinctrl-names": '"default"',
        }
    assert {name: value for name, value in after.items() if before.get(name) != value} == expected


@pytest.mark.parametrize("board", [board for board, overlays in BOARDS.items() if overlays])
def test_the_pins_of_the_bus_have_one_owner(board: str) -> None:
    """Who would be second fails in the kernel. On a compute module 3 the pins' controller itself has them."""
    tree = described(SCRATCH / f"trees/{board}.dtb")
    groups = {
        value
        for name, value in tree.items()
        if name.startswith(PINS)
        and name.endswith("/phandle")
        and {"0x09", "0x0a", "0x0b"} & set(tree.get(f"{Path(name).parent}/brcm,pins", "").strip("<>").split())
    }
    owners = [
        str(Path(name).parent)
        for name, value in tree.items()
        if Path(name).name.startswith("pinctrl-") and {f"<{one}>" for one in value.strip("<>").split()} & groups
    ]
    on = [one for one in owners if tree.get(f"{one}/status", '"okay"') == '"okay"']
    assert on == [BUS if "tpm-pins" in BOARDS[board] else PINS]


def test_a_board_whose_header_debian_does_not_know_has_debians_own_tree() -> None:
    assert [board for board, overlays in BOARDS.items() if not overlays] == ["bcm2712-rpi-5-b"]
    tree = SCRATCH / "trees/bcm2712-rpi-5-b.dtb"
    assert tree.read_bytes() == debians(tree.stem).read_bytes()
    assert not any("spi@" in name for name in described(tree))


def test_uki_and_boot_fat_have_these_trees() -> None:
    trees = {tree.name: tree.read_bytes() for tree in made(SCRATCH / "trees")}
    assert in_the_uki((SCRATCH / "out/proofline.efi").read_bytes()) == list(trees.values())
    disk, copies = SCRATCH / "out/disk.raw", STATIONS / "trees"
    copies.mkdir(parents=True, exist_ok=True)
    offset, _size = Card(disk).place("proofline-boot")
    TOOLS.ask(["mcopy", "-n", "-o", "-i", f"{inside(disk)}@@{offset}", "::*.dtb", inside(copies)])
    assert {copy.name: copy.read_bytes() for copy in copies.iterdir()} == trees


def test_the_bus_is_driven_by_name_only_so_that_udev_never_takes_the_pins_back() -> None:
    (release,) = [one.name for one in (SCRATCH / "root/usr/lib/modules").iterdir()]
    asked = f"modprobe -d /scratch/root -S {release} -C /scratch/root/usr/lib/modprobe.d --show-depends"
    by_alias = TOOLS.ask(["sh", "-c", f"{asked} --use-blacklist '{BUS_ALIAS}'"])
    by_name = TOOLS.ask(["sh", "-c", f"{asked} spi-bcm2835"])
    assert by_alias == ""
    assert by_name.strip().endswith("/spi-bcm2835.ko")
    known = TOOLS.ask(
        ["grep", "-c", "bcm2835-spi.* spi_bcm2835", f"/scratch/root/usr/lib/modules/{release}/modules.alias"]
    )
    assert int(known) > 0, "the alias is another one now"
