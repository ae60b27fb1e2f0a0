"""`python -m appliance.update.health`: says once per boot whether it is good, and why not.

- Exit 0: good. Exit 1: not good; each cause is in the journal by name, and all of them in
  `$RUNTIME_DIRECTORY/verdict.json`: `{"schema":1,"good":bool,"boot_id","slot_bytes","causes":[{code, ...}]}`.
- It changes nothing. The slot's state is written by the image's own unit (`slot-commit.service`, which Requires= and
  comes After= proofline-health.service), so only once this one has succeeded.
- It waits: a service has `PATIENCE_S` to answer, and as long again to feed its watchdog. The line has longer to load
  what only its first board needs.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from appliance import durable, station
from appliance.errors import ProoflineError
from appliance.ipc import Client
from appliance.ipc.errors import IpcError
from appliance.update import slot, units
from appliance.update.errors import HealthError
from appliance.update.verdict import UNITS, VERBS, Observed, Unit, causes, fed, unit_of

log = logging.getLogger("proofline.health")

PATIENCE_S = 180
"""As long as systemd gives a service to start."""
PREPARING_S = 300
"""For a line that answers and says that it is preparing."""
_CALL_TIMEOUT_S = 30.0
_AGAIN_S = 1.0
_LOOK_AGAIN_S = 4.0
"""Between two looks at systemd: on the smallest hardware each costs a second of work."""
_ALL_UNITS = (*(unit_of(role) for role in VERBS), *UNITS)

Show = Callable[[], Mapping[str, Unit]]


def ask_services(run: Path, patience_s: float, preparing_s: float | None = None) -> dict[str, str]:
    """The services that do not answer, and why not. A refusal is an answer; a broken connection is none.

    With `preparing_s`, a line that is still preparing is no answer either, and has as long to be through with it.
    """
    deadline = time.monotonic() + patience_s
    preparing = None if preparing_s is None else time.monotonic() + preparing_s
    silent: dict[str, str] = {}
    for role, verb in VERBS.items():
        with Client(role, run / f"{role}.sock", timeout_s=_CALL_TIMEOUT_S) as client:
            while True:
                try:
                    if client.call(verb).get("state") == "preparing" and preparing is not None:
                        if time.monotonic() < preparing:
                            time.sleep(_AGAIN_S)
                            continue
                        silent[role] = "it is still preparing"
                except IpcError as error:
                    if time.monotonic() < deadline:
                        time.sleep(_AGAIN_S)
                        continue
                    silent[role] = str(error)
                except ProoflineError as refusal:
                    log.info("%s answers: %s", role, refusal)
                break
    return silent


def wait_fed(show: Show, before: Mapping[str, Unit], roles: Iterable[str], patience_s: float) -> Mapping[str, Unit]:
    """The units as they are once each of these services has fed its watchdog, was started again, or had time enough."""
    watched = [unit_of(role) for role in roles]
    deadline = time.monotonic() + patience_s
    while True:
        after = show()
        left_s = deadline - time.monotonic()
        if left_s <= 0 or all(
            fed(before[name], after[name]) or after[name].restarts != before[name].restarts for name in watched
        ):
            return after
        time.sleep(min(_LOOK_AGAIN_S, left_s))


def observe(
    run: Path,
    show: Show,
    read_slot: Callable[[], int],
    patience_s: int = PATIENCE_S,
    preparing_s: float = PREPARING_S,
) -> tuple[Observed, int]:
    """What there is to see of this boot, and how many bytes of its slot were read. SystemSilent."""
    silent = ask_services(run, patience_s)
    before = show()
    wrong: ProoflineError | None = None
    size = 0
    try:
        size = read_slot()
    except HealthError as error:
        wrong = error
    after = wait_fed(show, before, VERBS.keys() - silent.keys(), patience_s)
    if not silent:
        silent = ask_services(run, patience_s, preparing_s)
    return Observed(silent, before, after, wrong, patience_s), size


def main() -> int:
    """Look, tell, and end with the verdict."""
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    run = Path(os.environ["PROOFLINE_RUN"])
    size = 0
    try:
        seen, size = observe(run, lambda: units.show(_ALL_UNITS), slot.read_all)
        found = causes(seen)
    except HealthError as error:
        found = (error,)
    for cause in found:
        log.error("%s", cause)
    if not found:
        log.info("this boot is good: every service answers, %d bytes of the slot were read through verity", size)
    document = {
        "schema": 1,
        "good": not found,
        "boot_id": station.describe().boot_id,
        "slot_bytes": size,
        "causes": [cause.as_record() for cause in found],
    }
    if place := os.environ.get("RUNTIME_DIRECTORY"):
        durable.write_atomic(Path(place) / "verdict.json", json.dumps(document).encode(), 0o644)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
