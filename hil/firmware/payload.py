"""The full image's payload: 496 KiB that no compressor, no skip-if-equal and no all-ones shortcut can shorten.

- Deterministic: SHA-256 in counter mode over the firmware's version, so that two versions differ in every sector.

Usage: `python3 payload.py VERSION OUTPUT` (standard library only: the build machine needs nothing else).
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

PAYLOAD_BYTES = 496 * 1024


def payload(version: str) -> bytes:
    """The `PAYLOAD_BYTES` bytes of the full image of `version`."""
    blocks = (
        hashlib.sha256(f"proofline demo payload {version} {counter}".encode()).digest()
        for counter in range(PAYLOAD_BYTES // hashlib.sha256().digest_size)
    )
    return b"".join(blocks)


if __name__ == "__main__":
    Path(sys.argv[2]).write_bytes(payload(sys.argv[1]))
