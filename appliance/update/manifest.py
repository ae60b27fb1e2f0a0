"""What a bundle says of itself, read from the bundle: RAUC's verity format.

    payload, hash tree | CMS SignedData that holds the manifest | length of the CMS, 8 bytes, big endian

- The bytes were compared with what was promoted before anybody reads here, so this trusts them as that and no more:
  who *signed* is RAUC's to say, against the site's keyring.
- Only the way to the manifest is walked (RFC 5652 5.1): definite lengths, bounded sizes. Anything else is refused.

Pure but for `read`, which seeks in an open file.
"""

from __future__ import annotations

import configparser
import os
from dataclasses import dataclass
from typing import BinaryIO, Final

from appliance.update.update_errors import BundleMalformed

COMPATIBLE: Final = "proofline-arm64"
"""The board that this product's images are built for."""
SLOT_IMAGES: Final = ("boot", "root", "hash")
"""A bundle holds one image for each of these slots, and nothing else."""

_SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")
_DATA = bytes.fromhex("06092a864886f70d010701")
_SEQUENCE, _SET, _OCTETS, _INTEGER, _EXPLICIT = 0x30, 0x31, 0x04, 0x02, 0xA0
_MAX_CMS = 64 * 1024


@dataclass(frozen=True, slots=True)
class Manifest:
    """The fields that the updater compares; `sizes`: bytes of each slot's image."""

    compatible: str
    version: str
    sizes: dict[str, int]


def read(file: BinaryIO) -> Manifest:
    """The manifest of a bundle, or BundleMalformed."""
    end = file.seek(0, os.SEEK_END)
    if end < 8:
        raise BundleMalformed(why=f"it has {end} bytes")
    file.seek(end - 8)
    length = int.from_bytes(file.read(8), "big")
    if not 0 < length <= min(_MAX_CMS, end - 8):
        raise BundleMalformed(why=f"its signature would have {length} bytes")
    file.seek(end - 8 - length)
    return parse(enveloped(file.read(length)))


def enveloped(cms: bytes) -> bytes:
    """The content of a CMS SignedData in DER. BundleMalformed."""
    content = _value(cms, 0, _SEQUENCE)[0]
    if not content.startswith(_SIGNED_DATA):
        raise BundleMalformed(why="its end is no signature")
    signed = _value(_value(content, len(_SIGNED_DATA), _EXPLICIT)[0], 0, _SEQUENCE)[0]
    at = _value(signed, 0, _INTEGER)[1]
    at = _value(signed, at, _SET)[1]
    inner = _value(signed, at, _SEQUENCE)[0]
    if not inner.startswith(_DATA):
        raise BundleMalformed(why="its signature holds no data")
    return _value(_value(inner, len(_DATA), _EXPLICIT)[0], 0, _OCTETS)[0]


def parse(text: bytes) -> Manifest:
    """A manifest of a verity bundle with exactly the slots' images. BundleMalformed."""
    parser = configparser.ConfigParser(interpolation=None, delimiters=("=",), comment_prefixes=("#",), strict=True)
    try:
        parser.read_string(text.decode("utf-8"))
        if parser["bundle"]["format"] != "verity":
            raise BundleMalformed(why=f"it is a {parser['bundle']['format']} bundle")
        expected = {"update", "bundle", *(f"image.{kind}" for kind in SLOT_IMAGES)}
        if set(parser.sections()) != expected:
            raise BundleMalformed(why=f"its manifest has the sections {', '.join(sorted(parser.sections()))}")
        sizes = {kind: int(parser[f"image.{kind}"]["size"]) for kind in SLOT_IMAGES}
        return Manifest(parser["update"]["compatible"], parser["update"]["version"], sizes)
    except (configparser.Error, KeyError, ValueError) as error:
        raise BundleMalformed(why=f"its manifest cannot be read: {error}") from None


def _value(data: bytes, at: int, tag: int) -> tuple[bytes, int]:
    """The content of the element at a place, and where the next one begins (X.690 8.1, definite form)."""
    if at + 2 > len(data) or data[at] != tag:
        raise BundleMalformed(why=f"its signature has no element {tag:#04x} at byte {at}")
    length, start = data[at + 1], at + 2
    if length >= 0x80:
        count = length & 0x7F
        if not 1 <= count <= 4 or start + count > len(data):
            raise BundleMalformed(why="its signature has a length that nobody writes")
        length = int.from_bytes(data[start : start + count], "big")
        start += count
    if start + length > len(data):
        raise BundleMalformed(why="its signature ends before its content does")
    return data[start : start + length], start + length
