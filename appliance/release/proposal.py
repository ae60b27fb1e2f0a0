"""A proposal: exactly the bytes that approvers sign, and what they mean in words.

- A proposal says which versions it builds on, and holds the complete signed part of the next targets metadata, of the
  next root, or of both; with a root goes the transcript of its ceremony.
- `digest` covers all of it. Whoever approves names the digest; a changed proposal is another proposal.
- `describe` says every difference to what is in force: files by path, documents field by field, keys by person.

Pure: no files, no keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from cryptography.x509 import load_der_x509_certificate
from tuf.api.metadata import Metadata, Root, Targets

from appliance.errors import ProoflineError
from appliance.evidence import strict_json
from appliance.release.errors import DeskDamaged
from appliance.verify.site_catalogue import Catalogue
from appliance.verify.site_images import KEYRING
from appliance.verify.site_keys import KeyRing, key_ring

MAX_PROPOSAL = 1 << 22
CEREMONY_TYPE = "application/vnd.proofline.ceremony+json"


@dataclass(frozen=True)
class Proposal:
    """What is proposed on top of targets version `base_targets` and root version `base_root` (0: nothing yet)."""

    base_targets: int
    base_root: int
    targets: Targets | None
    root: Root | None
    ceremony: Mapping[str, object] | None

    def to_bytes(self) -> bytes:
        return strict_json.encode(
            {
                "schema": 1,
                "base": {"targets": self.base_targets, "root": self.base_root},
                "targets": self.targets.to_dict() if self.targets else None,
                "root": self.root.to_dict() if self.root else None,
                "ceremony": self.ceremony,
            }
        )

    @property
    def digest(self) -> str:
        """`sha256:` of the proposal's canonical form."""
        return f"sha256:{sha256(self.to_bytes()).hexdigest()}"

    @property
    def parts(self) -> dict[str, bytes]:
        """The canonical bytes that a signature on each part covers."""
        found: dict[str, bytes] = {}
        if self.targets is not None:
            found["targets"] = Metadata(self.targets).signed_bytes
        if self.root is not None:
            found["root"] = Metadata(self.root).signed_bytes
        return found

    @property
    def targets_digest(self) -> str:
        """`sha256:` of the signed part of the targets: what an approval names."""
        return f"sha256:{sha256(self.parts['targets']).hexdigest()}"

    def ring(self) -> KeyRing | None:
        """Who holds which key under the proposed root."""
        return key_ring(self.root, "the proposed root") if self.root else None


def parse_proposal(document: bytes) -> Proposal:
    """The proposal in the desk's folder, or DeskDamaged."""
    try:
        value: Any = strict_json.decode(document, max_bytes=MAX_PROPOSAL)
        if type(value) is not dict or value.get("schema") != 1:
            raise DeskDamaged(path="proposal.json", why="not of schema 1")
        value = deepcopy(value)
        return Proposal(
            base_targets=int(value["base"]["targets"]),
            base_root=int(value["base"]["root"]),
            targets=Targets.from_dict(value["targets"]) if value["targets"] else None,
            root=Root.from_dict(value["root"]) if value["root"] else None,
            ceremony=value["ceremony"],
        )
    except DeskDamaged:
        raise
    except (ProoflineError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise DeskDamaged(path="proposal.json", why=f"{type(error).__name__}: {error}") from None


def describe(proposal: Proposal, before: Catalogue | None, after: Catalogue, ring: KeyRing | None) -> list[str]:
    """The proposal against what is in force, line by line, for the person who is to approve it."""
    lines = [f"proposal {proposal.digest}"]
    if proposal.root is not None:
        lines += _describe_root(proposal.root, ring, proposal.ring())
    if proposal.targets is not None:
        expires = proposal.targets.expires.isoformat()
        lines.append(
            f"targets version {proposal.targets.version} after {proposal.base_targets or 'nothing'}, until {expires}"
        )
        lines.append(f"  digest {proposal.targets_digest}")
        lines += _describe_targets(before, after) or ["  no document changes"]
    return lines


def _describe_root(root: Root, before: KeyRing | None, after: KeyRing | None) -> list[str]:
    assert after is not None
    lines = [f"root version {root.version}, until {root.expires.isoformat()}"]
    old = {key.digest: key for key in before.keys.values()} if before else {}
    new = {key.digest: key for key in after.keys.values()}
    for digest in sorted(old.keys() | new.keys()):
        key = new.get(digest) or old[digest]
        sign = "+" if digest not in old else "-" if digest not in new else " "
        roles = [role for role, ids in (after if digest in new else before or after).roles.items() if key.keyid in ids]
        lines.append(f"  {sign} {key.person or 'online'}: {digest} ({', '.join(sorted(roles)) or 'no role'})")
    for role, threshold in sorted(after.thresholds.items()):
        was = before.thresholds[role] if before else None
        change = "" if was in (None, threshold) else f" (was {was})"
        lines.append(f"    threshold of {role}: {threshold}{change}")
    return lines


def _describe_targets(before: Catalogue | None, after: Catalogue) -> list[str]:
    lines: list[str] = []
    old = before.targets if before else {}
    for path in sorted(old.keys() | after.targets.keys()):
        if path not in after.targets:
            lines.append(f"  - {path}")
        elif path not in old:
            lines.append(f"  + {path}  ({after.targets[path].length} bytes, sha256 {after.targets[path].sha256})")
            lines += [f"      {field}: {value}" for field, value in _fields(after, path).items()]
            lines += _image_in_words(after, path) + _reset_in_words(after, path)
        elif old[path] != after.targets[path]:
            assert before is not None
            lines.append(f"  ~ {path}")
            lines += [*_changes(_fields(before, path), _fields(after, path)), *_reset_in_words(after, path)]
    return lines


def _changes(was: dict[str, str], now: dict[str, str]) -> Iterator[str]:
    for field in sorted(was.keys() | now.keys()):
        if field not in now:
            yield f"      - {field}: {was[field]}"
        elif field not in was:
            yield f"      + {field}: {now[field]}"
        elif was[field] != now[field]:
            yield f"      ~ {field}: {was[field]} -> {now[field]}"


def _image_in_words(site: Catalogue, path: str) -> list[str]:
    """What approving an image's document means, for whoever approves it."""
    if not (path.startswith("images/") and path.endswith(".json")):
        return []
    image = site.image(*path.removeprefix("images/").removesuffix(".json").split("/"))
    who = "every station" if "*" in image.stations else f"the stations {', '.join(image.stations)}"
    others = [one.version for one in site.images(image.compatible) if one.version > image.version]
    newest = f", but {others[-1]} is the newest where it names a station" if others else ""
    return [
        f"      -> {who} of the kind {image.compatible} shall run {image.version}{newest};",
        f"      -> once it ran well there, nothing below {image.floor} is ever installed again",
    ]


def _reset_in_words(site: Catalogue, path: str) -> list[str]:
    """What approving a reset order means, for whoever approves it."""
    if not path.startswith("resets/"):
        return []
    order = site.reset(path.removeprefix("resets/").removesuffix(".json"))
    return [
        f"      -> station {order.station} wipes everything it holds, and its keys are never believed again;",
        f"      -> the site says that it has all {order.log.size} entries of its log, to root {order.log.root}",
    ]


def _certificates(site: Catalogue) -> dict[str, str]:
    """The certificates of the keyring in words: whose, until when, by which digest."""
    found = {}
    for der in site.image_keyring().certificates:
        one = load_der_x509_certificate(der)
        until = one.not_valid_after_utc.isoformat()
        found[f"certificate {sha256(der).hexdigest()}"] = f"{one.subject.rfc4514_string()!r}, until {until}"
    return found


def _fields(site: Catalogue, path: str) -> dict[str, str]:
    """Every field of a document by its place; entries of lists are named by their id where they have one."""
    if path == KEYRING:
        return _certificates(site)
    if not path.endswith(".json"):
        return {}
    found: dict[str, str] = {}
    _flatten(strict_json.decode(site.read(path), max_bytes=1 << 20), "", found)
    found.pop("schema", None)
    return found


def _flatten(value: object, where: str, found: dict[str, str]) -> None:
    if isinstance(value, dict):
        for name, item in value.items():
            _flatten(item, f"{where}.{name}" if where else name, found)
    elif isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        for index, item in enumerate(value):
            _flatten(item, f"{where}[{item.get('id') or item.get('name') or index}]", found)
    else:
        found[where] = strict_json.encode(value).decode()
