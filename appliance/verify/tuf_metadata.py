"""python-tuf's metadata, imported without what could reach a token.

- securesystemslib imports each kind of signer that it knows together with its keys; where python-pkcs11 is installed it
  takes that along, and with it the code that loads a token's library into a process. Who only verifies shall not have
  it, and a station's services shall not wait for it at their start.
- Only while tuf is imported here is python-pkcs11 not to be found; who signs imports it by itself, before or after.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def _without(name: str) -> Iterator[None]:
    """Imports of a module fail as if it were not installed, unless it was imported before."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]  # the import system's own sign for "not there"
    try:
        yield
    finally:
        del sys.modules[name]


with _without("pkcs11"):
    from tuf.api.exceptions import RepositoryError
    from tuf.api.metadata import Key, Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp
    from tuf.api.serialization import DeserializationError, SerializationError

__all__ = [
    "DeserializationError",
    "Key",
    "MetaFile",
    "Metadata",
    "RepositoryError",
    "Root",
    "SerializationError",
    "Snapshot",
    "TargetFile",
    "Targets",
    "Timestamp",
]
