"""What a site demands before it calls evidence good. Nothing is relaxed silently: every relaxation is a field here.

- `minimum`: the assurance that must be established. `signed`: a station's key says so. `logged`: it is in the
  station's log as well, under a signed checkpoint. `witnessed`: somebody outside the station has seen that log.
  `retained`: a store that cannot be shortened holds it. The later two are established only from material given.
- `allow_development`: evidence of stations without an image may count (a bench, a demonstration).
- `accept_expired`: a site's word past its expiry may still name keys; what was revoked since is then unknown.
- `concurrent`: how many units a station works on at once, so how many reservations may be open together.
- `require_pass`: a genuine record of a refused or failed unit is a "no".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Level(IntEnum):
    """How much an outsider can rely on; each level includes those below it."""

    SIGNED = 1
    LOGGED = 2
    WITNESSED = 3
    RETAINED = 4

    @property
    def word(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Policy:
    """The defaults are the strict ones."""

    minimum: Level = Level.LOGGED
    allow_development: bool = False
    accept_expired: bool = False
    require_pass: bool = True
    concurrent: int = 1
