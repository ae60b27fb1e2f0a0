"""An image as the pages that the loader programs: whole words, 0xFF where the image says nothing.

- In address order, no word in two pages, no page longer than a slot of the ring takes.
"""

from __future__ import annotations

from collections.abc import Iterator

from appliance.target.boards.profile import BoardProfile
from appliance.target.image import Image
from appliance.target.loader_protocol import Page, Ring

_ERASED = b"\xff"
_WORD = 4


def pages_of(image: Image, profile: BoardProfile) -> tuple[Page, ...]:
    """All pages of `image` for the ring in `profile`."""
    loader = profile.loader
    length = Ring(loader.ring, loader.slots, loader.slot_length).page_length
    return tuple(
        Page(start + offset, bytes(data[offset : offset + length]))
        for start, data in _runs(image)
        for offset in range(0, len(data), length)
    )


def _runs(image: Image) -> Iterator[tuple[int, bytearray]]:
    """Consecutive whole words; segments that share a word are one run."""
    run: tuple[int, bytearray] | None = None
    for segment in image.segments:
        first = segment.start - segment.start % _WORD
        if run is None or run[0] + len(run[1]) <= first:
            if run is not None:
                yield run
            run = first, bytearray()
        start, data = run
        data[segment.start - start :] = _ERASED * (segment.start - start - len(data)) + segment.data
        data += _ERASED * (-len(data) % _WORD)
    if run is not None:
        yield run
