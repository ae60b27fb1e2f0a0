"""Run the figures named, or all: python -m hil.bench [units small log sign verify wire limits gang]."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from hil.bench import appends, gang, limits, signing, units, verifying, wire
from hil.local_station.place import CHECKOUT

FIGURES = {
    "units": units.full_units,
    "small": units.small_units,
    "log": appends.durable,
    "sign": signing.through_the_signer,
    "verify": verifying.manifests,
    "wire": wire.figures,
    "limits": limits.figures,
    "gang": gang.four_at_once,
}


def main(wanted: list[str]) -> int:
    unknown = set(wanted) - FIGURES.keys()
    if unknown:
        print(f"no such figures: {', '.join(sorted(unknown))}; there are: {', '.join(FIGURES)}", file=sys.stderr)
        return 2
    (CHECKOUT / "out").mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=CHECKOUT / "out"))
    folder.chmod(0o755)
    try:
        for name in wanted or FIGURES:
            FIGURES[name](folder / name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
