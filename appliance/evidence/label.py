"""Digests and names that several rooms compute alike (docs/contracts.md, section 4).

- A device is named by its part and its silicon's unique id; a label derived from them cannot be swapped
  unnoticed.
- `image_digest` is one number for what was measured: the ranges' digests, in address order, hashed.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from appliance.evidence import strict_json

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def canonical_digest(value: strict_json.Json) -> str:
    """`sha256:` and the hex digest of the canonical JSON of `value`."""
    return f"sha256:{sha256(strict_json.encode(value)).hexdigest()}"


def device_digest(part: str, uid: str) -> str:
    """64 hex digits: SHA-256 of canonical {"part", "uid"}."""
    return sha256(strict_json.encode({"part": part, "uid": uid})).hexdigest()


def derived_label(prefix: str, part: str, uid: str) -> str:
    """`<prefix>-` and ten characters of Crockford's base32: the first 50 bits of the device digest."""
    bits = int(device_digest(part, uid), 16) >> (256 - 50)
    return prefix + "-" + "".join(_CROCKFORD[bits >> shift & 31] for shift in range(45, -1, -5))


def image_digest(ranges: Iterable[tuple[int, str]]) -> str:
    """64 hex digits over (start address, range's SHA-256 in hex) pairs: SHA-256 of the raw digests by
    address.
    """
    return sha256(b"".join(bytes.fromhex(digest) for _, digest in sorted(ranges))).hexdigest()
