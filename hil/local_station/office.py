"""The site's office: people with tokens, a release desk, one product, its orders, operators and station.

    open_office(folder, Wish(orders=(WorkOrder("WO-1", 10),), ...))

The office opens in a process of its own: a process can hold one SoftHSM only, and a test run has many sites.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from appliance.evidence import base64_strict, strict_json
from appliance.release.draft import NewStationKey
from hil.local_station.place import CHECKOUT
from hil.release_desk import DemoSite

STATION = "bench-01"
SITE = "demo"
ORIGIN = "proofline.demo/bench-01"
SKU = "FW-GATE"
VERSION = "1.0.0"
OPERATOR_BADGE = "BADGE-7F21-OLA"
LEAD_BADGE = "BADGE-0C55-MIR"
SETTINGS = {"max_width_ms": 2000, "max_unexported_entries": 100_000, "session_s": 28_800}


@dataclass(frozen=True)
class WorkOrder:
    """A work order for the one product."""

    order: str
    quantity: int


@dataclass(frozen=True)
class Wish:
    """What the site shall hold. firmware: a path; settings: over SETTINGS; keys: as provisioning printed them; probes:
    one, or those of a gang; pins: what `gpioswd:` probes hang on; scan: whether a label has to be scanned."""

    orders: tuple[WorkOrder, ...]
    firmware: str
    settings: Mapping[str, int] = field(default_factory=dict)
    keys: tuple[Mapping[str, str], ...] = ()
    probes: tuple[str, ...] = ("vnucleo:fixture-1",)
    pins: tuple[Mapping[str, object], ...] = ()
    scan: str = "optional"


def open_office(folder: Path, wish: Wish) -> None:
    """Make the site in `folder`, approved and promoted. RuntimeError with what was said where that fails."""
    made = subprocess.run(
        [sys.executable, "-m", "hil.local_station.office", os.fspath(folder)],
        input=json.dumps(asdict(wish)),
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise RuntimeError(made.stderr[-2000:])


def _fill(site: DemoSite, wish: Wish) -> None:
    now = datetime.now(UTC)
    since, until = now - timedelta(days=1), now + timedelta(days=365)
    firmware = Path(wish.firmware)
    with site.edit() as draft:
        draft.set_profile(SKU, part="stm32f412xg", swclk_hz=4_000_000, prefix="FW", scan=wish.scan)
        draft.add_firmware(
            SKU,
            VERSION,
            firmware.read_bytes(),
            name=firmware.name,
            format=firmware.suffix[1:],
            built_at=now - timedelta(hours=1),
            build_id=f"demo-{VERSION}",
            ticket="CHG-1042",
        )
        for order in wish.orders:
            draft.add_order(
                order.order,
                sku=SKU,
                version=VERSION,
                quantity=order.quantity,
                stations=[STATION],
                ticket="CHG-1043",
                opens=since,
                closes=now + timedelta(days=30),
            )
        everything = ["operator", "lead", "rework"]
        draft.set_operator("ola", name="Ola", badge=OPERATOR_BADGE, roles=["operator"], since=since, until=until)
        draft.set_operator("mir", name="Mir", badge=LEAD_BADGE, roles=everything, since=since, until=until)
        keys = [
            NewStationKey(
                purpose=key["purpose"],
                algorithm=key["algorithm"],
                public=base64_strict.decode(key["public"]) or b"",
                since=since,
                until=until,
            )
            for key in wish.keys
        ]
        draft.set_station(STATION, site=SITE, origin=ORIGIN, products=[SKU], keys=keys)
        if wish.pins:
            draft.set_pins(STATION, strict_json.encode({"schema": 1, "pin_sets": list(wish.pins)}))
        limits = {**SETTINGS, **wish.settings}
        draft.set_settings(
            STATION,
            max_width_ms=limits["max_width_ms"],
            max_unexported_entries=limits["max_unexported_entries"],
            session_s=limits["session_s"],
            probe=wish.probes[0] if len(wish.probes) == 1 else None,
            gang=wish.probes[1:] and wish.probes,
        )
    site.approve_and_promote("CHG-1042")


if __name__ == "__main__":
    told = json.load(sys.stdin)
    told["orders"] = tuple(WorkOrder(**order) for order in told["orders"])
    _fill(DemoSite(Path(sys.argv[1]), site=SITE), Wish(**told))
