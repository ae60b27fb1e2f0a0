"""Why intake leaves the station as it is. Codes `PL-INT-001` to `PL-INT-049`.

- 001-009 the carrier as a thing of files, 010-019 what it says compared with what is known, 020-029 intake's own state.
- What is wrong with the repository itself is said with the site's codes (`PL-SIT`).
"""

from __future__ import annotations

from appliance.errors import ProoflineError


class IntakeError(ProoflineError):
    """The carrier is not imported; nothing has changed."""

    operator = "This release medium was refused. The station works on with what it has."
    engineer = "{path}: {why}"
    action = "Export the repository again at the release desk; if it is refused again, keep the medium and report it."


class CarrierUnreadable(IntakeError):
    code = "PL-INT-001"
    engineer = "carrier {path} cannot be read: {why}"
    action = "Plug the medium in again, or use another one."


class CarrierEntryRefused(IntakeError):
    code = "PL-INT-002"
    engineer = "carrier: {path} is {found}; a carrier holds directories and regular files only"


class CarrierNameUnexpected(IntakeError):
    code = "PL-INT-003"
    engineer = "carrier: {path} has no place in a repository"


class CarrierFilesTooMany(IntakeError):
    code = "PL-INT-004"
    engineer = "carrier has more than {limit} files and directories"


class CarrierTooLarge(IntakeError):
    code = "PL-INT-005"
    engineer = "carrier: {path} takes it past {limit} bytes"


class CarrierOlder(IntakeError):
    code = "PL-INT-010"
    operator = "This release medium is older than what the station has. Use the newest one."
    engineer = "carrier's {role} version {found} is older than {expected}, which this station has accepted"
    action = "Export the newest repository at the release desk. If this is the newest, somebody rolled the desk back."


class CarrierForked(IntakeError):
    code = "PL-INT-011"
    engineer = "carrier's {role} version {version} is not the version {version} that was accepted here before"
    action = "Two different approvals of one version exist: stop releasing and find out at the release desk why."


class CarrierExpired(IntakeError):
    code = "PL-INT-012"
    operator = "This release medium is out of date. Fetch a new one from the release desk."
    engineer = "carrier's {roles} expired: valid until {until}, and it is {earliest} at least"
    action = "Renew the repository at the release desk (`proofline release renew`) and export it again."


class CarrierExpiryUnsure(IntakeError):
    code = "PL-INT-013"
    operator = "This release medium is about to run out. Fetch a new one from the release desk."
    engineer = "carrier's {roles} end at {until}, inside the clock's uncertainty (up to {latest}): not surely valid"
    action = "Renew the repository at the release desk and export it again, or let the clock synchronise."


class TufClientRefused(IntakeError):
    code = "PL-INT-014"
    engineer = "the TUF client refuses the carrier: {why}"


class ReleaseTampered(IntakeError):
    code = "PL-INT-015"
    operator = "A release on this medium does not fit its firmware file. Do not use the medium."
    engineer = "{path}: the allowlist is not what the firmware file says: {why}"
    action = "Propose the release again from the file that was built; find out who changed it."


class BundleTruncated(IntakeError):
    code = "PL-INT-016"
    operator = "The software image on this medium is not complete. Write the medium again."
    engineer = "{path} has {found} bytes where {expected} were approved"


class BundleTampered(IntakeError):
    code = "PL-INT-017"
    operator = "The software image on this medium is not the approved one. Do not use the medium."
    engineer = "{path} does not have the approved SHA-256 {expected}"


class BundleNoRoom(IntakeError):
    code = "PL-INT-021"
    operator = "There is no room for the new software image. Call the line engineer."
    engineer = "the bundle and the reserve for evidence need {needed} bytes; {free} are free"
    action = "Export the evidence, or use a bigger card."


class FloorDamaged(IntakeError):
    code = "PL-INT-020"
    operator = "The station's record of accepted releases is damaged. Call the line engineer."
    engineer = "{path}: {why}"
    action = "Restore the state partition; a station without its floor could be rolled back."
