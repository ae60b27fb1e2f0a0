"""A whole published log: its checkpoint vouched for by the site's station, every entry recounted under it."""

from __future__ import annotations

from appliance.evidence import log, note
from appliance.evidence.errors import LogFileMissing
from appliance.verify.audit import Audit, Summary
from appliance.verify.files import LogDirectory
from appliance.verify.verifier import TrustedCheckpoint, Verifier


def trusted_checkpoint(verifier: Verifier, storage: LogDirectory) -> TrustedCheckpoint:
    """The log's checkpoint, signed by the station whose origin it names; a refusal where nobody vouches for it."""
    document = storage.read("checkpoint", note.MAX_BYTES)
    if document is None:
        raise LogFileMissing(path="checkpoint", size=0)
    # The first line only says which of the site's stations has to vouch for the checkpoint.
    return verifier.check_checkpoint(document, note.parse(document).text.partition("\n")[0])


def recount(verifier: Verifier, storage: LogDirectory, trusted: TrustedCheckpoint) -> Summary:
    """Every entry, alone and together (`Audit`)."""
    audit = Audit(verifier, trusted)
    for index, entry in log.recount(storage, trusted.checkpoint):
        audit.add(index, entry)
    return audit.finish()
