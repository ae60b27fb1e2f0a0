"""The staged site as the panel sees it: what `SiteTrust` verified, cut down to people, orders and events."""

from __future__ import annotations

from appliance import station
from appliance.intake.staged import StagedSite
from appliance.panel.session import Site
from appliance.station import StationError
from appliance.verify.site import SiteTrust


class PanelSite:
    """The current generation for the panel; made once per generation."""

    def __init__(self, staged: StagedSite, here: station.Site | StationError) -> None:
        self._staged = staged
        self._here = here
        self._known: tuple[SiteTrust, Site] | None = None

    def site(self) -> Site:
        """What the current generation says, or the refusal that verifying it ended in."""
        if isinstance(self._here, StationError):
            raise self._here.with_traceback(None)
        trust = self._staged.current()
        known = self._known
        if known is None or known[0] is not trust:
            known = self._known = trust, _view(trust, self._here.station)
        return known[1]


def _view(trust: SiteTrust, station: str) -> Site:
    settings = trust.settings(station)
    orders = {order: trust.order(order) for order in trust.names("orders")}
    return Site(
        station=station,
        roster=trust.roster(),
        orders=orders,
        events={sku: trust.profile(sku).events for sku in {order.sku for order in orders.values()}},
        session_ms=settings.panel_session_s * 1000,
        positions=len(settings.gang) or None,
    )
