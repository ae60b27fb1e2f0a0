"""What the panel refuses. Codes `PL-PNL-NNN`.

- 001-009 a press, 010-019 and 024 a scan, 020-023 the line's reports, 030-039 the panel's own surroundings.
"""

from __future__ import annotations

from appliance.errors import ProoflineError


class PanelError(ProoflineError):
    """The panel refused what a person or the line did."""


class PressRefused(PanelError):
    """A press that started nothing. It is journalled all the same."""


class NotSignedIn(PressRefused):
    code = "PL-PNL-001"
    operator = "Nobody is signed in. Scan your badge, then press again."
    engineer = "A press without an operator's session: {why}."
    action = "Scan a badge that the roster knows."


class NoOrder(PressRefused):
    code = "PL-PNL-002"
    operator = "No work order is chosen. Scan the order's code, then press again."
    engineer = "A press by {operator_id} without a work order: {why}."
    action = "Scan ORDER:<id> or the order's barcode."


class StillWorking(PressRefused):
    code = "PL-PNL-003"
    operator = "The station is still working on the last unit. Wait for its verdict."
    engineer = "A press while press {unfinished} is unfinished."
    action = "Wait; if the lights do not change, call the line engineer."


class ScanUnreadable(PanelError):
    code = "PL-PNL-010"
    operator = "The scan could not be read. Scan again."
    engineer = "A scanned line is not 1 to {limit} printable characters: {why}."
    action = "Clean the code or check the scanner's settings (no prefix, new line as suffix)."


class BadgeUnknown(PanelError):
    code = "PL-PNL-011"
    operator = "This code is no known badge. Nobody is signed in."
    engineer = "SHA-256 {digest} of the scanned text is no badge of the staged roster."
    action = "Check that the person is in the roster that was last imported."


class BadgeNotValid(PanelError):
    code = "PL-PNL-012"
    operator = "This badge is not valid now. Call your lead."
    engineer = "{operator_id} is valid from {valid_from} until {valid_until}; the clock says {earliest} to {latest}."
    action = "Have the roster changed by the release desk."


class BadgeTimeUnknown(PanelError):
    code = "PL-PNL-013"
    operator = "The station does not know the time yet, so it cannot accept a badge."
    engineer = "The clock gives no bounds: {why}."
    action = "Wait for the clock; if it stays, check the NTP server."


class RoleMissing(PanelError):
    code = "PL-PNL-014"
    operator = "You may not do this. Call somebody who may."
    engineer = "{operator_id} has not the role {role} that {event} needs."
    action = "Sign in with a badge of that role."


class OrderUnknown(PanelError):
    code = "PL-PNL-015"
    operator = "The station does not know this work order."
    engineer = "Order {order} is not in the staged site."
    action = "Import the release desk's latest stick."


class OrderNotForHere(PanelError):
    code = "PL-PNL-016"
    operator = "This work order is not for this station."
    engineer = "Order {order} does not list station {station}."
    action = "Work on the station that the order names."


class EventNotPossible(PanelError):
    code = "PL-PNL-017"
    operator = "This cannot be done under the chosen work order."
    engineer = "Event {event} is not one of: {allowed}."
    action = "Check the code that was scanned, the work order and its product."


class NotAnAcknowledgement(PanelError):
    code = "PL-PNL-018"
    operator = "The line is stopped. Only a lead's badge starts it again."
    engineer = "The line is stopped since press {press}; a scan that is no lead's badge changes nothing."
    action = "Call a lead."


class LabelsComplete(PanelError):
    code = "PL-PNL-019"
    operator = "Every position has its label. Press, or scan LABELS:clear and begin again."
    engineer = "A label was scanned after those of all {positions} positions."
    action = "Press; or scan LABELS:clear, then the labels from position 1 on."


class LabelScannedTwice(PanelError):
    code = "PL-PNL-024"
    operator = "This label was scanned for another position already. Scan the next board's label."
    engineer = "Label {label} belongs to position {position} of the gang."
    action = "Scan the next label; or LABELS:clear, then the labels from position 1 on."


class PressUnknown(PanelError):
    code = "PL-PNL-020"
    operator = "Two parts of the station disagree about the last press. Call the line engineer."
    engineer = "There is no press {press}."
    action = "Compare the journals of panel and line."


class FinishedOtherwise(PanelError):
    code = "PL-PNL-021"
    operator = "Two parts of the station disagree about the last unit. Put it aside and call the line engineer."
    engineer = "Press {press} is finished as {verdict}; it cannot become {claimed}."
    action = "Compare the journals of panel and line with the log."


class PassUnproven(PanelError):
    code = "PL-PNL-022"
    operator = "The last unit has no proof. Put it aside and call the line engineer."
    engineer = "The line says that press {press} passed; the recorder says {verdict}."
    action = "Look at the log for this press. The line asks again by itself while the recorder is away."


class LineSilent(PanelError):
    code = "PL-PNL-023"
    operator = "The station has stopped working by itself. Put the unit aside and call the line engineer."
    engineer = "The line was not heard for {silent_ms} ms."
    action = "See whether the line service runs and what its journal says."


class ConfigWrong(PanelError):
    code = "PL-PNL-030"
    operator = "The panel is not set up properly. Call the line engineer."
    engineer = "{path}: {why}."
    action = "Correct the panel's configuration."


class ChipMissing(PanelError):
    code = "PL-PNL-032"
    operator = "The panel's button and lamps were not found. Call the line engineer."
    engineer = "There is no GPIO chip {label}; there is: {found}."
    action = "Check that the image is for this board and that its pin controller's driver is in it."


class PressJournalWrong(PanelError):
    code = "PL-PNL-031"
    operator = "The panel's records are damaged. Call the line engineer."
    engineer = "The press journal's record {at} does not follow from the ones before: {why}."
    action = "Keep the file: it is evidence. Another version of the panel may have written it."
