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
