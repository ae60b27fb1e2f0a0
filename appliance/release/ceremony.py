"""The transcript of a root ceremony, read back and believed only with the signatures of those who held it.

- It is a DSSE envelope; it names the root that it speaks of by version and by digest of its signed part.
- It counts when persons enough for that root's own threshold have signed it with the keys that this root, or the one
  before, gives them.
"""

from __future__ import annotations

from typing import Any

from appliance.evidence import envelope, strict_json
from appliance.evidence.errors import EvidenceError
from appliance.release.errors import CeremonyFalse
from appliance.release.proposal import CEREMONY_TYPE
from appliance.release.roots import root_facts
from appliance.verify.site_chain import parse_root
from appliance.verify.site_errors import SiteError


def read_ceremony(document: bytes, root_document: bytes, previous: bytes | None) -> dict[str, Any]:
    """The transcript of the root in `root_document`, or CeremonyFalse. `previous`: the root before it."""
    try:
        parsed = envelope.decode(document, (CEREMONY_TYPE,))
        record = strict_json.decode(parsed.payload)
        root, ring = parse_root(root_document, "the root")
        rings = [ring, *([parse_root(previous, "the root before")[1]] if previous else [])]
    except (EvidenceError, SiteError) as error:
        raise CeremonyFalse(why=error.engineer_sentence()) from None
    if type(record) is not dict or record.get("root") != root_facts(root):
        raise CeremonyFalse(why="it speaks of another root")
    message = envelope.pae(parsed.payload_type, parsed.payload)
    signers = {
        key.person
        for one in parsed.signatures
        for held in rings
        for key in (held.keys[keyid] for keyid in held.roles["root"])
        if key.verify(one.sig, message)
    }
    if len(signers) < ring.thresholds["root"]:
        raise CeremonyFalse(why=f"{len(signers)} of {ring.thresholds['root']} persons signed it")
    return record
