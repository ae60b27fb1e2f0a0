"""Why a verification did not end in "true". Codes `PL-VRF-001` to `PL-VRF-099`.

- Every refusal says what it means for the question that was asked: `FALSE` (the evidence says no), `UNDECIDED` (what
  is at hand does not decide it) or `BAD_INPUT` (what was handed over is not a document of that kind).
- 001-029 one manifest, 030-039 the site's word, 040-059 a whole log, 060-069 a measurement, 070-079 files.
"""

from __future__ import annotations

from typing import ClassVar

from appliance.errors import ProoflineError
from appliance.evidence.errors import (
    CheckpointOriginWrong,
    ClockIntervalReversed,
    ConsistencyProofFalse,
    EnvelopeUnsigned,
    EvidenceError,
    InclusionProofFalse,
    IndexOutsideTree,
    LabelContradicted,
    LogFileMissing,
    LogRootFalse,
    LogTileFalse,
    NoteSignatureFalse,
    NoteUnsignedByKnownKey,
    OrderContradicted,
    ProofLengthWrong,
    RefusalChainBroken,
    SequenceContradicted,
    StationContradicted,
    SubjectWrong,
    TreeShrinks,
    VerdictContradicted,
)

TRUE = 0
FALSE = 1
UNDECIDED = 2
BAD_INPUT = 3

_FALSE_EVIDENCE = (
    CheckpointOriginWrong,
    ClockIntervalReversed,
    ConsistencyProofFalse,
    EnvelopeUnsigned,
    InclusionProofFalse,
    IndexOutsideTree,
    LabelContradicted,
    LogFileMissing,
    LogRootFalse,
    LogTileFalse,
    NoteSignatureFalse,
    NoteUnsignedByKnownKey,
    OrderContradicted,
    ProofLengthWrong,
    RefusalChainBroken,
    SequenceContradicted,
    StationContradicted,
    SubjectWrong,
    TreeShrinks,
    VerdictContradicted,
)


def outcome_of(error: ProoflineError) -> int:
    """What a refusal means for the question: `FALSE`, `UNDECIDED` or `BAD_INPUT`."""
    if isinstance(error, VerifyError):
        return error.outcome
    if isinstance(error, EvidenceError):
        return FALSE if isinstance(error, _FALSE_EVIDENCE) else BAD_INPUT
    return UNDECIDED  # the site's word itself is not believed, so nothing can be judged by it


class VerifyError(ProoflineError):
    """The question was not answered with "true"."""

    outcome: ClassVar[int] = FALSE
    operator = "This unit's evidence does not hold. Put the unit aside."
    engineer = "{why}"
    action = "Keep the unit and its evidence apart, and compare the evidence with the station's log."


class StationUnknown(VerifyError):
    code = "PL-VRF-001"
    outcome = UNDECIDED
    operator = "The site does not know the station that made this unit. Ask the release desk."
    engineer = "the site's stations.json (targets {version}) has no station {station}"
    action = "Fetch the site's current repository; if the station is missing there, ask the release desk why."


class SiteOfStationWrong(VerifyError):
    code = "PL-VRF-002"
    engineer = "the manifest says that {station} stands at {found}; the site says {expected}"


class DevelopmentStation(VerifyError):
    code = "PL-VRF-003"
    operator = "This unit was made on a development station. It must not be shipped."
    engineer = "station {station} is a development station: no image vouches for what ran there"
    action = "Make the unit on an appliance, or allow development stations explicitly where that is meant."


class SignatureFalse(VerifyError):
    code = "PL-VRF-004"
    engineer = "no manifest key of {station} made the signature"


class SignatureOfWrongRole(VerifyError):
    code = "PL-VRF-005"
    engineer = "the signature was made by {station}'s {purpose} key, which does not sign manifests"


class SignatureOfWrongStation(VerifyError):
    code = "PL-VRF-006"
    engineer = "the manifest speaks for {station}, but a key of {found} signed it"


class SignatureCountWrong(VerifyError):
    code = "PL-VRF-007"
    engineer = "the manifest carries {count} signatures; a station makes exactly one"


class KeyNotValidThen(VerifyError):
    code = "PL-VRF-008"
    engineer = "key {key} was valid from {since} to {until}, which does not cover {earliest} to {latest}"


class KeyRevoked(VerifyError):
    code = "PL-VRF-009"
    operator = "The station's key was revoked. Put the unit aside and ask the release desk."
    engineer = "key {key} was revoked at {at} ({reason}): {why}"
    action = "Follow the site's plan for units made with a revoked key."


class AnchorForeign(VerifyError):
    code = "PL-VRF-010"
    engineer = "the station trusts the site root {found}; this verification is anchored in {expected}"
    action = "Verify with the root that was pinned when the station was enrolled."


class NoKeyListed(VerifyError):
    code = "PL-VRF-011"
    outcome = UNDECIDED
    engineer = "the site lists no {purpose} key for {station}"
    action = "Fetch the site's current repository; ask the release desk for the station's keys."


class CheckpointKeyOver(VerifyError):
    code = "PL-VRF-012"
    engineer = "checkpoint key {key} was valid until {until}, before the entry was made ({earliest})"


class OriginUnknown(VerifyError):
    code = "PL-VRF-013"
    outcome = UNDECIDED
    engineer = "no station of the site has a log called {origin}"
    action = "Fetch the site's current repository; if the log is missing there, it is not one of this site's."


class NotPassed(VerifyError):
    code = "PL-VRF-014"
    operator = "This unit did not pass. It must not be shipped."
    engineer = "the record is genuine and says: {verdict} ({code}: {why})"
    action = "Treat the unit as the record says; use --any-verdict to check the record alone."


class LevelTooLow(VerifyError):
    code = "PL-VRF-015"
    outcome = UNDECIDED
    operator = "There is not enough evidence for this unit. Put it aside."
    engineer = "assurance '{found}' was established; the policy asks for '{required}'"
    action = "Add the proof that is missing, or ask whoever sets the policy."


class PositionContradicted(VerifyError):
    code = "PL-VRF-016"
    engineer = "the manifest is entry {index}, but names a reservation at entry {reservation}, which is not before it"


class SiteExpired(VerifyError):
    code = "PL-VRF-030"
    outcome = UNDECIDED
    operator = "The site's word is out of date. Fetch the current one."
    engineer = "the site's {roles} metadata ended {until}: what was revoked since then is unknown"
    action = "Fetch the site's current repository, or accept the expired one explicitly (--accept-expired)."


class ReleaseContradicted(VerifyError):
    code = "PL-VRF-031"
    engineer = "the site's release {sku} {version} differs from the manifest's: {why}"


class OrderOfSiteContradicted(VerifyError):
    code = "PL-VRF-032"
    engineer = "the site's work order {order} differs from the manifest's: {why}"


class ApprovalsContradicted(VerifyError):
    code = "PL-VRF-033"
    engineer = "the manifest's approvals are not those of targets version {version}"


class ProductNotAllowed(VerifyError):
    code = "PL-VRF-034"
    engineer = "the site does not let {station} make {sku}"


class OperatorContradicted(VerifyError):
    code = "PL-VRF-035"
    engineer = "operator {operator} is on the roster from {since} to {until}, not at {earliest}"


class EntryOfOtherStation(VerifyError):
    code = "PL-VRF-040"
    engineer = "entry {index} speaks for {found}; this is the log of {station}"


class PressTwice(VerifyError):
    code = "PL-VRF-041"
    engineer = "entry {index}: press {press} already has the {what} at entry {other}"


class ReservationMissing(VerifyError):
    code = "PL-VRF-042"
    engineer = "entry {index} names a reservation at entry {reservation}, which is none or was closed before"


class ReservationContradicted(VerifyError):
    code = "PL-VRF-043"
    engineer = "entry {index} does not agree with its reservation at entry {reservation}: {field} differs"


class ReservationLeftOpen(VerifyError):
    code = "PL-VRF-044"
    engineer = "the reservation at entry {reservation} was never closed, and later work followed it"


class DeviceChainBroken(VerifyError):
    code = "PL-VRF-045"
    engineer = "entry {index}: event {found} of device {device} where event {expected} belongs, or another predecessor"


class UnitNewTwice(VerifyError):
    code = "PL-VRF-046"
    engineer = "entry {index}: device {device} passed as new, but it had passed before (entry {other})"


class OrderExceeded(VerifyError):
    code = "PL-VRF-047"
    engineer = "entry {index}: work order {order} allows {quantity} units, this is number {count}"


class TimeRunsBackwards(VerifyError):
    code = "PL-VRF-048"
    engineer = "entry {index} was surely made before an earlier entry: it ends {latest}, the other began {earliest}"


class RefusalsBroken(VerifyError):
    code = "PL-VRF-049"
    engineer = (
        "entry {index}: record {expected} of the refusal journal comes next, not {found}, or another head precedes it"
    )


class ReleaseUnknown(VerifyError):
    code = "PL-VRF-060"
    outcome = UNDECIDED
    operator = "The site approves no such release. Ask the release desk."
    engineer = "the site approves no release {sku} {version}"
    action = "Fetch the site's current repository, or name the release as <sku>/<version>."


class RangeDiffers(VerifyError):
    code = "PL-VRF-061"
    engineer = "range {name} at {start}: {found} was measured, {expected} is approved"


class RangesDiffer(VerifyError):
    code = "PL-VRF-062"
    engineer = "the measurement does not cover exactly the approved ranges: {why}"


class FlashNotErased(VerifyError):
    code = "PL-VRF-063"
    engineer = "flash outside the image is not erased, first at {address}"


class MeasurementMalformed(VerifyError):
    code = "PL-VRF-064"
    outcome = BAD_INPUT
    operator = "This file is no measurement of a device."
    engineer = "measurement: {why}"
    action = "Hand over the manifest's measurement object, a raw dump with --base, or an Intel HEX dump."


class HexMalformed(VerifyError):
    code = "PL-VRF-065"
    outcome = BAD_INPUT
    operator = "This file is no measurement of a device."
    engineer = "Intel HEX, line {line}: {why}"
    action = "Make the dump again; a HEX file that is damaged is not evidence."


class InputUnreadable(VerifyError):
    code = "PL-VRF-070"
    outcome = BAD_INPUT
    operator = "What was named cannot be read."
    engineer = "{path} cannot be read: {why}"
    action = "Check what was named on the command line."


class InputTooLarge(VerifyError):
    code = "PL-VRF-071"
    outcome = BAD_INPUT
    operator = "What was named is too large to be what it should be."
    engineer = "{path} is larger than {limit} bytes"
    action = "Check that it is the right file."
