"""A release's allowlist must be exactly what its firmware file says.

The desk computes the allowlist from the file with `appliance.target.image`; intake computes it again with the same code
and compares. So a release whose list was written by a hand, however well approved, is refused by name.
"""

from __future__ import annotations

from appliance.errors import ProoflineError
from appliance.intake.errors import ReleaseTampered
from appliance.target.boards import profile_for
from appliance.target.image import parse_image
from appliance.verify.site_catalogue import Catalogue
from appliance.verify.site_errors import SiteError


def check_firmware(site: Catalogue) -> None:
    """Refuse (ReleaseTampered) a site with a release whose ranges are not its file's."""
    for name in site.names("releases"):
        _check(site, *name.split("/"))


def _check(site: Catalogue, sku: str, version: str) -> None:
    path = f"releases/{sku}/{version}.json"
    release = site.release(sku, version)
    firmware = release.firmware
    try:
        content = site.read(firmware.target)
        image = parse_image(content, firmware.format, profile_for(site.profile(sku).part), firmware.load_address)
    except SiteError:
        raise
    except ProoflineError as error:
        raise ReleaseTampered(path=path, why=f"{error.code} {error.engineer_sentence()}") from None
    found = [(one.name, one.start, one.length, one.sha256) for one in image.ranges()]
    said = [(one.name, one.start, one.length, one.sha256) for one in release.ranges]
    for is_range, said_range in zip(found, said):
        if is_range != said_range:
            raise ReleaseTampered(path=path, why=f"{said_range[0]} is not the file's {is_range[0]}")
    if len(found) != len(said):
        raise ReleaseTampered(path=path, why=f"{len(said)} ranges are listed, the file has {len(found)}")
