"""Where `make image` left things, and where emulated stations live."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
SCRATCH = CHECKOUT / ".build" / "image" / "scratch"
TREE = CHECKOUT / ".build" / "image" / "tools"
