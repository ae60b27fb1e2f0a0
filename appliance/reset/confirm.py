"""The last look before a state is wiped: `python3 -m appliance.reset.confirm SHARED`, before systemd runs.

- Called by image/files/usr/lib/proofline/boot/state when it finds a mark. Nothing else runs, so what holds now holds.
- 0: the mark says exactly what the state holds; the caller wipes it. 1: it does not, or cannot be read. Then the mark
  is taken away, why is kept beside it for the service to tell, and the station starts as ever.
"""

from __future__ import annotations

import sys
from pathlib import Path

from appliance import durable
from appliance.errors import ProoflineError
from appliance.evidence import strict_json
from appliance.reset.decide import Mark, still_holds
from appliance.reset.held import MARK, REFUSED, read_held


def main(shared: Path) -> int:
    """0: wipe it."""
    mark = shared / MARK
    try:
        still_holds(Mark.decode(mark.read_bytes()), read_held(shared))
    except ProoflineError as refusal:
        durable.write_atomic(shared / REFUSED, strict_json.encode(refusal.as_record()))
        mark.unlink()
        durable.fsync_dir(mark.parent)
        sys.stdout.write(f"reset refused: {refusal}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
