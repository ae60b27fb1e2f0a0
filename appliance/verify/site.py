"""The site's word, verified: what a repository, a carrier or a staged generation may tell anybody.

    trust = SiteTrust.verify(Directory(staged / "current"), pinned_root)
    release = trust.release("demo", "1.0.0")          # verified, parsed, frozen
    trust.expiry(interval).status                     # "valid", "expired", "unsure" or "unknown": policy decides

- Verification starts at the pinned root and nowhere else (`site_chain`). It opens no network and asks no clock.
- A target's length and SHA-256 are checked each time its bytes are read; every document is parsed strictly, once.
- `expiry` never decides. It says what is certain for the interval given, `unknown` when there is none.
- A detached target (an image's bundle) is listed like any other and never read here; whether its file is there at all
  is for whoever needs it (`detached.pieces`).
- A target whose kind is not known here refuses the whole repository: nothing is approved that nobody can read.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Final

from appliance.verify.image_errors import FileDetached
from appliance.verify.site_approvals import Approval
from appliance.verify.site_catalogue import Catalogue, Target
from appliance.verify.site_chain import Chain, Source, Versions, verify_chain
from appliance.verify.site_errors import (
    DigestWrong,
    FileMissing,
    FileTooLarge,
    FileUnreadable,
    LengthWrong,
    TargetEntryRefused,
    TargetPathRefused,
    TargetsTooMany,
    TargetUnknown,
)
from appliance.verify.site_fields import MAX_DOCUMENT, SKU
from appliance.verify.site_images import KEYRING, MAX_BUNDLE, MAX_KEYRING
from appliance.verify.site_times import Interval
from appliance.verify.tuf_metadata import TargetFile

__all__ = ["Directory", "Expiry", "Interval", "SiteTrust", "Target", "Versions"]

MAX_TARGETS: Final = 8_192
MAX_FIRMWARE: Final = 1 << 26
_NAME: Final = SKU.pattern
_KINDS: Final = (
    (re.compile(rf"products/{_NAME}\.json|orders/{_NAME}\.json|settings/{_NAME}\.json", re.ASCII), MAX_DOCUMENT),
    (re.compile(rf"releases/{_NAME}/{_NAME}\.json|pins/{_NAME}\.json", re.ASCII), MAX_DOCUMENT),
    (re.compile(r"roster\.json|stations\.json", re.ASCII), MAX_DOCUMENT),
    (re.compile(rf"resets/{_NAME}\.json|images/{_NAME}/{_NAME}\.json", re.ASCII), MAX_DOCUMENT),
    (re.compile(rf"images/{_NAME}/{_NAME}\.raucb", re.ASCII), MAX_BUNDLE),
    (re.compile(re.escape(KEYRING), re.ASCII), MAX_KEYRING),
    (re.compile(rf"firmware/{_NAME}/{_NAME}/{_NAME}", re.ASCII), MAX_FIRMWARE),
)
_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Expiry:
    """`status` says what is certain; `roles` names those that are not surely valid; `until` is the first end."""

    status: str
    roles: tuple[str, ...]
    until: datetime


class Directory:
    """A `Source` over a directory: regular files only, no link is followed below it, sizes are bounded."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def read(self, path: str, limit: int) -> bytes | None:
        folder = self.path
        try:
            for part in path.split("/")[:-1]:
                folder = folder / part
                if not stat.S_ISDIR(os.lstat(folder).st_mode):
                    raise FileUnreadable(path=path, why=f"{part} is not a directory")
            # O_NONBLOCK: a FIFO must not hold the reader.
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(self.path / path, flags)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise FileUnreadable(path=path, why=errno.errorcode.get(error.errno or 0, "error")) from None
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise FileUnreadable(path=path, why="it is a special file")
            if status.st_size > limit:
                raise FileTooLarge(path=path, limit=limit)
            with open(descriptor, "rb", closefd=False) as file:
                content = file.read(limit + 1)
        except OSError as error:
            raise FileUnreadable(path=path, why=errno.errorcode.get(error.errno or 0, "error")) from None
        finally:
            os.close(descriptor)
        if len(content) > limit:
            raise FileTooLarge(path=path, limit=limit)
        return content


class SiteTrust(Catalogue):
    """A verified repository. Make one with `verify`; it is immutable and safe to share between threads."""

    def __init__(self, source: Source, chain: Chain) -> None:
        super().__init__(_targets(chain))
        self._source = source
        self.anchor: Final = chain.anchor
        """`sha256:` of the pinned root's bytes."""
        self.versions: Final = chain.versions
        self.approvals: Final[tuple[Approval, ...]] = chain.approvals
        self.digest: Final = chain.digest
        """`sha256:` of the canonical signed part of the targets metadata: what was approved."""
        self.expires: Final[Mapping[str, datetime]] = chain.expires

    @classmethod
    def verify(cls, source: Source, pinned_root: bytes) -> SiteTrust:
        """Verify the chain from `pinned_root`, or refuse (`PL-SIT-001` to `-039`)."""
        return cls(source, verify_chain(source, pinned_root))

    def expiry(self, at: Interval | None) -> Expiry:
        """What is certain about expiry at `at`: all parts valid, one expired, neither (`unsure`), or `unknown`."""
        until = min(self.expires.values())
        if at is None:
            return Expiry("unknown", tuple(self.expires), until)
        over = tuple(role for role, end in self.expires.items() if at.earliest >= end)
        doubtful = tuple(role for role, end in self.expires.items() if at.latest >= end)
        status = "expired" if over else "unsure" if doubtful else "valid"
        return Expiry(status, over or doubtful, until)

    def read(self, path: str) -> bytes:
        """The bytes of an approved target, checked against what was approved at this moment. Detached ones are refused
        (FileDetached): `attached` are the others."""
        target = self.targets.get(path)
        if target is None:
            raise TargetUnknown(path=path)
        if target.detached:
            raise FileDetached(path=path)
        content = self._source.read(target.file, target.length)
        if content is None:
            raise FileMissing(path=target.file)
        if len(content) != target.length:
            raise LengthWrong(path=target.file, found=len(content), expected=target.length)
        if sha256(content).hexdigest() != target.sha256:
            raise DigestWrong(path=target.file)
        return content


def _targets(chain: Chain) -> dict[str, Target]:
    path = f"metadata/{chain.versions.targets}.targets.json"
    entries = chain.targets.targets
    if len(entries) > MAX_TARGETS:
        raise TargetsTooMany(path=path, found=len(entries), limit=MAX_TARGETS)
    return {name: _target(name, entry, path) for name, entry in sorted(entries.items())}


def _target(name: str, entry: TargetFile, path: str) -> Target:
    limit = next((limit for pattern, limit in _KINDS if pattern.fullmatch(name)), None)
    if limit is None:
        raise TargetPathRefused(path=repr(name)[:200])
    digest = entry.hashes.get("sha256")
    if set(entry.hashes) != {"sha256"} or type(digest) is not str or not _HEX.fullmatch(digest):
        raise TargetEntryRefused(path=path, why=f"{name} must have exactly a SHA-256")
    if type(entry.length) is not int or not 0 < entry.length <= limit:
        raise TargetEntryRefused(path=path, why=f"{name} must have 1 to {limit} bytes")
    if entry.unrecognized_fields:
        raise TargetEntryRefused(path=path, why=f"{name} has fields that nothing reads")
    return Target(name, entry.length, digest)
