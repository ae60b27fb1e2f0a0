"""Make the checkout reachable for the services' own users, then run a command in it.

    python -m hil.local_station.place COMMAND [ARGUMENT...]

- Services run under uids of their own. Where the checkout lies below a directory that others may not enter (a home of
  mode 0700, say), it is bind-mounted at a place they may enter, in a mount namespace that only this command sees.
- Where it is reachable, or nobody is root (then there is one uid anyway), the command simply runs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
PROGRAMS = os.pathsep.join((os.fspath(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
"""PATH for whatever a bench starts: set-up puts chronyd and chronyc beside the interpreter."""


def reachable(path: Path) -> bool:
    """Whether any user may enter a directory and all directories above it."""
    return all(directory.stat().st_mode & 0o001 for directory in (path, *path.parents))


def main(arguments: list[str]) -> int:
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 2
    if os.geteuid() != 0 or reachable(CHECKOUT):
        return subprocess.call(arguments, cwd=CHECKOUT)
    place = Path(tempfile.mkdtemp(prefix="proofline-"))
    place.chmod(0o755)
    try:
        mount = 'mount --bind "$1" "$2"; cd "$2"; shift 2; exec "$@"'
        namespace = ["unshare", "--mount", "--propagation", "private"]
        shell = ["sh", "-euc", mount, "sh", os.fspath(CHECKOUT), os.fspath(place)]
        return subprocess.call([*namespace, *shell, *arguments])
    finally:
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
