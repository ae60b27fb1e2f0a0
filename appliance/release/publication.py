"""From an approved proposal to the files of a repository, and their seal: snapshot and timestamp.

- Files that do not change are shared with the generation before (as paths), never rewritten.
- Detached targets are listed in the metadata and are no files of a generation.
- Only what the newest metadata speaks of is in a generation: a carrier holds nothing that nobody checks.
- The seal is made with the desk's online key, which the root must name for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from securesystemslib.signer import Signature, SSlibKey
from tuf.api.metadata import Metadata, MetaFile, Snapshot, T, Timestamp

from appliance.intake.firmware import check_firmware
from appliance.intake.pins import check_pins
from appliance.release.contribution import Contribution, Key, digest_of
from appliance.release.draft import Draft
from appliance.release.errors import OnlineKeyWrong
from appliance.release.proposal import Proposal
from appliance.verify.site import Directory, SiteTrust
from appliance.verify.site_catalogue import check_references
from appliance.verify.site_chain import Versions
from appliance.verify.site_keys import KeyRing

Files = dict[str, bytes | Path]


def carried(before: SiteTrust | None, here: Path) -> Files:
    """What is in force in the repository `here`, without its seal."""
    if before is None:
        return {}
    names = [_root_name(version) for version in range(1, before.versions.root + 1)]
    names.append(_targets_name(before.versions.targets))
    names += [f"approvals/{before.versions.targets}/{one.person}.json" for one in before.approvals]
    names += [before.targets[path].file for path in before.attached]
    return {name: here / name for name in names}


def composed(
    proposal: Proposal, contributions: Iterable[Contribution], draft: Draft, before: SiteTrust | None, here: Path
) -> Files:
    """What will be in force, without its seal."""
    given = list(contributions)
    files = carried(before, here)
    if proposal.targets is not None:
        files = {name: place for name, place in files.items() if name.endswith(".root.json")}
        version = proposal.targets.version
        files[_targets_name(version)] = _with_signatures(proposal.targets, "targets", given)
        files |= {f"approvals/{version}/{one.person}.json": one.approval for one in given if one.approval is not None}
        for target in (draft.targets[path] for path in draft.attached):
            files[target.file] = draft.blobs.get(target.sha256, here / target.file)
    if proposal.root is not None:
        files[_root_name(proposal.root.version)] = _with_signatures(proposal.root, "root", given)
    return files


def seal(
    files: Files, *, targets_version: int, before: Versions | None, ring: KeyRing, online: Key, expires: datetime
) -> Files:
    """The snapshot and the timestamp that make `files` a repository."""
    expected = ring.keys[min(ring.roles["timestamp"])].digest
    if digest_of(online.public) != expected:
        raise OnlineKeyWrong(found=digest_of(online.public), expected=expected)
    name = _targets_name(targets_version)
    snapshot = Snapshot(
        version=before.snapshot + 1 if before else 1,
        expires=expires,
        meta={"targets.json": _meta(targets_version, _bytes(files[name]))},
    )
    document = _signed(snapshot, online)
    timestamp = Timestamp(
        version=before.timestamp + 1 if before else 1,
        expires=expires,
        snapshot_meta=_meta(snapshot.version, document),
    )
    return {
        f"metadata/{snapshot.version}.snapshot.json": document,
        "metadata/timestamp.json": _signed(timestamp, online),
    }


def fully_verified(folder: Path, pinned_root: bytes) -> SiteTrust:
    """All that a station asks of a carrier, except the time."""
    site = SiteTrust.verify(Directory(folder), pinned_root)
    check_references(site)
    check_firmware(site)
    check_pins(site)
    return site


def first_root(files: Mapping[str, bytes | Path]) -> bytes:
    return _bytes(files[_root_name(1)])


def _root_name(version: int) -> str:
    return f"metadata/{version}.root.json"


def _targets_name(version: int) -> str:
    return f"metadata/{version}.targets.json"


def _with_signatures(signed: T, part: str, contributions: list[Contribution]) -> bytes:
    signatures = {
        one.key.keyid: Signature(one.key.keyid, one.signatures[part].hex())
        for one in contributions
        if part in one.signatures
    }
    return Metadata(signed, signatures).to_bytes()


def _signed(signed: T, online: Key) -> bytes:
    keyid = SSlibKey.from_crypto(online.public).keyid
    metadata = Metadata(signed)
    metadata.signatures[keyid] = Signature(keyid, online.sign(metadata.signed_bytes).hex())
    return metadata.to_bytes()


def _meta(version: int, document: bytes) -> MetaFile:
    return MetaFile(version, len(document), {"sha256": sha256(document).hexdigest()})


def _bytes(content: bytes | Path) -> bytes:
    return content.read_bytes() if isinstance(content, Path) else content
