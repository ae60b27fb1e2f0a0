"""The release desk: proposals become releases when enough people have approved exactly these bytes.

    desk = Desk.create(folder, site="demo", approvers=[...], online=Online(...), threshold=2, ...)
    desk.approve(key, person="ada", ticket="CHG-1", expect=desk.proposal().digest, at=now)   # each approver, alone
    desk.promote(online_key, now)
    with desk.edit(now) as draft:                    # one atomic change of the open proposal
        draft.add_order(...)

- The folder holds plain files: `desk.json`, `root.json` (the first root: what stations pin), `proposal.json`, `files/`,
  `contributions/`, `ceremonies/`, `bundles/` (of images), and `published/`, generations of the whole repository of
  which one is current.
- What is published changes in one step; a crash at any moment leaves the state before or the state after it.
- Nothing is published that a station would refuse: the new generation is verified from the first root, references and
  firmware included, before it becomes current.
- Every edit makes another proposal and voids what was contributed to the one before.
- Approvers' keys never pass through here: `approve` is given a `Key` that signs, or a contribution made elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from tuf.api.metadata import TargetFile, Targets

from appliance import durable
from appliance.errors import ProoflineError
from appliance.evidence import envelope, strict_json
from appliance.evidence.errors import EvidenceError
from appliance.generations import Generations
from appliance.release.bundles import Bundles, present
from appliance.release.ceremony import read_ceremony
from appliance.release.contribution import MAX_BYTES as MAX_CONTRIBUTION
from appliance.release.contribution import Contribution, Key, contribute, parse_contribution
from appliance.release.draft import Draft
from appliance.release.errors import (
    ApprovalsTooFew,
    CarrierTargetInUse,
    ContributionForeign,
    DeskDamaged,
    DeskExists,
    DeskMissing,
    DeskUnpublished,
    NoProposal,
    NothingProposed,
    PossessionUnproven,
    PromotionRefused,
    ProposalStale,
)
from appliance.release.proposal import CEREMONY_TYPE, MAX_PROPOSAL, Proposal, describe, parse_proposal
from appliance.release.publication import Files, carried, composed, first_root, fully_verified, seal
from appliance.release.roots import Approver, Online, approvers_of, compose_root, transcript
from appliance.verify.site import Directory, SiteTrust
from appliance.verify.site_catalogue import Target
from appliance.verify.site_chain import MAX_ROOT, parse_root
from appliance.verify.site_errors import SiteError
from appliance.verify.site_images import ImageRelease
from appliance.verify.site_keys import KeyRing

_MAX_CONFIG: Final = 1 << 16


@dataclass(frozen=True)
class Validity:
    """How long what is signed stays valid. Short online validity is what ends a freeze (DESIGN section 5)."""

    root_days: int = 730
    targets_days: int = 365
    online_days: int = 90


@dataclass(frozen=True)
class _Config:
    site: str
    validity: Validity


class Desk:
    """One site's release desk in one folder, used by one process at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._config = _read_config(folder)
        self._bundles = Bundles(folder)
        self._published = Generations(folder / "published", keep=None, public=True)
        self._drop_promoted()

    @classmethod
    def create(
        cls,
        folder: Path,
        *,
        site: str,
        approvers: Iterable[Approver],
        online: Online,
        threshold: int = 2,
        place: str,
        machine: Mapping[str, str],
        now: datetime,
        validity: Validity = Validity(),  # frozen
    ) -> Desk:
        """Begin a site: a folder whose first proposal is the root ceremony. Published once it is approved."""
        if folder.exists() and any(folder.iterdir()):
            raise DeskExists(path=str(folder))
        root = compose_root(1, approvers, online.public, threshold, now + timedelta(days=validity.root_days))
        ceremony = transcript(root, site=site, place=place, holder=online.holder, machine=machine, at=now)
        targets = Targets(version=1, expires=now + timedelta(days=validity.targets_days))
        durable.make_dir(folder, 0o755)
        for name in ("files", "contributions", "ceremonies", "published"):
            durable.make_dir(folder / name, 0o755)
        proposal = Proposal(0, 0, targets, root, ceremony)
        durable.write_atomic(folder / "proposal.json", proposal.to_bytes(), 0o644)
        config = {
            "schema": 1,
            "site": site,
            "days": {"root": validity.root_days, "targets": validity.targets_days, "online": validity.online_days},
        }
        # Written last: a folder without it is no desk yet.
        durable.write_atomic(folder / "desk.json", strict_json.encode(config), 0o644)
        return cls(folder)

    @property
    def site(self) -> str:
        return self._config.site

    @property
    def online_holder(self) -> str:
        """Who keeps the token that signs snapshot and timestamp, as the last ceremony recorded it."""
        before = self.in_force()
        ceremony: Any = self.proposal().ceremony if before is None else self.ceremony(before.versions.root)
        return str(ceremony["online"]["holder"])

    def ceremony(self, version: int) -> dict[str, Any]:
        """The transcript of the ceremony of one root, with its signatures verified."""
        metadata = self.repository / "metadata"
        root = _require(metadata / f"{version}.root.json", MAX_ROOT)
        previous = _require(metadata / f"{version - 1}.root.json", MAX_ROOT) if version > 1 else None
        return read_ceremony(
            _require(self.folder / "ceremonies" / f"{version}.json", envelope.MAX_BYTES), root, previous
        )

    @property
    def repository(self) -> Path:
        """The repository in force: a carrier as it is."""
        current = self._published.current()
        if current is None:
            raise DeskUnpublished
        return self._published.path(current)

    @property
    def pinned_root(self) -> bytes:
        """The first root: what stations pin."""
        return _require(self.repository / "metadata" / "1.root.json", MAX_ROOT)

    def in_force(self) -> SiteTrust | None:
        """What is published, verified from the first root; None before the first promotion."""
        if self._published.current() is None:
            return None
        return SiteTrust.verify(Directory(self.repository), self.pinned_root)

    def published(self) -> SiteTrust:
        """What is published; DeskUnpublished before the first promotion."""
        found = self.in_force()
        if found is None:
            raise DeskUnpublished
        return found

    def proposal(self) -> Proposal:
        """The open proposal."""
        document = _read(self.folder / "proposal.json", MAX_PROPOSAL)
        if document is None:
            raise NoProposal
        return parse_proposal(document)

    def has_proposal(self) -> bool:
        return (self.folder / "proposal.json").exists()

    def show(self) -> list[str]:
        """The open proposal in words: everything that its approval would change."""
        proposal, before = self.proposal(), self.in_force()
        after = self._proposed(proposal, before)
        after.check()
        return describe(proposal, before, after, self.ring())

    def keep_bundle(self, image: ImageRelease, file: Path) -> None:
        """Take in the bundle of an image that is being proposed, checked against its document: BundleOther."""
        bundle = image.bundle
        self._bundles.keep(Target(bundle.target, bundle.length, bundle.sha256), file)

    @contextmanager
    def edit(self, now: datetime) -> Iterator[Draft]:
        """Change the open proposal's targets, or begin one. Saved in one step when the block ends without refusal."""
        before = self.in_force()
        proposal = self.proposal() if self.has_proposal() else None
        if proposal is not None:
            self._require_fresh(proposal, before)
        draft = self._proposed(proposal, before)
        yield draft
        draft.check()
        if (
            before is not None
            and dict(draft.targets) == dict(before.targets)
            and (proposal is None or not proposal.root)
        ):
            raise NothingProposed(why="the documents are those in force")
        self._save(self._with_targets(proposal, before, draft, now), draft)

    def rotate(
        self,
        *,
        add: Iterable[Approver] = (),
        remove: Iterable[str] = (),
        threshold: int | None = None,
        online: Online | None = None,
        place: str,
        machine: Mapping[str, str],
        now: datetime,
    ) -> None:
        """Propose a new root: approvers come and go (by person), or the online key changes.

        Where the people who approved the targets in force would no longer be enough, the proposal also asks the new
        root's approvers to approve the same targets again.
        """
        before, ring = self.published(), self.ring()
        assert ring is not None
        added, gone = list(add), set(remove)
        kept = [one for one in approvers_of(ring) if one.person not in gone | {new.person for new in added}]
        if gone - {one.person for one in approvers_of(ring)}:
            raise NothingProposed(why=f"{', '.join(sorted(gone))}: not all of them are approvers")
        threshold = threshold or ring.thresholds["root"]
        holder = online.holder if online else self.online_holder
        key = online.public if online else self._online_key(ring)
        expires = now + timedelta(days=self._config.validity.root_days)
        root = compose_root(before.versions.root + 1, [*kept, *added], key, threshold, expires)
        ceremony = transcript(root, site=self.site, place=place, holder=holder, machine=machine, at=now)
        proposal = self.proposal() if self.has_proposal() else None
        if proposal is not None:
            self._require_fresh(proposal, before)
        base = proposal or Proposal(before.versions.targets, before.versions.root, None, None, None)
        changed = replace(base, root=root, ceremony=ceremony)
        draft = self._proposed(proposal, before)
        still = {one.person for one in before.approvals} & {one.person for one in kept}
        if changed.targets is None and len(still) < threshold:
            changed = self._with_targets(changed, before, draft, now)
        self._save(changed, draft)

    def drop(self) -> None:
        """Give the open proposal up."""
        self.proposal()
        self._clear()

    def approve(
        self, key: Key, *, person: str, ticket: str, expect: str, at: datetime, tickets: tuple[str, ...] = ()
    ) -> Contribution:
        """Sign the open proposal as `person`; `expect` is the digest of what this person was shown."""
        self.show()  # refuses what cannot be shown in full: nobody signs unseen
        made = contribute(
            self.proposal(), self.ring(), key, person=person, expect=expect, ticket=ticket, tickets=tickets, at=at
        )
        self.hand_in(made.to_bytes())
        return made

    def hand_in(self, document: bytes, path: str = "the contribution") -> Contribution:
        """Add a contribution that was made elsewhere."""
        found = parse_contribution(document, path, self.proposal(), self.ring())
        durable.write_atomic(self._contribution(found), document, 0o644)
        return found

    def contributions(self) -> list[Contribution]:
        """What has been handed in to the open proposal, checked again. What a crash left of the proposal before counts
        for nothing.
        """
        proposal, ring = self.proposal(), self.ring()
        found = []
        for path in sorted((self.folder / "contributions").glob("*.json")):
            try:
                found.append(parse_contribution(_require(path, MAX_CONTRIBUTION), path.name, proposal, ring))
            except ContributionForeign:
                continue
        return found

    def promote(self, online: Key, now: datetime) -> SiteTrust:
        """Publish the open proposal, at its threshold; what is in force afterwards."""
        proposal, before = self.proposal(), self.in_force()
        self._require_fresh(proposal, before)
        contributions = self.contributions()
        ring = proposal.ring() or self.ring()
        assert ring is not None
        self._require_thresholds(proposal, ring, contributions)
        draft = self._proposed(proposal, before)
        self._bundles.require(draft.detached)
        if proposal.root is not None:
            self._record_ceremony(proposal, contributions)
        here = self.folder if before is None else self.repository
        files = composed(proposal, contributions, draft, before, here)
        version = proposal.targets.version if proposal.targets else proposal.base_targets
        return self._publish(files, version, ring, before=before, online=online, now=now)

    def renew(self, online: Key, now: datetime) -> SiteTrust:
        """Publish the same targets with a new snapshot and timestamp: the desk is alive."""
        before, ring = self.published(), self.ring()
        assert ring is not None
        return self._publish(
            carried(before, self.repository), before.versions.targets, ring, before=before, online=online, now=now
        )

    def export(self, folder: Path) -> SiteTrust:
        """Write what is in force as a carrier; it is verified where it lies before this returns."""
        if folder.exists() and any(folder.iterdir()):
            raise CarrierTargetInUse(path=str(folder))
        source = self.repository
        folder.mkdir(parents=True, exist_ok=True)
        for place in sorted(source.rglob("*")):
            copy = folder / place.relative_to(source)
            if place.is_dir():
                copy.mkdir(exist_ok=True)
            else:
                copy.write_bytes(place.read_bytes())
        for target in self.published().detached:
            self._bundles.copy_to(target, folder)
        os.sync()  # a stick is pulled as soon as this returns
        site = fully_verified(folder, self.pinned_root)
        present(site, folder)
        return site

    def ring(self) -> KeyRing | None:
        """Who holds which key under the root in force; None before the first promotion."""
        before = self.in_force()
        if before is None:
            return None
        path = f"metadata/{before.versions.root}.root.json"
        return parse_root(_require(self.repository / path, MAX_ROOT), path)[1]

    def _online_key(self, ring: KeyRing) -> Any:
        return ring.keys[min(ring.roles["timestamp"])].public

    def _proposed(self, proposal: Proposal | None, before: SiteTrust | None) -> Draft:
        """The documents as they would be."""
        draft = Draft(before)
        if proposal is not None and proposal.targets is not None:
            for path in set(draft.targets) - set(proposal.targets.targets):
                draft.forget(path)
            for path, entry in proposal.targets.targets.items():
                digest = entry.hashes["sha256"]
                if Target(path, entry.length, digest).detached:
                    draft.put_detached(path, entry.length, digest)
                elif path not in draft.targets or draft.targets[path].sha256 != digest:
                    content = _require(self.folder / "files" / digest, entry.length)
                    if sha256(content).hexdigest() != digest:
                        raise DeskDamaged(path=f"files/{digest}", why="its content is not what its name says")
                    draft.put(path, content)
        return draft

    def _with_targets(
        self, proposal: Proposal | None, before: SiteTrust | None, draft: Draft, now: datetime
    ) -> Proposal:
        base_targets = before.versions.targets if before else 0
        entries = {
            path: TargetFile(target.length, {"sha256": target.sha256}, path) for path, target in draft.targets.items()
        }
        expires = now + timedelta(days=self._config.validity.targets_days)
        targets = Targets(version=base_targets + 1, expires=expires, targets=entries)
        if proposal is None:
            return Proposal(base_targets, before.versions.root if before else 0, targets, None, None)
        return replace(proposal, targets=targets)

    def _save(self, proposal: Proposal, draft: Draft) -> None:
        for digest, content in draft.blobs.items():
            if not (self.folder / "files" / digest).exists():
                durable.write_atomic(self.folder / "files" / digest, content, 0o644)
        # A contribution names its proposal by digest, so one that a crash leaves here counts for nothing.
        durable.write_atomic(self.folder / "proposal.json", proposal.to_bytes(), 0o644)
        self._void_contributions()

    def _void_contributions(self) -> None:
        for path in (self.folder / "contributions").glob("*.json"):
            path.unlink()
        durable.fsync_dir(self.folder / "contributions")

    def _clear(self) -> None:
        (self.folder / "proposal.json").unlink(missing_ok=True)
        durable.fsync_dir(self.folder)
        self._void_contributions()
        for path in (self.folder / "files").iterdir():
            path.unlink()
        before = self.in_force()
        self._bundles.clean(before.detached if before else ())

    def _drop_promoted(self) -> None:
        """Finish a promotion that was cut off after it had taken effect."""
        before = self.in_force()
        if before is None or not self.has_proposal():
            return
        proposal = self.proposal()
        root_done = proposal.root is None or proposal.root.version <= before.versions.root
        targets_done = proposal.targets is None or proposal.targets_digest == before.digest
        if root_done and targets_done:
            self._clear()

    def _require_fresh(self, proposal: Proposal, before: SiteTrust | None) -> None:
        found = (proposal.base_targets, proposal.base_root)
        expected = (before.versions.targets, before.versions.root) if before else (0, 0)
        if found != expected:
            raise ProposalStale(found=proposal.base_targets, expected=expected[0])

    def _require_thresholds(self, proposal: Proposal, ring: KeyRing, contributions: list[Contribution]) -> None:
        asked: list[tuple[str, KeyRing]] = [("targets", ring)] if proposal.targets else []
        if proposal.root is not None:
            asked += [("root", one) for one in (ring, self.ring()) if one is not None]
        for part, by in asked:
            signed = {one.person for one in contributions if one.key.keyid in by.roles[part] and part in one.signatures}
            able = {str(by.keys[keyid].person) for keyid in by.roles[part]}
            if len(signed) < by.thresholds[part]:
                missing = ", ".join(sorted(able - signed))
                raise ApprovalsTooFew(part=part, found=len(signed), expected=by.thresholds[part], missing=missing)
        known = self.ring() if proposal.root is not None and proposal.base_root else None
        for keyid in sorted(ring.roles["root"] - known.roles["root"]) if known else ():
            if all(one.key.keyid != keyid for one in contributions):
                raise PossessionUnproven(person=ring.keys[keyid].person)

    def _record_ceremony(self, proposal: Proposal, contributions: list[Contribution]) -> None:
        assert proposal.root is not None
        signatures = tuple(
            envelope.Signature(one.signatures["ceremony"], one.key.digest)
            for one in contributions
            if "ceremony" in one.signatures
        )
        payload = strict_json.encode(proposal.ceremony)
        document = envelope.encode(envelope.Envelope(CEREMONY_TYPE, payload, signatures))
        durable.write_atomic(self.folder / "ceremonies" / f"{proposal.root.version}.json", document, 0o644)

    def _publish(
        self, files: Files, targets_version: int, ring: KeyRing, *, before: SiteTrust | None, online: Key, now: datetime
    ) -> SiteTrust:
        expires = now + timedelta(days=self._config.validity.online_days)
        versions = before.versions if before else None
        files |= seal(
            files, targets_version=targets_version, before=versions, ring=ring, online=online, expires=expires
        )
        prepared = self._published.prepare(files)
        try:
            fully_verified(prepared, first_root(files))
        except ProoflineError as error:
            self._published.clean()
            raise PromotionRefused(why=f"{error.code} {error.engineer_sentence()}") from None
        self._published.publish(prepared)
        self._drop_promoted()
        return self.published()

    def _contribution(self, one: Contribution) -> Path:
        # One file a key: a person who changes tokens signs the rotation with both.
        return self.folder / "contributions" / f"{one.person}.{one.key.keyid[:16]}.json"


def _read_config(folder: Path) -> _Config:
    document = _read(folder / "desk.json", _MAX_CONFIG)
    if document is None:
        raise DeskMissing(path=str(folder), why="it has no desk.json")
    try:
        value: Any = strict_json.decode(document)
        days = value["days"]
        return _Config(
            site=str(value["site"]),
            validity=Validity(int(days["root"]), int(days["targets"]), int(days["online"])),
        )
    except (EvidenceError, KeyError, TypeError, ValueError) as error:
        raise DeskMissing(path=str(folder), why=f"desk.json: {type(error).__name__} {error}") from None


def _read(path: Path, limit: int) -> bytes | None:
    try:
        return Directory(path.parent).read(path.name, limit)
    except SiteError as error:
        raise DeskDamaged(path=path.name, why=error.engineer_sentence()) from None


def _require(path: Path, limit: int) -> bytes:
    found = _read(path, limit)
    if found is None:
        raise DeskDamaged(path=path.name, why="it is not there")
    return found
