"""C2SP tlog-checkpoint: the signed statement "this log has so many entries and this root".

- Three lines and no more than eight extension lines: origin, size in plain decimal, root in strict base64.
- The reader names the origin it expects; a checkpoint of another log is refused whoever signed it.
- `parse` believes nobody: `note.verify` does, with the keys of the checkpoint role.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from appliance.evidence import base64_strict, note
from appliance.evidence.errors import (
    CheckpointExtensionMalformed,
    CheckpointMalformed,
    CheckpointOriginWrong,
    CheckpointRootMalformed,
    CheckpointSizeMalformed,
)
from appliance.evidence.merkle import HASH_BYTES, MAX_SIZE

MAX_EXTENSIONS = 8
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log's operator signs: `root` (32 bytes) is the RFC 6962 root of the first `size` entries."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()


def decimal(text: str) -> int | None:
    """A number below 2^63 in its one decimal spelling, or None."""
    if not _DECIMAL.fullmatch(text) or int(text) > MAX_SIZE:
        return None
    return int(text)


def hash_of(text: str) -> bytes | None:
    """32 bytes in their one base64 spelling, or None."""
    value = base64_strict.decode(text)
    return value if value is not None and len(value) == HASH_BYTES else None


def encode_body(checkpoint: Checkpoint) -> str:
    """The text to sign; refuses what `parse_body` would."""
    lines = [
        checkpoint.origin,
        str(checkpoint.size),
        base64_strict.encode(checkpoint.root),
        *checkpoint.extensions,
    ]
    body = "".join(f"{line}\n" for line in lines)
    if parse_body(body, checkpoint.origin) != checkpoint:
        raise CheckpointMalformed(why="a line holds a newline")
    return body


def parse_body(body: str, origin: str) -> Checkpoint:
    """The checkpoint of the log `origin` in a note's text, or a `PL-EVD-050` to `-054` refusal."""
    if not body.endswith("\n"):
        raise CheckpointMalformed(why="the last line has no end")
    lines = body[:-1].split("\n")
    if len(lines) < 3:
        raise CheckpointMalformed(why="it has fewer than three lines: origin, size, root")
    if not lines[0]:
        raise CheckpointMalformed(why="its origin is empty")
    if lines[0] != origin:
        raise CheckpointOriginWrong(found=repr(lines[0][:120]), expected=origin)
    size = decimal(lines[1])
    if size is None:
        raise CheckpointSizeMalformed(found=repr(lines[1][:40]))
    root = hash_of(lines[2])
    if root is None:
        raise CheckpointRootMalformed(found=repr(lines[2][:80]))
    extensions = tuple(lines[3:])
    if "" in extensions:
        raise CheckpointExtensionMalformed(why="one is empty")
    if len(extensions) > MAX_EXTENSIONS:
        raise CheckpointExtensionMalformed(why=f"there are more than {MAX_EXTENSIONS}")
    return Checkpoint(lines[0], size, root, extensions)


def parse(document: bytes, origin: str) -> tuple[Checkpoint, note.Note]:
    """The checkpoint of the log `origin` and the note around it, whose signatures nobody has checked yet."""
    signed = note.parse(document)
    return parse_body(signed.text, origin), signed
