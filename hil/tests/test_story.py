"""The story that a newcomer runs first ends as it should: its own verdict, for whoever changes what it tells."""

from __future__ import annotations

import subprocess
import sys

from hil.local_station.place import CHECKOUT


def test_the_story_comes_out_as_it_should() -> None:
    command = [sys.executable, "-m", "hil.local_station.place", sys.executable, "-m", "hil.story", "--auto"]
    told = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=600)
    assert told.returncode == 0, told.stdout[-4000:] + told.stderr[-2000:]
    assert "everything came out as it should" in told.stdout
