"""The line's side of its conversations: what the gates say, what is owed, how it waits."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

from appliance.errors import ProoflineError, from_record
from appliance.ipc import Client
from appliance.ipc.errors import IpcError
from appliance.line.journal import UnitJournal

_RETRY_S = 0.3
_MAX_SENTENCE = 1_000
_HAS_MANIFEST = "PL-REC-055"


class Stopping(Exception):
    """The service is told to stop; what is unfinished is found by the next start."""


@dataclass(frozen=True, slots=True)
class Gates:
    """`signing`: a manifest can be made now, if only one that refuses; `recording`: the recorder knows of nothing in
    the way; `closed`: why not to go on, the first to be mended first."""

    signing: bool
    recording: bool
    closed: tuple[ProoflineError, ...]


class Peers:
    """Signer, recorder and panel, as the line talks to them. Threads may share it."""

    def __init__(self, signer: Client, recorder: Client, panel: Client, stopping: threading.Event) -> None:
        self.signer = signer
        self.recorder = recorder
        self.panel = panel
        self.stopping = stopping
        self._paying = threading.Lock()

    def pause(self) -> None:
        """Wait a moment before asking again. Raises Stopping."""
        if self.stopping.wait(_RETRY_S):
            raise Stopping

    def gates(self, press: str | None) -> Gates:
        """What signer and recorder say; a silent one is a closed gate, and nothing can be signed without it."""
        closed: list[ProoflineError] = []
        replies: list[dict[str, Any]] = []
        for client in (self.signer, self.recorder):
            try:
                reply = client.call("Gates", press=press)
            except ProoflineError as error:
                reply = {"closed": [error.as_record()]}
            replies.append(reply)
            closed += [from_record(one) for one in reply["closed"]]
        signer, recorder = replies
        return Gates(signer.get("signing", False) and "open" in recorder, recorder.get("open", False), tuple(closed))

    def outcome(self, press: str) -> dict[str, Any]:
        """What the log says of a press; asked until the recorder answers."""
        while True:
            try:
                return self.recorder.call("PressOutcome", press=press)
            except IpcError:
                self.pause()

    def has_reservation(self, press: str) -> bool:
        """Whether the recorder has a reservation for a press; asked until it answers."""
        while True:
            try:
                return self.recorder.call("DescribeReservation", press=press).get("reservation") is not None
            except IpcError:
                self.pause()

    def pay(self, journal: UnitJournal) -> None:
        """Hand what is owed to the recorder's journal, once; what it does not take stays owed."""
        with self._paying:
            for owed in journal.owed:
                try:
                    # A refusal that was sent before a crash is not sent twice; a second line_stop would tell no lie.
                    if owed.kind != "refusal" or not self.recorder.call("PressOutcome", press=owed.press)["journalled"]:
                        self.recorder.call("JournalRefusal", kind=owed.kind, press=owed.press, refusal=owed.refusal)
                except IpcError:
                    return
                except ProoflineError as refusal:
                    if refusal.code != _HAS_MANIFEST:  # the manifest whose Append we never heard of is the press's end
                        continue
                journal.paid(owed)

    def commit(self) -> None:
        """Have journalled refusals signed and logged, when there are any and the gates are open."""
        try:
            state = self.recorder.call("Describe")
            if state["journal"] > state["journal_committed"] and self.gates(None).signing:
                self.recorder.call("CommitRefusals")
        except ProoflineError:
            return  # they stay in the recorder's journal; the next quiet moment tries again


def as_wire(refusal: ProoflineError) -> dict[str, Any]:
    """The refusal as it goes to other services and into manifests: one line, bounded."""
    record = dict(refusal.as_record())
    sentence = " ".join(str(record["engineer"]).split())
    record["engineer"] = "".join(c for c in sentence if c.isprintable())[:_MAX_SENTENCE]
    return record
