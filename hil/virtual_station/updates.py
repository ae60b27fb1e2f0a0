"""Images for a station under test, from a site's desk to a stick: stamped, signed, approved, exported.

A bundle that is installed has a real slot in it (the root that was built, under another version); one that is refused
before anything is written needs none, and has a few bytes in each of its images.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.card.layout import SLOT_FILES
from appliance.update.manifest import COMPATIBLE
from hil.release_desk import DemoSite
from hil.virtual_station import shared
from hil.virtual_station.errors import NotSeen
from hil.virtual_station.places import SCRATCH, STATIONS, TREE
from hil.virtual_station.signing import Signer, make_signer
from hil.virtual_station.station import VirtualStation
from hil.virtual_station.sticks import Stick, make_stick
from image.builder import bundle
from image.builder.tree import ToolsTree

BROKEN = ("module_blacklist=nf_tables",)
"""Words on the kernel's command line that make a boot bad: the kernel loads no firewall. (The image has nothing that
would heed systemd.mask=.)"""


@dataclass(frozen=True)
class Image:
    """A bundle and the document that its build wrote."""

    version: str
    bundle: Path
    document: dict[str, object]


class UpdateDesk:
    """A site's desk that releases images; everything it makes lies in one folder below the scratch folder."""

    def __init__(self, name: str) -> None:
        self.folder = STATIONS / f"{name}.desk"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.site: DemoSite = shared.open_site(self.folder / "site")
        self.signer = make_signer(self.folder / "keys", "site")
        self.stranger = make_signer(self.folder / "keys", "stranger")
        self._tools = ToolsTree(TREE, SCRATCH)
        self._carriers = 0

    def image(self, version: str, *, floor: str = "0.0.0", words: Sequence[str] = ()) -> Image:
        """The image that was built, under another version."""
        slot = bundle.stamp(self._tools, version, self.folder / version, words=words)
        made = bundle.make(self._tools, slot, str(self.signer.key), self.signer.cert, self.folder, floor=floor)
        return Image(version, made, json.loads((self.folder / f"{version}.json").read_text("utf-8")))

    def hollow(self, version: str, *, signer: Signer | None = None, compatible: str = COMPATIBLE) -> Image:
        """An image that no station ever runs: signed and promoted like any other, with nothing in it."""
        folder = self.folder / version
        folder.mkdir()
        for name in SLOT_FILES.values():
            (folder / name).write_bytes(f"{name} of {version}\n".encode() * 1000)
        slot = bundle.Slot(folder, version, "sha256:" + version.encode().hex().ljust(64, "0"))
        signer = signer or self.signer
        output = self.folder / f"{version}.raucb"
        bundle.sign(bundle.pack(self._tools, slot, compatible=compatible), str(signer.key), signer.cert, output)
        return Image(version, output, bundle.document(slot, output, floor="0.0.0"))

    def release(self, image: Image, *, ticket: str = "CHG-20", instead_of: Sequence[str] = ()) -> Stick:
        """Approve and promote an image; a stick with all of it."""
        carrier = self.carrier(image, ticket=ticket, instead_of=instead_of)
        return make_stick(carrier.with_suffix(".stick"), carrier)

    def spoilt(self, carrier: Path, name: str, spoil: Callable[[Path], None]) -> Stick:
        """A stick with this carrier, whose bundle `spoil` has had its way with."""
        copy = carrier.with_name(f"{carrier.name}-{name}")
        shutil.copytree(carrier, copy)
        (place,) = (one for one in copy.rglob("*") if one.name.endswith(".raucb"))
        spoil(place)
        return make_stick(copy.with_suffix(".stick"), copy)

    def carrier(self, image: Image, *, ticket: str = "CHG-20", instead_of: Sequence[str] = ()) -> Path:
        """Approve and promote an image; a folder with all of it, for a stick or a web server."""
        with self.site.edit() as draft:
            for version in instead_of:
                draft.revoke_image(COMPATIBLE, version)
            draft.set_image_keyring(self.signer.cert.read_bytes())
            self.site.desk.keep_bundle(draft.add_image(image.document, ticket=ticket, stations=["*"]), image.bundle)
        self.site.approve_and_promote(ticket)
        self._carriers += 1
        carrier = self.folder / f"carrier-{self._carriers}"
        self.site.desk.export(carrier)
        return carrier


def wait_status(station: VirtualStation, timeout_s: float = 400, /, **expected: str) -> dict[str, Any]:
    """Wait until the updater's status on the card says this: it is flushed when it is written, long before the journal.
    `refusal`: the code of one."""
    deadline, flushes = time.monotonic() + timeout_s, 0
    while True:
        status = _status(station)
        refusal = status.get("refusal") or {}
        found = {**status, "refusal": refusal.get("code")} if isinstance(refusal, dict) else status
        if expected.items() <= found.items():
            return status
        if not station.running or time.monotonic() > deadline:
            raise NotSeen(f"the updater's status is {status}, not {expected}; the console ends with:\n{station.tail()}")
        flushes = station.medium.wait_change(flushes, 5.0)


def _status(station: VirtualStation) -> dict[str, Any]:
    place = station.card.state_files("/shared/var/lib/proofline/update") / "update" / "status.json"
    try:
        status: dict[str, Any] = json.loads(place.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return status
