"""What this station has accepted: the floor below which nothing is accepted again.

- The floor is a file of its own in intake's state, apart from the staging directory: losing what is staged does not
  lower it. It grows after a generation has become current, and at the next start where that was cut off.
- Root and targets, which people approve, never go back. Timestamp and snapshot, which one online key signs, may start
  again under a new root: that is how a site recovers from a stolen online key (TUF specification 5.3.11).
- One version has one content.

Beside it lies the trusted metadata of the TUF client, written from what was accepted.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance import durable
from appliance.evidence import strict_json
from appliance.evidence.errors import EvidenceError
from appliance.intake.errors import CarrierForked, CarrierOlder, FloorDamaged
from appliance.verify.site import Directory, SiteTrust, Versions
from appliance.verify.site_chain import MAX_ROOT, MAX_TARGETS
from appliance.verify.site_errors import SiteError


@dataclass(frozen=True)
class Floor:
    """The newest versions accepted, and the digest of those targets."""

    versions: Versions
    digest: str

    def check(self, trust: SiteTrust) -> None:
        """Refuse what is older than the floor, or differs at the same version."""
        now, before = trust.versions, self.versions
        roles = ["root", "targets"] if now.root > before.root else ["root", "targets", "timestamp", "snapshot"]
        for role in roles:
            found, expected = now.as_record()[role], before.as_record()[role]
            if found < expected:
                raise CarrierOlder(role=role, found=found, expected=expected)
        if now.targets == before.targets and trust.digest != self.digest:
            raise CarrierForked(role="targets", version=now.targets)


class FloorStore:
    """The floor in intake's state directory."""

    def __init__(self, state: Path) -> None:
        self._file = state / "floor.json"
        self._trusted = state / "trusted"

    def load(self) -> Floor | None:
        """The floor, None on a new station."""
        try:
            document = Directory(self._file.parent).read(self._file.name, 1 << 12)
            if document is None:
                return None
            value: Any = strict_json.decode(document)
            versions = Versions(**{role: int(version) for role, version in value["versions"].items()})
            return Floor(versions, str(value["digest"]))
        except (SiteError, EvidenceError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise FloorDamaged(path=self._file.name, why=f"{type(error).__name__} {error}"[:200]) from None

    def raise_to(self, trust: SiteTrust, generation: Path) -> None:
        """Make an accepted, current generation the floor. Durable on return."""
        source = Directory(generation)
        versions = trust.versions
        durable.make_dir(self._trusted)
        durable.make_dir(self._trusted / "root_history")
        for name, path in (
            *((f"root_history/{n}.root.json", f"metadata/{n}.root.json") for n in range(1, versions.root + 1)),
            ("targets.json", f"metadata/{versions.targets}.targets.json"),
            ("snapshot.json", f"metadata/{versions.snapshot}.snapshot.json"),
            ("timestamp.json", "metadata/timestamp.json"),
        ):
            content = source.read(path, max(MAX_TARGETS, MAX_ROOT))
            # Roots before the pinned one are not staged: nobody verified them.
            if content is not None and not _same(self._trusted / name, content):
                durable.write_atomic(self._trusted / name, content)
        record = {"schema": 1, "versions": versions.as_record(), "digest": trust.digest}
        durable.write_atomic(self._file, strict_json.encode(record))

    def copy_trusted(self, folder: Path) -> None:
        """The TUF client's trusted metadata, for it to work on."""
        if self._trusted.exists():
            shutil.copytree(self._trusted, folder, ignore=shutil.ignore_patterns(".*"))
        else:
            os.mkdir(folder, 0o700)  # noqa: PTH102 -- through `os`, as every effect on files


def _same(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except FileNotFoundError:
        return False
