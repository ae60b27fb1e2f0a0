"""What the site's approved documents ask to be done to a board of one order: verified before any board is touched.

- Only the verified site speaks; a document that is not approved, or not for this station's chip, refuses the press.
- The firmware's digest is that of the release, and its content is *exactly* the allowlist: every range hashes to what
  was approved, and there is not a byte outside the ranges. Checked here, before a single byte is flashed.
- A profile that asks for an identity or a lock is refused by name: their places in the cycle are there, empty.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256

from appliance.intake.pins import pin_sets
from appliance.line.cycle import Route, route_of
from appliance.line.errors import FirmwareNotAllowed, PolicyNotSupported, PositionUnknown
from appliance.swd.settings import PinSet
from appliance.target.boards import BoardProfile, profile_for
from appliance.target.image import Image, ImageRange, parse_image
from appliance.verify.site import SiteTrust
from appliance.verify.site_documents import Profile, Release


@dataclass(frozen=True, slots=True)
class Plan:
    """One order's work on a board. `probe` is the station's selector, `<kind>:<id>`; of a gang fixture, those of all
    positions are in `gang`, and `at` gives a position's own plan. `pins`: what its `gpioswd:` probes hang on."""

    route: Route
    sku: str
    board: BoardProfile
    swclk_hz: int
    probe: str
    image: Image
    ranges: tuple[ImageRange, ...]
    gang: tuple[str, ...] = ()
    pins: tuple[PinSet, ...] = ()

    def at(self, position: int | None) -> Plan:
        """The plan for a press of this position. PositionUnknown where the station's fixture is another one by now."""
        if position is None and not self.gang:
            return self
        if position is None or position >= len(self.gang):
            raise PositionUnknown(position=position, positions=len(self.gang))
        return replace(self, probe=self.gang[position])

    def probe_record(self) -> dict[str, str]:
        """The probe as manifests name it."""
        kind, colon, name = self.probe.partition(":")
        return {"kind": kind, "id": name} if colon and name else {"kind": "probe", "id": self.probe}


def plan_for(trust: SiteTrust, station: str, order_id: str, event: str) -> Plan:
    """The plan for a press, or the refusal of whatever does not fit (`PL-SIT`, `PL-TGT`, `PL-LIN-002/003`)."""
    order = trust.order(order_id)
    profile = trust.profile(order.sku)
    for what, policy in (("lock", profile.lock), ("identity", profile.identity)):
        if policy != "none":
            raise PolicyNotSupported(sku=profile.sku, what=what, policy=policy)
    release = trust.release(order.sku, order.version)
    board = profile_for(profile.part)
    ranges = tuple(ImageRange(one.name, one.start, one.length, one.sha256) for one in release.ranges)
    settings = trust.settings(station)
    return Plan(
        route=route_of(event),
        sku=order.sku,
        board=board,
        swclk_hz=profile.swclk_hz,
        probe=settings.probe or "",
        image=_image(trust, profile, release, board, ranges),
        ranges=ranges,
        gang=settings.gang,
        pins=pin_sets(trust, station),
    )


def _image(
    trust: SiteTrust, profile: Profile, release: Release, board: BoardProfile, ranges: tuple[ImageRange, ...]
) -> Image:
    firmware = release.firmware
    data = trust.read(firmware.target)
    if len(data) != firmware.length or sha256(data).hexdigest() != firmware.sha256:
        raise FirmwareNotAllowed(sku=profile.sku, version=release.version, why="the file's digest is another one")
    image = parse_image(data, firmware.format, board, firmware.load_address)
    fault = deviation(image, ranges)
    if fault:
        raise FirmwareNotAllowed(sku=profile.sku, version=release.version, why=fault)
    return image


def deviation(image: Image, ranges: tuple[ImageRange, ...]) -> str:
    """Why the image is not exactly what the ranges (disjoint, in address order) allow; empty where it is."""
    for one in ranges:
        home = next((s for s in image.segments if s.start <= one.start and one.start + one.length <= s.end), None)
        if home is None:
            return f"it says nothing, or not everything, of range {one.name}"
        found = home.data[one.start - home.start : one.start - home.start + one.length]
        if sha256(found).hexdigest() != one.sha256:
            return f"range {one.name} has another SHA-256"
    outside = image.length - sum(one.length for one in ranges)
    return f"{outside} bytes of it lie outside the ranges" if outside else ""
