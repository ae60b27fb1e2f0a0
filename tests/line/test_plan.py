"""What the approved documents let the line do: the firmware is exactly its allowlist, or nothing is touched."""

from __future__ import annotations

import copy
import struct
from dataclasses import dataclass
from typing import Any

import pytest

from appliance.errors import ProoflineError
from appliance.line import plan as plan_module
from appliance.line.errors import FirmwareNotAllowed, PolicyNotSupported
from appliance.line.plan import Plan, plan_for
from appliance.target.errors import ImageError
from appliance.verify.site import SiteTrust
from appliance.verify.site_errors import SiteError
from tests.release.forge import START, Forge, Memory, good_documents, sha

FIRMWARE = struct.pack("<II", 0x2004_0000, START + 9) + bytes(range(248))


def documents(firmware: bytes = FIRMWARE, ranges: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    found = copy.deepcopy(good_documents())
    found["firmware/demo/1.0.0/demo.bin"] = firmware
    release = found["releases/demo/1.0.0.json"]
    release["firmware"] |= {"sha256": sha(firmware), "length": len(firmware)}
    release["ranges"] = ranges or [{"name": "image", "start": START, "length": len(firmware), "sha256": sha(firmware)}]
    return found


def plan(found: dict[str, Any], event: str = "provision", order: str = "WO-1") -> Plan:
    files = Forge(documents=found).files()
    return plan_for(SiteTrust.verify(Memory(files), files["metadata/1.root.json"]), "bench-01", order, event)


def test_a_release_becomes_a_plan() -> None:
    found = plan(documents())
    assert [(one.name, one.start, one.length) for one in found.ranges] == [("image", START, 256)]
    assert found.image.segments[0].data == FIRMWARE
    assert (found.sku, found.swclk_hz, found.probe) == ("demo", 4_000_000, "any")
    assert found.probe_record() == {"kind": "probe", "id": "any"}


def test_an_image_may_be_allowed_in_several_ranges() -> None:
    halves = [
        {"name": "a", "start": START, "length": 100, "sha256": sha(FIRMWARE[:100])},
        {"name": "b", "start": START + 100, "length": 156, "sha256": sha(FIRMWARE[100:])},
    ]
    assert len(plan(documents(ranges=halves)).ranges) == 2


@pytest.mark.parametrize(
    "ranges",
    [
        [{"name": "image", "start": START, "length": 256, "sha256": "0" * 64}],
        [{"name": "image", "start": START, "length": 255, "sha256": sha(FIRMWARE[:255])}],
        [{"name": "image", "start": START, "length": 257, "sha256": sha(FIRMWARE + b"\xff")}],
        [{"name": "image", "start": START + 1, "length": 255, "sha256": sha(FIRMWARE[1:])}],
        [
            {"name": "image", "start": START, "length": 256, "sha256": sha(FIRMWARE)},
            {"name": "more", "start": START + 4096, "length": 4, "sha256": sha(b"\xff" * 4)},
        ],
    ],
)
def test_firmware_that_is_not_exactly_its_allowlist_is_refused(ranges: list[dict[str, Any]]) -> None:
    with pytest.raises(FirmwareNotAllowed):
        plan(documents(ranges=ranges))


def test_a_digest_of_another_file_is_refused() -> None:
    found = documents()
    found["releases/demo/1.0.0.json"]["firmware"]["sha256"] = "0" * 64
    with pytest.raises(FirmwareNotAllowed):
        plan(found)


def test_firmware_that_could_not_boot_is_refused() -> None:
    with pytest.raises(ImageError):
        plan(documents(bytes(256)))


def test_an_order_that_is_not_approved_is_refused() -> None:
    with pytest.raises(SiteError):
        plan(documents(), order="WO-9")


def test_a_part_that_nobody_knows_is_refused() -> None:
    found = documents()
    found["products/demo.json"]["part"] = "stm32f999"
    with pytest.raises(ProoflineError, match="PL-TGT-020"):
        plan(found)


@dataclass(frozen=True)
class Demanding:
    """A profile of a later version, as its parser will give it."""

    sku: str = "demo"
    lock: str = "none"
    identity: str = "none"


@pytest.mark.parametrize("demand", [Demanding(lock="rdp1"), Demanding(identity="x509")])
def test_a_profile_that_asks_for_more_is_refused_by_name(demand: Demanding, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SiteTrust, "profile", lambda self, sku: demand)
    with pytest.raises(PolicyNotSupported):
        plan(documents())


def test_the_image_is_checked_before_any_board_is_opened() -> None:
    assert "open_target" not in vars(plan_module)
