"""Which refusal is on record of a carrier that nobody brings: it is there after each start, and says nothing new.

- A person who brings a refused stick twice did something twice, and both are on record. A folder that is looked at
  again is nobody's deed: the same carrier, refused with the same code as before, is one record.
- It is remembered after the recorder has it. A power cut between the two costs a second record, never the only one;
  what cannot be read or is lost costs a record as well.
- What is remembered decides about records only: never whether a carrier is verified, or what is staged.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from appliance import durable
from appliance.errors import ProoflineError
from appliance.evidence import strict_json
from appliance.verify.site import Directory

log = logging.getLogger("proofline.intake")


@dataclass(frozen=True, slots=True)
class OnRecord:
    """What the last record of a place says, kept in `file`; `carrier` is what tells its content from others."""

    file: Path
    carrier: str = ""

    def of(self, carrier: str) -> OnRecord:
        """The same, asked about what lies there now."""
        return replace(self, carrier=carrier)

    def code(self) -> str | None:
        """With which code this carrier's refusal is on record; None where it is not."""
        try:
            value = strict_json.decode(Directory(self.file.parent).read(self.file.name, 1 << 12) or b"")
        except ProoflineError:
            return None
        match value:
            case {"carrier": str(known), "code": str(code)} if known == self.carrier:
                return code
        return None

    def keep(self, code: str) -> None:
        """It is on record. Durable on return, as well as the storage can."""
        record = {"schema": 1, "carrier": self.carrier, "code": code}
        try:
            durable.write_atomic(self.file, strict_json.encode(record))
        except durable.StorageFailed as failed:
            log.warning("%s", failed)

    def forget(self) -> None:
        """It was accepted, or it is gone: what is refused next is new. Where a power cut undoes this, the next look
        does it again."""
        try:
            self.file.unlink(missing_ok=True)
        except OSError as failed:
            log.warning("%s", durable.StorageFailed(path=self.file.name, why=str(failed.strerror)))
