"""The bytes of a detached target, piece by piece, believed only when the last one has come.

    for piece in pieces(target, read):      # LengthWrong or DigestWrong, at the latest after the last piece
        out.write(piece)

- At most the approved length is read, whatever the source says it has; memory holds one piece.
- What was written before a refusal is not what was approved: the caller throws it away.

Pure: `read` gives the next bytes of the source, at most as many as it is asked for, and none at its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Final

from appliance.verify.site_catalogue import Target
from appliance.verify.site_errors import DigestWrong, LengthWrong

PIECE: Final = 1 << 20


def pieces(target: Target, read: Callable[[int], bytes]) -> Iterator[bytes]:
    """The target's bytes; refused as a whole where they are not what was approved."""
    digest, found = sha256(), 0
    while piece := read(min(PIECE, target.length - found + 1)):
        found += len(piece)
        if found > target.length:
            break
        digest.update(piece)
        yield piece
    if found != target.length:
        raise LengthWrong(path=target.file, found=found, expected=target.length)
    if digest.hexdigest() != target.sha256:
        raise DigestWrong(path=target.file)
