"""A site's next releases, each on a carrier of its own: what a station is asked to import when intake is to be killed.

    python -m tests.station.new_releases OFFICE CARRIERS FIRST COUNT

It is a process of its own because a process can hold one SoftHSM only (`hil.local_station.office`).
"""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hil.local_station.office import SITE, SKU, STATION, VERSION
from hil.local_station.place import CHECKOUT
from hil.release_desk import DemoSite


def new_releases(office: Path, carriers: Path, first: int, count: int) -> list[Path]:
    """Approve and promote work orders, one after the other, numbered from `first`; the carriers, oldest first."""
    subprocess.run(
        [sys.executable, "-m", "tests.station.new_releases", str(office), str(carriers), str(first), str(count)],
        cwd=CHECKOUT,
        check=True,
    )
    return [carriers / str(number) for number in range(first, first + count)]


def _make(office: Path, carriers: Path, first: int, count: int) -> None:
    site = DemoSite(office, site=SITE)
    now = datetime.now(UTC)
    for number in range(first, first + count):
        with site.edit() as draft:
            draft.add_order(
                f"WX-{number}",
                sku=SKU,
                version=VERSION,
                quantity=1,
                stations=[STATION],
                ticket="CHG-1044",
                opens=now - timedelta(days=1),
                closes=now + timedelta(days=30),
            )
        site.approve_and_promote("CHG-1044")
        site.desk.export(carriers / str(number))


if __name__ == "__main__":
    _make(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
