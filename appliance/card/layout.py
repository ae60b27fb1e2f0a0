"""How a station's card is divided: one table for those who build, write and check cards.

- The partitions follow each other without gaps, in whole MiB, from the first MiB on.
- The state partition is not in the table. The station makes it at its first boot, from where these end to the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

MIB = 1 << 20
SECTOR = 512
FIRST_MIB = 1
"""Where the first partition starts; before it are the MBR and the partition table."""
STATE = "proofline-state"
STATES = ("proofline-new", STATE, "proofline-gone")
"""What the state partition is called while it is made, once it is there, and while a factory reset wipes it."""
SLOTS = "proofline-slots"
SITE = "proofline-site"
SMALLEST_STATE_MIB = 1024
"""What a station needs for its evidence, its journal and a waiting update."""

PARTITIONS: Sequence[tuple[str, str, int]] = (
    # GPT name, type, MiB
    ("proofline-boot", "C12A7328-F81F-11D2-BA4B-00A0C93EC93B", 64),
    (SLOTS, "0FC63DAF-8483-4772-8E79-3D69D8477DE4", 1),
    ("proofline-boot-a", "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7", 96),
    ("proofline-root-a", "B921B045-1DF0-41C3-AF44-4C6F280D3FAE", 512),
    ("proofline-hash-a", "DF3300CE-D69F-4C92-978C-9BFB0F38D820", 8),
    ("proofline-boot-b", "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7", 96),
    ("proofline-root-b", "B921B045-1DF0-41C3-AF44-4C6F280D3FAE", 512),
    ("proofline-hash-b", "DF3300CE-D69F-4C92-978C-9BFB0F38D820", 8),
    (SITE, "0FC63DAF-8483-4772-8E79-3D69D8477DE4", 16),
)
SLOT_FILES = {"boot": "boot.vfat", "root": "root.erofs", "hash": "root.verity"}
"""Which shipped file stands at the start of which of a slot's partitions."""


def places() -> Iterator[tuple[str, str, int, int]]:
    """(GPT name, type, first MiB, MiB) of each partition, in order."""
    start = FIRST_MIB
    for name, kind, mib in PARTITIONS:
        yield name, kind, start, mib
        start += mib


def end_mib() -> int:
    """The first MiB behind the last partition: where the state partition will start."""
    return FIRST_MIB + sum(mib for _name, _kind, mib in PARTITIONS)
