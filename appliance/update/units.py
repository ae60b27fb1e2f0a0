"""How systemd sees units: `systemctl show`, read strictly."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from appliance.update.errors import SystemSilent
from appliance.update.verdict import Unit

_PROPERTIES = ("Id", "ActiveState", "Result", "NRestarts", "WatchdogTimestampMonotonic")
_TIMEOUT_S = 60.0


def show(names: Sequence[str]) -> dict[str, Unit]:
    """The state of each named unit, or SystemSilent."""
    command = ["systemctl", "show", f"--property={','.join(_PROPERTIES)}", "--", *names]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SystemSilent(why=str(error)) from None
    if done.returncode != 0:
        raise SystemSilent(why=done.stderr[:200].decode("ascii", "replace").strip() or f"it ended {done.returncode}")
    found = parse(done.stdout.decode("utf-8", "replace"))
    if missing := set(names) - found.keys():
        raise SystemSilent(why=f"it says nothing of {min(missing)}")
    return found


def parse(text: str) -> dict[str, Unit]:
    """The units in `systemctl show`'s output, by their names; SystemSilent where a property is missing or no number.
    A unit that is no service has neither restarts nor a watchdog."""
    units: dict[str, Unit] = {}
    for block in text.strip().split("\n\n"):
        fields = dict(line.partition("=")[::2] for line in block.splitlines())
        try:
            units[fields["Id"]] = Unit(
                active=fields["ActiveState"],
                result=fields.get("Result", ""),
                restarts=int(fields.get("NRestarts", "0")),
                fed_us=int(fields.get("WatchdogTimestampMonotonic", "0")),
            )
        except (KeyError, ValueError) as error:
            raise SystemSilent(why=f"its answer is not understood: {error}") from None
    return units
