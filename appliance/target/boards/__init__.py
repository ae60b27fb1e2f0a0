"""What a station knows about the silicon it programs: one profile for each part, one file for each family.

- A profile is data: addresses, sizes, what the ids must read, which unique ids are implausible. It decides nothing.
- Pure: no pyOCD, no I/O.
"""

from __future__ import annotations

from appliance.target.boards.profile import BoardProfile, Sector, StubProfile
from appliance.target.boards.stm32f4 import STM32F412XG
from appliance.target.errors import UnknownPart

__all__ = ["BoardProfile", "Sector", "StubProfile", "known_parts", "profile_for"]

_PROFILES = {profile.part: profile for profile in (STM32F412XG,)}


def known_parts() -> tuple[str, ...]:
    """The part names that `profile_for` answers to, sorted."""
    return tuple(sorted(_PROFILES))


def profile_for(part: str) -> BoardProfile:
    """The profile of `part` (as in `products/<sku>.json`). Raises `UnknownPart`."""
    profile = _PROFILES.get(part)
    if profile is None:
        raise UnknownPart(part=part)
    return profile
