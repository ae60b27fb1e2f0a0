"""`make image-boot`: plug the station in and show its console until it says whether it is ready."""

import sys
import time

from hil.virtual_station.errors import NotSeen
from hil.virtual_station.station import VirtualStation


def main() -> int:
    with VirtualStation("boot") as station:
        station.power_on()
        shown = 0
        deadline = time.monotonic() + 900
        while station.running and time.monotonic() < deadline:
            text = station.console()
            sys.stdout.write(text[shown:])
            sys.stdout.flush()
            shown = len(text)
            try:
                marker = station.wait_console(r"proofline: (station ready|not ready: .*)$", timeout_s=1)
            except NotSeen:
                continue
            sys.stdout.write(
                f"{station.console()[shown:]}\nafter {time.monotonic() - station.powered_at:.0f} s: {marker[0]}\n"
            )
            return 0
        sys.stdout.write(station.tail() + "\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
