"""Why a boot is not good. Codes `PL-HLT-NNN`. Each is a cause inside the image; there are no others here."""

from __future__ import annotations

from appliance.errors import ProoflineError


class HealthError(ProoflineError):
    """This boot is not good."""

    operator = "The station's software is not in order. It goes back to the last good one by itself."
    action = "Report it with the journal; the update that brought this image must not be used."


class ServiceSilent(HealthError):
    code = "PL-HLT-001"
    engineer = "{role} did not answer within {patience_s} s: {why}."


class ServiceRestarted(HealthError):
    code = "PL-HLT-002"
    engineer = "{role} was started {count} times again while it was watched."


class WatchdogUnfed(HealthError):
    code = "PL-HLT-003"
    engineer = "{role} did not feed its watchdog within {patience_s} s."


class UnitFailed(HealthError):
    code = "PL-HLT-004"
    engineer = "{unit} is {state} ({result}), not active."


class SystemSilent(HealthError):
    code = "PL-HLT-005"
    engineer = "systemd does not say how the units are: {why}."


class SlotUnverified(HealthError):
    code = "PL-HLT-006"
    engineer = "The system is not read through verity: {why}."


class SlotUnreadable(HealthError):
    code = "PL-HLT-007"
    engineer = "{device} cannot be read at byte {at} of {size}: {why}."


class SlotError(ProoflineError):
    """Which slot starts next cannot be said or written."""

    operator = "The station does not know which of its two systems it runs. Call the line engineer."
    action = "Restart the station. If it says so again, write its card anew."


class SlotStateDamaged(SlotError):
    code = "PL-SLT-001"
    engineer = "A copy of the slot state is not one: {why}."


class SlotUnknown(SlotError):
    code = "PL-SLT-002"
    engineer = "Which slot runs is not known: {why}."


class SlotInUse(SlotError):
    code = "PL-SLT-003"
    engineer = "Slot {slot} runs: only the other one is ever written."


class SlotNotKept(SlotError):
    code = "PL-SLT-004"
    operator = "The station is still finding out whether its newest system is good. Wait a few minutes."
    engineer = "Slot {slot} runs and was not found good: the other slot may be needed and is not touched."
    action = "Wait until the health check has ended; if it ended badly, read the journal."


class SlotNotIntended(SlotError):
    code = "PL-SLT-005"
    operator = "The update was not installed. The station works on with what it has."
    engineer = "Slot {slot} holds a hash tree of {found}, and the image that was to be installed has {expected}."
    action = "Somebody changed the bundle while it was installed: report it with the journal."


class SlotRecordDamaged(SlotError):
    code = "PL-SLT-006"
    operator = "The station's record of its updates is damaged. Call the line engineer."
    engineer = "{path}: {why}."
    action = "Restore the state partition; a station without its floor could be taken back to an older system."
