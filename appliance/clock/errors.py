"""Why the station's time must not be relied on. Codes `PL-CLK-001` to `PL-CLK-099`."""

from __future__ import annotations

from appliance.errors import ProoflineError


class ClockError(ProoflineError):
    """The time is not known well enough, or not at all."""

    operator = "The station's clock is not certain. Nothing can be signed now: wait, then call the line engineer."


class ChronyUnreachable(ClockError):
    code = "PL-CLK-001"
    engineer = "chronyd did not answer: {why}"
    action = "Check that chronyd runs and that its command socket is the one in the clock's configuration."


class ChronyUnreadable(ClockError):
    code = "PL-CLK-002"
    engineer = "chronyc's {report} is not understood, field {field}: {text}"
    action = "Check the version of chrony; this program reads the CSV reports of chrony 4."


class ClockUnsynchronised(ClockError):
    code = "PL-CLK-003"
    engineer = "chronyd has never been synchronised in this run (leap status {leap}, stratum {stratum})."
    action = "Check the time servers and the network; `chronyc sources` tells which answer."


class StratumImplausible(ClockError):
    code = "PL-CLK-004"
    engineer = "The reference is at stratum {stratum}; 1 to {limit} are accepted."
    action = "Check which server chronyd follows (`chronyc tracking`)."


class ClockJumped(ClockError):
    code = "PL-CLK-005"
    engineer = "The system clock jumped by {jump_us} us, and chronyd has taken no measurement since."
    action = "Find out who set the clock. It mends itself with the next measurement that agrees with earlier ones."


class StationSuspended(ClockError):
    code = "PL-CLK-006"
    engineer = "The station was suspended for {suspended_us} us, and chronyd has taken no measurement since."
    action = "Wait for the next measurement; a station should not be suspended at all."


class ClockInconsistent(ClockError):
    code = "PL-CLK-007"
    operator = "The time servers tell another time than before. Stop working and call the line engineer."
    engineer = (
        "The interval lies {gap_us} us outside of what earlier readings and a crystal within {crystal_ppm} ppm allow."
    )
    action = (
        "Find out which time is right. Mend a lying server; where the earlier time was the lie, restart the station."
    )


class ClockBeforeFloor(ClockError):
    code = "PL-CLK-008"
    engineer = "The latest possible time, {latest}, is before {floor}, which is certainly past."
    action = "Check the time servers: they are telling the past."


class SampleMissing(ClockError):
    code = "PL-CLK-009"
    engineer = "No plausibility sample from {server} in the last {max_age_s} s: {why}"
    action = "Check that the server in the clock's configuration answers SNTP."


class SampleImplausible(ClockError):
    code = "PL-CLK-010"
    operator = "Two sources of time disagree. Stop working and call the line engineer."
    engineer = "The sample from {server} lies {gap_us} us outside of chronyd's interval."
    action = "Find out which of the two servers lies."


class ClockConfigWrong(ClockError):
    code = "PL-CLK-011"
    operator = "The station's clock is not set up. Call the line engineer."
    engineer = "The clock's configuration, {field}: {why}"
    action = "Correct the file that PROOFLINE_CLOCK_CONFIG names."


class ClockStateDamaged(ClockError):
    code = "PL-CLK-012"
    operator = "The station's clock has lost its memory. Call the line engineer."
    engineer = "The clock's state file is not what this program wrote: {why}"
    action = "Keep the file for the investigation, check the storage, then remove it."


class WidthUnusable(ClockError):
    code = "PL-CLK-013"
    engineer = "The interval is {width_us} us wide; beyond {limit_us} us it says nothing."
    action = "Check the time servers; their own claimed uncertainty is part of the width."
