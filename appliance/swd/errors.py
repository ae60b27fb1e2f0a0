"""Why the wire, or the pins behind it, could not be used.

- `PinSettingsError`: the settings do not describe a usable set of pins. Nothing was opened.
- `PinsError`: the pins themselves could not be taken, or were lost.
- `WireError`: the target's answers, or their absence. `access` and `word` count from 0 and say which transfer was
  refused; every word before it was acknowledged.
- `CaptureError`: a recording cannot be read.
"""

from __future__ import annotations

from appliance.errors import ProoflineError


class SwdError(ProoflineError):
    """Any refusal of this room."""

    operator = "The station cannot talk to the board. Call the line engineer."


class PinSettingsError(SwdError):
    """The settings of the pins are refused."""

    operator = "The station's pin settings are wrong. Call the line engineer."
    action = "Correct the station's settings at the release desk and promote them again."


class PinSettingsUnreadable(PinSettingsError):
    code = "PL-SWD-001"
    engineer = "The pin settings {path} cannot be read: {why}."


class PinSettingsMalformed(PinSettingsError):
    code = "PL-SWD-002"
    engineer = "Pin settings: {field} {why}."


class PinNumberWrong(PinSettingsError):
    code = "PL-SWD-003"
    engineer = "Pin set {name}: {pin} is {number}; this back end has lines 0 to {last}."


class PinUsedTwice(PinSettingsError):
    code = "PL-SWD-004"
    engineer = "Line {number} of {chip} is {first} and {second} at once."


class PinSetNamedTwice(PinSettingsError):
    code = "PL-SWD-005"
    engineer = "Two pin sets are called {name}."


class BackendUnknown(PinSettingsError):
    code = "PL-SWD-006"
    engineer = "Pin set {name}: there is no back end {kind}."


class PinSetMissing(PinSettingsError):
    code = "PL-SWD-007"
    engineer = "The pin settings have no set called {name}."


class PowerNotSwitched(PinSettingsError):
    code = "PL-SWD-008"
    engineer = "Pin set {name} does not switch the target's power, and a profile with a lock needs that."
    action = "Wire a load switch and name its line in the settings, or use another station for this product."


class PinsError(SwdError):
    """The pins cannot be worked."""

    action = "Look at the wiring and at the journal of the kernel; restart the station if the pins are held."


class PinsUnavailable(PinsError):
    code = "PL-SWD-020"
    engineer = "The pins behind {path} cannot be opened: {why}."


class PinsBusy(PinsError):
    code = "PL-SWD-021"
    engineer = "The pins behind {path} are in use by somebody else: {why}."


class OtherSoc(PinsError):
    code = "PL-SWD-022"
    engineer = "The settings say {expected}, this board's device tree says {actual}."
    action = "Correct soc in the pin settings: writing another family's registers would move other pins."


class PinsLost(PinsError):
    code = "PL-SWD-023"
    engineer = "The pins stopped working: {why}."


class LineMissing(PinsError):
    code = "PL-SWD-024"
    engineer = "This set of pins has no {line} line."


class SwoRateUnknown(PinsError):
    code = "PL-SWD-025"
    engineer = "The serial port on SWO cannot do {baud} baud; it knows {known}."
    action = "Ask for a rate that it knows; 115200 to 4000000 are usual."


class WireError(SwdError):
    """A transfer was not acknowledged, or its data arrived damaged."""

    operator = "The board does not answer as it should. Check how it sits in the fixture."
    action = "Look at the cable and its ground, then at the clock; `python -m appliance.swd.decode` shows a recording."


class TargetWaiting(WireError):
    code = "PL-SWD-040"
    engineer = "Access {access}, word {word}: WAIT until the budget was spent; the access was not performed."


class TargetFaulted(WireError):
    code = "PL-SWD-041"
    engineer = "Access {access}, word {word}: FAULT; not performed, and an access before it failed or arrived damaged."


class NobodyAnswers(WireError):
    code = "PL-SWD-042"
    engineer = "Access {access}, word {word}: nobody drives SWDIO; no target, no power, or it lost the protocol."


class LineHeldLow(WireError):
    code = "PL-SWD-043"
    engineer = "Access {access}, word {word}: SWDIO stays low; it is shorted, or somebody else drives it."


class AcknowledgeGarbled(WireError):
    code = "PL-SWD-044"
    engineer = (
        "Access {access}, word {word}: the acknowledgement {ack} does not exist; whether it was performed is open."
    )


class DataDamaged(WireError):
    code = "PL-SWD-045"
    engineer = "Access {access}, word {word}: read data had wrong parity, and again when asked for once more."


class LineStuck(WireError):
    code = "PL-SWD-046"
    engineer = "SWDIO reads {level} while the host drives the other level: it is shorted or fought over."


class Cancelled(WireError):
    code = "PL-SWD-047"
    operator = "The work on the board was stopped."
    engineer = "Stopped on request before access {access}, word {word}."
    action = "None; start anew when wanted."


class CaptureError(SwdError):
    """A recording cannot be shown."""

    operator = "The recording cannot be read."
    action = "Record it again, or name the signals as they are called in the file."


class CaptureMalformed(CaptureError):
    code = "PL-SWD-060"
    engineer = "The VCD file cannot be read at line {line}: {why}."


class SignalMissing(CaptureError):
    code = "PL-SWD-061"
    engineer = "The VCD file has no signal {name}."


class CaptureOverflowed(CaptureError):
    code = "PL-SWD-062"
    engineer = "More than {limit} events happened on the pins; the recording is incomplete and was dropped."
    action = "Record a shorter stretch, or with a higher limit."
