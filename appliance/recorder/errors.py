"""Why the recorder says no. Codes `PL-REC-001` to `PL-REC-079`.

- 001-009 the log and its storage, 010-019 presses, 020-029 devices, 030-039 orders, 040-049 labels, 050-059 manifests,
  060-069 the refusal journal.
"""

from __future__ import annotations

from appliance.errors import ProoflineError


class RecorderError(ProoflineError):
    """The recorder cannot, or will not, write this into the log."""

    operator = "The station cannot record this unit. Put it aside."
    action = "Call the line engineer."


class LogUnwritable(RecorderError):
    code = "PL-REC-001"
    operator = "The station cannot store evidence. Stop working and call the line engineer."
    engineer = "The log cannot be written: {why}"
    action = "Free or replace the storage; the recorder goes on by itself when it can write again."


class LogSpaceLow(RecorderError):
    code = "PL-REC-002"
    operator = "The station's storage is nearly full. Call the line engineer."
    engineer = "{free_kib} KiB are free on the {which}; {limit_kib} KiB are kept for units under way"
    action = "Free space on the state partition."


class LogFull(RecorderError):
    code = "PL-REC-003"
    operator = "The station holds too much evidence that was not exported. Call the line engineer."
    engineer = "{waiting} entries wait for export; the site's limit is {limit}"
    action = "Export the log, or have the site raise max_unexported_entries."


class NotYetCheckpointed(RecorderError):
    code = "PL-REC-004"
    operator = "The unit is recorded, but its proof is not ready yet. Do not ship it; wait."
    engineer = "Entry {index} is durable but no checkpoint covers it yet: {why}"
    action = "See to the signer. The recorder completes the entry by itself; ask for the press's outcome."


class LogBehindSigner(RecorderError):
    code = "PL-REC-005"
    operator = "The station's evidence is older than its own signatures. Stop working and call the line engineer."
    engineer = "The log has {size} entries, but the signer has signed a tree of {signed}: the log was rolled back"
    action = "Do not reset anything: keep the storage as evidence and restore the exported log."


class LogForked(RecorderError):
    code = "PL-REC-006"
    operator = "The station's evidence does not fit its own signatures. Stop working and call the line engineer."
    engineer = "The first {size} entries of the log do not have the root that the signer signed for them"
    action = "Do not reset anything: keep the storage as evidence and compare it with the exported log."


class CheckpointWrong(RecorderError):
    code = "PL-REC-007"
    operator = "The station's signer gave a wrong answer. Stop working and call the line engineer."
    engineer = "The signer's checkpoint is not of this log: {why}"
    action = "Check that the signer and the recorder stand on the same staged site."


class LogDamaged(RecorderError):
    code = "PL-REC-008"
    operator = "The station's evidence is damaged. Stop working and call the line engineer."
    engineer = "{path}: {why}"
    action = "Keep the storage as evidence; restore the exported log onto a new one."


class EntryTooLarge(RecorderError):
    code = "PL-REC-009"
    engineer = "An entry of {size} bytes; a log entry has 1 to {limit}"


class PressUnknown(RecorderError):
    code = "PL-REC-010"
    operator = "Nobody pressed the button for this unit. Press it."
    engineer = "The panel knows no press {press}"


class PressFinished(RecorderError):
    code = "PL-REC-011"
    operator = "This press is finished. Press the button again."
    engineer = "The panel has finished the press {press}"


class PressUsed(RecorderError):
    code = "PL-REC-012"
    operator = "This press was used for another unit. Press the button again."
    engineer = "The press {press} is used up: {why}"


class PressContradicted(RecorderError):
    code = "PL-REC-013"
    operator = "The station contradicts itself. Call the line engineer."
    engineer = "The panel's record of the press {press} does not have the digest that the panel gives for it"


class DeviceImplausible(RecorderError):
    code = "PL-REC-020"
    operator = "This board's chip has no usable number. Put the board aside."
    engineer = "The unique id {uid} of the {part} is implausible: {why}"
    action = "Check the probe's wiring; otherwise have the board analysed."


class DeviceDuplicate(RecorderError):
    code = "PL-REC-021"
    operator = "A board with this chip number was finished before. The line stops: call the lead."
    engineer = "The device {part} {uid} has passed before; it is not new (last event: press {press})"
    action = "Find out whether the board came back (then it needs its own event) or its number was copied."


class DeviceReserved(RecorderError):
    code = "PL-REC-022"
    operator = "This board is still being worked on by an earlier press. Put it aside."
    engineer = "The device {part} {uid} is reserved by the press {press}, which is not concluded"
    action = "Let the line conclude the earlier press first."


class DeviceNeedsRework(RecorderError):
    code = "PL-REC-023"
    operator = "This board failed before. Hand it to rework."
    engineer = "The device {part} {uid} was {verdict} before; it may not be provisioned blindly again"
    action = "Choose the event rework, with an operator who may."


class DeviceScrapped(RecorderError):
    code = "PL-REC-024"
    operator = "This board was scrapped. It must not leave."
    engineer = "The device {part} {uid} was scrapped"


class DeviceUnknown(RecorderError):
    code = "PL-REC-025"
    operator = "This board was never made here. Put it aside."
    engineer = "The event {event} is for a device that the log knows; {part} {uid} was never provisioned"


class EventNotAllowed(RecorderError):
    code = "PL-REC-026"
    operator = "This product does not allow that. Call the line engineer."
    engineer = "The profile of {sku} does not allow the event {event}"


class EventNotForOperator(RecorderError):
    code = "PL-REC-027"
    operator = "Your badge does not allow this. Call someone who may rework."
    engineer = "The event {event} needs the role rework; the operator {operator} does not have it"


class PartWrong(RecorderError):
    code = "PL-REC-028"
    operator = "This is another kind of board than the order is for. Put it aside."
    engineer = "The device is a {found}; the profile of {sku} is for a {expected}"


class OrderUnknown(RecorderError):
    code = "PL-REC-030"
    operator = "The work order is not known here. Choose another one."
    engineer = "The staged site has no usable order {order}: {why}"


class OrderExhausted(RecorderError):
    code = "PL-REC-031"
    operator = "The work order is complete. Choose the next one."
    engineer = "The order {order} is for {quantity} units; {passed} passed and {open} are under way"
    action = "Have the release desk sign another order."


class OrderNotForStation(RecorderError):
    code = "PL-REC-032"
    operator = "The work order is for another station."
    engineer = "The order {order} does not name the station {station}"


class ProductNotForStation(RecorderError):
    code = "PL-REC-033"
    operator = "This station may not make this product."
    engineer = "The station {station} may not make {sku}"


class LabelMissing(RecorderError):
    code = "PL-REC-040"
    operator = "Scan the label first."
    engineer = "The profile of {sku} needs a scanned label, and the press has none"
    action = "Scan the unit's label, then press again."


class LabelMismatch(RecorderError):
    code = "PL-REC-041"
    operator = "The label does not belong to this board. The line stops: call the lead."
    engineer = "{scanned} was scanned; {expected} belongs to the device {uid}"
    action = "Find the board that the label belongs to before going on."


class LabelPrefixWrong(RecorderError):
    code = "PL-REC-042"
    operator = "This label is for another product."
    engineer = "The label {scanned} does not begin with {prefix}, as labels of {sku} do"


class LabelTaken(RecorderError):
    code = "PL-REC-043"
    operator = "This label is on another board. The line stops: call the lead."
    engineer = "The label {scanned} belongs to the device {owner}, not to {uid}"
    action = "Find the other board before going on."


class StationUnknown(RecorderError):
    code = "PL-REC-050"
    operator = "This station is not enrolled at this site. Call the line engineer."
    engineer = "The staged stations.json has no usable station {station}: {why}"


class ManifestSignatureFalse(RecorderError):
    code = "PL-REC-051"
    engineer = "The manifest does not carry a signature of a current manifest key of {station}"


class ManifestForeign(RecorderError):
    code = "PL-REC-052"
    engineer = "The manifest is of the station {found}; this one is {station}"


class ReservationContradicted(RecorderError):
    code = "PL-REC-053"
    engineer = "The manifest of the press {press} does not fit what was reserved: {why}"


class SequenceBroken(RecorderError):
    code = "PL-REC-054"
    engineer = "The manifest continues the device's history at {found}; the log has it at {expected}"


class PressHasManifest(RecorderError):
    code = "PL-REC-055"
    engineer = "The press {press} has a manifest already: entry {index}"


class NotAManifest(RecorderError):
    code = "PL-REC-056"
    engineer = "What was handed in is not a manifest: {why}"


class RefusalJournalFull(RecorderError):
    code = "PL-REC-060"
    operator = "The station cannot note any more refusals. Stop working and call the line engineer."
    engineer = "{waiting} refusals wait to be signed; at most {limit} are kept"
    action = "See to the signing gates: clock, token, enrolment."


class RefusalMissing(RecorderError):
    code = "PL-REC-061"
    engineer = "A journal record of the kind refusal names the refusal it is about"


class RefusalFieldWrong(RecorderError):
    code = "PL-REC-062"
    engineer = "The journal record is malformed: {why}"


class RefusalBatchWrong(RecorderError):
    code = "PL-REC-063"
    operator = "The station's signer gave a wrong answer. Call the line engineer."
    engineer = "The signer's batch of refusals is not what was asked for: {why}"


class RefusalJournalDiffers(RecorderError):
    code = "PL-REC-064"
    operator = "The station's evidence is damaged. Stop working and call the line engineer."
    engineer = "The refusal journal and the log disagree at record {n}: {why}"
    action = "Keep the storage as evidence."
