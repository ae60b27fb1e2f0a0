"""The recorder as a process: `python -m appliance.recorder`."""

from __future__ import annotations

import logging
import sys

from appliance.ipc import serve
from appliance.recorder.service import ACCESS, open_recorder
from appliance.station import Surroundings


def main() -> None:
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="recorder: %(message)s")
    recorder = open_recorder(Surroundings.from_environ())
    serve("recorder", recorder, ACCESS, daemon=recorder.keep)


if __name__ == "__main__":
    main()
