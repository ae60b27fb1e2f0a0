"""What the other services told the signer, as frozen data: the raw material of gates and manifests.

Each constructor takes a Varlink reply that the interface has already checked, and refuses what contradicts itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from appliance.custody.errors import ClockUnusable, PressContradicted
from appliance.errors import from_record
from appliance.evidence.label import canonical_digest
from appliance.verify.site_times import Interval, parse_time


@dataclass(frozen=True)
class Press:
    """A press record (docs/contracts.md, 3.1) as the panel keeps it."""

    press: str
    order: str
    event: str
    label: str | None
    operator: str
    method: str
    boot_id: str
    monotonic_ms: int
    digest: str
    finished: bool

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Press:
        """The press in a reply of panel.DescribePress. Raises PressContradicted."""
        operator = {"id": record["operator"]["id"], "method": record["operator"]["method"]}
        names = ("press", "order", "event", "label", "boot_id", "monotonic_ms")
        given: dict[str, Any] = {name: record.get(name) for name in names}
        document = {"schema": 1, "operator": operator} | given
        if record.get("position") is not None:  # only a gang's presses have one
            document["position"] = record["position"]
        if canonical_digest(document) != record["digest"]:
            raise PressContradicted(press=record["press"])
        return cls(
            **given,
            operator=operator["id"],
            method=operator["method"],
            digest=record["digest"],
            finished=record["finished"],
        )


@dataclass(frozen=True)
class Reservation:
    """What the recorder reserved for a press. `digest`: of the log entry at `index`."""

    index: int
    digest: str
    press: str
    order: str
    event: str
    sequence: int
    previous: str | None
    part: str
    uid: str
    label: str | None
    open: bool

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Reservation:
        device = record["device"]
        names = ("index", "digest", "press", "order", "event", "sequence", "previous", "label", "open")
        given: dict[str, Any] = {name: record.get(name) for name in names}
        return cls(**given, part=device["part"], uid=device["uid"])


@dataclass(frozen=True)
class History:
    """Where a device's next event stands in the device's chain of manifests."""

    sequence: int
    previous: str | None


@dataclass(frozen=True)
class Tally:
    """Units of an order: passed, and reserved but not closed, without the press that is being asked about. `signed`:
    passes that the signer itself put its name to, likewise."""

    passed: int
    open: int
    signed: int


@dataclass(frozen=True)
class Time:
    """True time lies in `at`; `width_us` is what the clock measured, before any floor cut it."""

    status: str
    at: Interval
    width_us: int
    sources: tuple[str, ...]

    @classmethod
    def of(cls, verdict: Mapping[str, Any]) -> Time:
        """The time in a reply of clock.Read. Raises the clock's own refusal, or ClockUnusable."""
        refusal = verdict.get("refusal")
        if refusal is not None:
            raise from_record(refusal)
        status = verdict["status"]
        earliest, latest = (parse_time(verdict.get(name) or "") for name in ("earliest", "latest"))
        if status not in {"Synchronized", "FreeRunning"} or earliest is None or latest is None or latest < earliest:
            raise ClockUnusable(status=status)
        if verdict.get("plausible") is False:
            raise ClockUnusable(status=f"{status}, but an independent sample disagrees")
        return cls(status, Interval(earliest, latest), verdict.get("width_us") or 0, tuple(verdict["sources"]))


@dataclass(frozen=True)
class Observations:
    """What the line saw: everything in a manifest that comes from the line, and nothing else."""

    verdict: str
    refusal: Mapping[str, Any] | None
    device: Mapping[str, Any] | None
    measurement: Mapping[str, Any] | None
    probe: Mapping[str, Any]
    stages: tuple[Mapping[str, Any], ...]
    digest: str

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Observations:
        """The observations in a call of SignManifest; `digest` tells the same from others."""
        names = ("verdict", "refusal", "device", "measurement", "probe")
        seen: dict[str, Any] = {name: record.get(name) for name in names}
        stages = [{"name": stage["name"], "us": stage["us"]} for stage in record["stages"]]
        refusal = seen["refusal"]
        # A refusal's sentences for people are not part of what was observed; its code and details' sentence are.
        counted = seen | {"stages": stages, "refusal": refusal and [refusal["code"], refusal["engineer"]]}
        return cls(**seen, stages=tuple(stages), digest=canonical_digest(counted))
