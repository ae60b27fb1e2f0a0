"""The staged site as the panel sees it: verified here, from the pinned root, again for every generation."""

from __future__ import annotations

import threading
from pathlib import Path

from appliance import station
from appliance.panel.session import Site
from appliance.verify.site import Directory, SiteTrust


class StagedSite:
    """Verifies `staged/current` once per generation (each is immutable) and keeps the answer."""

    def __init__(self, site: station.Site, staged: Path) -> None:
        self._site = site
        self._current = staged / "current"
        self._lock = threading.Lock()
        self._known: tuple[Path, Site] | None = None

    def site(self) -> Site:
        """What the current generation says to the panel, or the refusal that verifying it ended in."""
        with self._lock:
            generation = self._current.resolve()
            if self._known is None or self._known[0] != generation:
                trust = SiteTrust.verify(Directory(generation), self._site.root)
                self._known = generation, _view(trust, self._site.station)
            return self._known[1]


def _view(trust: SiteTrust, name: str) -> Site:
    orders = {order: trust.order(order) for order in trust.names("orders")}
    return Site(
        station=name,
        roster=trust.roster(),
        orders=orders,
        events={sku: trust.profile(sku).events for sku in {order.sku for order in orders.values()}},
        session_ms=trust.settings(name).panel_session_s * 1000,
    )
