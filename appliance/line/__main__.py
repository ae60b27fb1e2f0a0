"""`python -m appliance.line`: the line service."""

from __future__ import annotations

import logging
import threading

from appliance import durable, station
from appliance.intake.staged import StagedSite
from appliance.ipc import Client, serve
from appliance.line.journal import UnitJournal
from appliance.line.peers import Peers
from appliance.line.plan import Plan, plan_for
from appliance.line.pulse import Pulse
from appliance.line.service import ACCESS, Line
from appliance.line.unit import Shop
from appliance.line.warm import Warming, bench

_CALL_TIMEOUT_S = 15.0
_LETTING_GO_S = 3.0


def main() -> None:
    """Run until SIGTERM; ends with a failure at the first defect."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    logging.getLogger("pyocd").setLevel(logging.WARNING)  # it tells the whole ROM table for every board
    here = station.Surroundings.from_environ()
    site = station.find_site(here.site)
    staged = StagedSite.of(here.staged, site)
    stop, ended = threading.Event(), threading.Event()
    signer, recorder, panel = (
        Client.for_role(role, timeout_s=_CALL_TIMEOUT_S) for role in ("signer", "recorder", "panel")
    )
    pulse = Pulse(panel)

    def planner(order: str, event: str) -> Plan:
        if isinstance(site, station.StationError):
            raise site.with_traceback(None)
        return plan_for(staged.current(), site.station, order, event)

    with durable.Journal(here.state / "units.journal") as journal:
        peers = Peers(signer, recorder, panel, stop)
        warming = Warming()
        line = Line(Shop(peers, UnitJournal(journal), pulse, bench, planner), prepared=warming.done)
        beat = threading.Thread(target=pulse.run, args=(stop,), daemon=True)
        beat.start()

        def work(_stopping: threading.Event) -> None:
            # stop, once set by anything but SIGTERM, ends this thread and with it the process
            threading.Thread(target=warming.run, args=(line.up, stop), daemon=True).start()
            try:
                line.run(stop)
            finally:
                ended.set()

        def let_go() -> None:
            """The board is let go in order if that is quick; what is unfinished is in the journal either way."""
            stop.set()
            ended.wait(_LETTING_GO_S)

        serve("line", line, ACCESS, daemon=work, healthy=lambda: pulse.alive() and beat.is_alive(), on_stop=let_go)


if __name__ == "__main__":
    main()
