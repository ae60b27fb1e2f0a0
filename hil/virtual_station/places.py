"""Where `make image` left things, and where emulated stations live. PROOFLINE_IMAGE_WORK moves both, as it moves the
build.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
WORK = Path(os.environ.get("PROOFLINE_IMAGE_WORK", CHECKOUT / ".build" / "image")).resolve()
SCRATCH = WORK / "scratch"
TREE = WORK / "tools"
STATIONS = SCRATCH / "stations"


def inside(path: Path) -> str:
    """How the tools tree's programs call a path below the scratch folder."""
    return f"/scratch/{path.relative_to(SCRATCH)}"


@contextmanager
def short(door: Path) -> Iterator[str]:
    """A path to a socket that fits into its address (108 bytes), however deep the checkout lies."""
    folder = os.open(door.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{door.name}"
    finally:
        os.close(folder)
