"""`python -m appliance.panel`: the panel service, with its pins, its scanner and its threads."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

from appliance import durable, station
from appliance.intake.staged import StagedSite
from appliance.ipc import Client, serve
from appliance.panel import config, scanner
from appliance.panel.gpiochip import ChipFactory
from appliance.panel.pins import Pins
from appliance.panel.press import PressBook
from appliance.panel.service import ACCESS, Panel
from appliance.panel.staged import PanelSite

_CALL_TIMEOUT_S = 5.0


def main() -> None:
    """Run until SIGTERM; ends with a failure as soon as one of its threads does."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    settings = config.load()
    here = station.Surroundings.from_environ()
    site = station.find_site(here.site)
    clients = {role: Client.for_role(role, timeout_s=_CALL_TIMEOUT_S) for role in ("recorder", "signer", "clock")}
    with durable.Journal(here.state / "presses.journal") as journal:
        book = PressBook(journal, station.describe().boot_id, station.monotonic_ms)
        source = PanelSite(StagedSite.of(here.staged, site), site)
        unsited = site if isinstance(site, station.StationError) else None
        panel = Panel(settings, book, source, unsited=unsited, **clients)
        chip = None if settings.chip is None else ChipFactory(settings.chip)
        pins = Pins(settings, panel.on_press, chip)
        panel.lamps = pins

        def work(stopping: threading.Event) -> None:
            edges = [] if chip is None else [lambda: chip.watch(stopping)]
            together(
                *edges,
                lambda: pins.run(stopping),
                lambda: panel.hands(stopping),
                lambda: panel.watch(stopping),
                lambda: panel.follow(stopping),
                lambda: scanner.read(settings.scanner, panel.on_scan, stopping),
            )

        serve("panel", panel, ACCESS, daemon=work, on_stop=pins.dark)


def together(*threads: Callable[[], None]) -> None:
    """Run all of them until the first one ends; its defect, if it had one, is raised here."""
    ended: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as defect:  # noqa: BLE001 -- handed to the thread that ends the process
            ended.put(defect)
        else:
            ended.put(None)

    for work in threads:
        threading.Thread(target=guarded, args=(work,), daemon=True).start()
    defect = ended.get()
    if defect is not None:
        raise defect


if __name__ == "__main__":
    main()
