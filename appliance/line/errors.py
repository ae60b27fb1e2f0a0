"""What the line itself says no to. Codes `PL-LIN-NNN`; refusals of other rooms go into the manifest as they came.

- 001-009 before a device is touched, 010-019 what was measured, 020-029 what was found after a restart, 030-039 the
  line's own surroundings.
"""

from __future__ import annotations

from appliance.errors import ProoflineError


class LineError(ProoflineError):
    """The line refused a unit, or says how it ended."""


class LineStopped(LineError):
    code = "PL-LIN-001"
    operator = "The line is stopped. A lead must scan their badge first."
    engineer = "A press while the line is stopped; nothing was done to the board."
    action = "Find out why the line stopped, then let a lead acknowledge at the panel."


class PolicyNotSupported(LineError):
    code = "PL-LIN-002"
    operator = "This station cannot make this product yet. Call the line engineer."
    engineer = "The profile of {sku} asks for {what} {policy}; this version provides none."
    action = "Make the product on a station whose version provides it."


class FirmwareNotAllowed(LineError):
    code = "PL-LIN-003"
    operator = "This release cannot be used. Call the line engineer."
    engineer = "The firmware of {sku} {version} is not what its allowlist says: {why}."
    action = "Have the release desk promote the release again; do not edit the file."


class UnitReturned(LineError):
    code = "PL-LIN-004"
    operator = "The return is recorded. The board was not changed; hand it to rework."
    engineer = "The event return identifies and records the device; it is no verdict on its content."
    action = "Decide on a rework or on scrap."


class UnitScrapped(LineError):
    code = "PL-LIN-005"
    operator = "The scrapping is recorded. The board must not leave."
    engineer = "The event scrap identifies and records the device; its flash was not changed."
    action = "Destroy the board as the site's rule says."


class PositionUnknown(LineError):
    code = "PL-LIN-006"
    operator = "The station's fixture was set up anew. Press again."
    engineer = "A press for position {position} (None: a single fixture); the settings have {positions} positions."
    action = "Press again; if it stays, compare the station's settings with its fixture."


class FlashNotAsApproved(LineError):
    code = "PL-LIN-010"
    operator = "The board does not hold what it should. Put it aside."
    engineer = "The measurement deviates: {why}."
    action = "Hand the board to rework; if it happens again, have the fixture and the supply checked."


class EvidenceRefused(LineError):
    code = "PL-LIN-011"
    operator = "There is no proof for this board. Put it into quarantine."
    engineer = "All gates are open, yet {service} refuses the evidence: {why}."
    action = "Compare the journals of line, signer and recorder for this press."


class FoundInterrupted(LineError):
    code = "PL-LIN-020"
    operator = "Work on this board was interrupted. Put it into quarantine."
    engineer = "The line found this press unfinished when it started; it had come as far as {stage}."
    action = "A rework erases and programs all of it."


class FoundUntouched(LineError):
    code = "PL-LIN-021"
    operator = "The station restarted before it did anything to this board. Press again."
    engineer = "The line found this press unfinished when it started; no device was reserved for it."
    action = "Press again."


class LineJournalWrong(LineError):
    code = "PL-LIN-030"
    operator = "The station's records are damaged. Call the line engineer."
    engineer = "The unit journal's record {at} does not follow from the ones before: {why}."
    action = "Keep the file: it is evidence. Another version of the line may have written it."
