"""Base64 (RFC 4648 section 4) with exactly one spelling for every value.

- Standard alphabet only, padding required, no white space, and the unused bits of the last character are
  zero.
- `decode` gives None for anything else: each format names its own refusal.
"""

from __future__ import annotations

from base64 import b64encode
from binascii import Error, a2b_base64


def decode(text: str | bytes) -> bytes | None:
    """The bytes that `text` spells, or None where it is not their one spelling."""
    try:
        value = a2b_base64(text, strict_mode=True)
    except (Error, ValueError):
        return None
    # strict_mode lets non-zero trailing bits through: two spellings of one value.
    last = b64encode(value[-(len(value) % 3 or 3) :])
    return value if text[-4:] == (last if isinstance(text, bytes) else last.decode()) else None


def encode(value: bytes) -> str:
    """The one spelling of `value`."""
    return b64encode(value).decode()
