"""The resetter: `python3 -m appliance.reset`, as root, when a repository was staged that holds a reset order.

- It believes nobody: the repository is verified from /site, the records are read from the recorder's files, time is the
  clock's. `appliance.reset.decide` says yes or no.
- Yes: it leaves a durable mark, says so on the console and in the journal, and restarts the machine. What is wiped is
  wiped before systemd, when nothing can add to the records any more (`confirm`, image/files/.../boot/state).
- No: it says why, by name, and nothing changes. A reason that time can mend is looked at again (exit code 1).
- A refusal here is no record in the refusal journal: one more refusal there, and the order that was refused only for
  the time of day could never be obeyed.
- Power may go at any moment: before the mark is durable nothing has happened; afterwards the next start does it.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

from appliance import durable
from appliance.errors import ProoflineError
from appliance.intake.service import clock_interval
from appliance.intake.staged import StagedSite
from appliance.ipc import Client
from appliance.reset.decide import decide
from appliance.reset.errors import NotYetValid, SiteExpired, TimeUnknown
from appliance.reset.held import MARK, REFUSED, read_held
from appliance.station import Surroundings, load_site
from appliance.verify.site import SiteTrust

log = logging.getLogger("proofline.reset")
_PASSES = (TimeUnknown, NotYetValid, SiteExpired)


def answer(trust: SiteTrust, station: str, shared: Path, clock: Client) -> str | None:
    """Leave the mark for an order in `trust`; the order's number, or None where there is none. Refuses by name."""
    if station not in trust.names("resets"):
        return None
    mark = decide(trust, station, read_held(shared), clock_interval(clock))
    durable.write_atomic(shared / MARK, mark.encode())
    return mark.order


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    shared = Path(os.environ.get("PROOFLINE_SHARED", "/state/shared"))
    before = shared / REFUSED
    if before.exists():
        log.warning("refused before systemd started: %s", before.read_text("utf-8"))
        before.unlink()
    try:
        surroundings = Surroundings.from_environ()
        site = load_site(surroundings.site)
        trust = StagedSite.of(surroundings.staged, site).current()
        order = answer(trust, site.station, shared, Client.for_role("clock", timeout_s=10.0))
    except ProoflineError as refusal:
        log.warning("%s", refusal)
        _console(f"reset refused: {refusal.code}: {refusal.engineer_sentence()}")
        return 1 if isinstance(refusal, _PASSES) else 0
    if order is not None:
        log.warning("reset %s is proven: the station restarts and forgets everything", order)
        _console(f"reset {order} is proven: the station restarts and forgets everything")
        subprocess.run(["/usr/bin/systemctl", "reboot"], check=True)
    return 0


def _console(text: str) -> None:
    try:
        Path("/dev/console").write_text(f"proofline: {text}\n", "utf-8")
    except OSError as error:
        log.warning("no console to say it on: %s", error)


if __name__ == "__main__":
    sys.exit(main())
