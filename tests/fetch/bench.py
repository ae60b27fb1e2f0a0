"""A folder that is served, the fetcher's folder, and intake beside it: what a test of both needs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from appliance.fetch.http import Server
from appliance.fetch.service import Fetch
from appliance.intake.fetched import Fetched
from appliance.station import CarrierAddress, Site
from tests.fetch.server import honest
from tests.intake.test_bundle import PINNED, Station, files_of
from tests.release.forge import write
from tests.release.images import verity_of, with_images

SITE = Site("bench-01", "demo", PINNED, "")


class Bench:
    """The two programs, run one look at a time."""

    def __init__(self, folder: Path) -> None:
        self.served, self.folder = folder / "served", folder / "fetch"
        self.served.mkdir()
        self.folder.mkdir()
        self.station = Station(folder / "station")
        self.asked: list[tuple[str, str | None]] = []
        self.restart()

    def restart(self) -> None:
        """Intake starts again on what it left."""
        self.station.start()
        self.fetched = Fetched(self.folder, self.station.folder / "state")

    def serve(self, version: int, documents: dict[str, Any] | None = None) -> None:
        self.put(files_of(version, documents or with_images()))

    def put(self, files: dict[str, bytes]) -> None:
        """These files and no others are served."""
        shutil.rmtree(self.served)
        write(files, self.served)

    def fetch(self, address: CarrierAddress | None = None, version: str = "0.1.0") -> bool:
        if address is not None:
            return self._run(address, version)
        with honest(self.served) as (here, asked):
            try:
                return self._run(here, version)
            finally:
                self.asked = asked

    def _run(self, where: CarrierAddress, version: str) -> bool:
        one = Fetch(
            self.folder,
            Server(where, patience_s=5),
            SITE,
            compatible="proofline-arm64",
            verity=verity_of(version),
            bundles=self.station.folder / "bundle",
        )
        return one.run()

    def look(self, times: int = 1) -> None:
        for _ in range(times):
            self.fetched.look(self.station.intake)

    def last(self) -> tuple[str, str] | None:
        """Where the last carrier came from, and what came of it."""
        last = self.station.intake.describe(None)["last_carrier"]  # type: ignore[arg-type]  # the caller does not matter
        return (last["from"], last["result"]) if last else None

    def carrier(self) -> dict[str, bytes]:
        top = self.folder / "carrier"
        return {str(place.relative_to(top)): place.read_bytes() for place in top.rglob("*") if place.is_file()}
