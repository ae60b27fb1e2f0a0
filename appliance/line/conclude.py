"""From observations to a verdict that a person sees: signed, logged, or journalled; then finished.

- The observations are journalled before the signer is asked, so that a restart asks for the very same manifest.
- A unit that may be reserved waits here, heard by the panel as `waiting`, until signer and recorder have done their
  part. One that is not goes into the refusal journal at once, and stays owed while even that is not to be had.
- Before anything is sent again, the recorder is asked what it has.
"""

from __future__ import annotations

from typing import Any

from appliance.errors import ProoflineError
from appliance.ipc.errors import IpcError
from appliance.line.cycle import Cycle, Stage
from appliance.line.errors import EvidenceRefused
from appliance.line.journal import Owed
from appliance.line.peers import as_wire
from appliance.line.unit import Shop

_NOT_YET_CHECKPOINTED = "PL-REC-004"
_LAST_WORD = 3
_PANEL_HAS_ITS_OWN_END = frozenset({"PL-PNL-020", "PL-PNL-021"})


class Conclusion:
    """One unit's evidence and end."""

    def __init__(
        self, shop: Shop, press: str, cycle: Cycle, observations: dict[str, Any], *, signing: bool, recovered: bool
    ) -> None:
        self._shop = shop
        self._press = press
        self._cycle = cycle
        self._observations = observations
        self._signing = signing
        self._recovered = recovered
        self._envelope = ""
        self._open_refusals = 0

    def run(self) -> None:
        """Take the cycle from `sign` (or `finish`) to `done`. Raises Stopping."""
        cycle = self._cycle
        if cycle.stage is Stage.SIGN:
            self._shop.journal.observed(self._press, self._observations, stop=cycle.stop)
            if not self._signing and not cycle.may_be_reserved:
                cycle.unsigned()
        while cycle.stage is not Stage.FINISH:
            self._shop.pulse.at(self._press, cycle.stage.value)
            match cycle.stage:
                case Stage.SIGN:
                    self._sign()
                case Stage.APPEND:
                    self._append()
                case _:
                    self._journal("refusal")
                    cycle.journalled()
        if cycle.stop:
            self._journal("line_stop")
        self._finish()
        cycle.finished()
        self._shop.journal.done(self._press)
        self._shop.pulse.end(self._press)

    def _sign(self) -> None:
        try:
            reply = self._shop.peers.signer.call("SignManifest", press=self._press, observations=self._observations)
        except ProoflineError as error:
            if not self._cycle.may_be_reserved:
                self._cycle.unsigned()
            elif self._will_come(error):
                self._wait()
            else:
                self._refused("signer", error)
        else:
            self._open_refusals = 0
            self._envelope = reply["envelope"]
            self._cycle.signed()

    def _append(self) -> None:
        cycle = self._cycle
        try:
            self._shop.peers.recorder.call("Append", envelope=self._envelope)
        except ProoflineError as error:
            logged = self._logged()
            if logged is not None:
                cycle.appended(logged)
            elif error.code == _NOT_YET_CHECKPOINTED or (cycle.may_be_reserved and self._will_come(error)):
                self._wait()
            elif cycle.may_be_reserved:
                self._refused("recorder", error)
            else:
                cycle.unsigned()
        else:
            assert cycle.verdict is not None
            cycle.appended(cycle.verdict)

    def _logged(self) -> str | None:
        """The verdict that the log has for this press; None also where the recorder does not answer."""
        try:
            verdict = self._shop.peers.recorder.call("PressOutcome", press=self._press)["verdict"]
        except ProoflineError:
            return None
        return None if verdict is None else str(verdict)

    def _will_come(self, error: ProoflineError) -> bool:
        """Whether asking again later makes sense: somebody is away, or a gate is closed for everybody. A gate may open
        between two questions, so one refusal with open gates is not yet the last word."""
        if isinstance(error, IpcError):
            return True
        gates = self._shop.peers.gates(None)
        if not (gates.signing and gates.recording):
            self._open_refusals = 0
            return True
        self._open_refusals += 1
        return self._open_refusals < _LAST_WORD

    def _refused(self, service: str, error: ProoflineError) -> None:
        refusal = EvidenceRefused(service=service, why=str(error))
        self._open_refusals = 0
        self._cycle.evidence_refused(refusal)
        self._observations = {
            **self._observations,
            "verdict": self._cycle.verdict,
            "refusal": as_wire(self._cycle.refusal or refusal),
        }
        if self._cycle.stage is Stage.SIGN:
            self._shop.journal.observed(self._press, self._observations, stop=self._cycle.stop)

    def _journal(self, kind: str) -> None:
        assert self._cycle.refusal is not None
        self._shop.journal.owe(Owed(kind, self._press, as_wire(self._cycle.refusal)))
        self._shop.peers.pay(self._shop.journal)

    def _wait(self) -> None:
        self._shop.pulse.at(self._press, "waiting")
        self._shop.peers.pause()

    def _finish(self) -> None:
        cycle = self._cycle
        while True:
            try:
                self._shop.peers.panel.call(
                    "Finish",
                    press=self._press,
                    verdict=cycle.verdict,
                    refusal=None if cycle.refusal is None else as_wire(cycle.refusal),
                    stop=cycle.stop,
                    recovered=self._recovered,
                )
            except ProoflineError as error:
                if error.code in _PANEL_HAS_ITS_OWN_END:
                    return  # it showed an end of its own, which is never a green one of ours
                self._wait()  # away, or not yet convinced that there is a proof
            else:
                return
