"""The unit registry: a view of the log, and nothing but.

- `apply` folds one fact in and gives back a function that takes it out again, for an entry that did not reach the disk.
- What is asked here is what the log says if every staged entry becomes durable; who must not rely on that compares
  the index with the log's durable and covered sizes.
- A device's events form one chain: each manifest that names the device has the next sequence number and the digest of
  the one before.
- A reservation takes one unit of its order until it is concluded, and for good when it passes; a device that passed
  before takes none.
- A label belongs to the device it was reserved for, from the reservation on; it is free again when the reservation ends
  without an effect on the device.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field, replace
from typing import Any

from appliance.evidence.statement import FIRST_HEAD
from appliance.recorder.facts import Batch, Concluded, Device, Fact, Reserved

NO_EFFECT = frozenset({"refused", "aborted"})
"""Verdicts that say that the flash was not touched."""


@dataclass(frozen=True, slots=True)
class DeviceState:
    """What the log says of a device. `sequence`, `previous`: of its next event. `verdict`, `event`, `press`: of its
    last event with an effect. `open`: the press that has it reserved."""

    sequence: int = 0
    previous: str | None = None
    label: str | None = None
    verdict: str | None = None
    event: str | None = None
    press: str | None = None
    passed: bool = False
    open: str | None = None


@dataclass(frozen=True, slots=True)
class PressState:
    """What the log says of a press: the index of its reservation and of its manifest, and what the latter says.
    `reserved`: the reservation itself, while it is open."""

    reservation: int | None = None
    reserved: Reserved | None = None
    manifest: int | None = None
    digest: str | None = None
    verdict: str | None = None
    code: str | None = None
    label: str | None = None


@dataclass(frozen=True, slots=True)
class OrderState:
    """How much of an order is used up."""

    passed: int = 0
    open: int = 0


@dataclass(frozen=True, slots=True)
class JournalState:
    """How far the refusal journal is in the log: `count` records, chained to `head`; `index` of the last batch."""

    count: int = 0
    head: str = FIRST_HEAD
    index: int | None = None


@dataclass(slots=True)
class Registry:
    """The view. Its tables are read by anybody and changed by `apply` only."""

    devices: dict[Device, DeviceState] = field(default_factory=dict)
    presses: dict[str, PressState] = field(default_factory=dict)
    orders: dict[str, OrderState] = field(default_factory=dict)
    labels: dict[str, Device] = field(default_factory=dict)
    journalled: dict[str, int] = field(default_factory=dict)
    journal: dict[str, JournalState] = field(default_factory=lambda: {"": JournalState()})

    def device(self, device: Device) -> DeviceState:
        return self.devices.get(device, DeviceState())

    def press(self, press: str) -> PressState:
        return self.presses.get(press, PressState())

    def order(self, order: str) -> OrderState:
        return self.orders.get(order, OrderState())

    @property
    def committed(self) -> JournalState:
        return self.journal[""]

    def apply(self, index: int, fact: Fact) -> Callable[[], None]:
        """Fold in what entry `index` says; the result takes it out again (latest first, when several are)."""
        changes = _Changes()
        if isinstance(fact, Reserved):
            self._reserved(index, fact, changes)
        elif isinstance(fact, Concluded):
            self._concluded(index, fact, changes)
        else:
            self._batch(index, fact, changes)
        return changes.undo

    def _reserved(self, index: int, fact: Reserved, changes: _Changes) -> None:
        state = self.device(fact.device)
        changes.put(self.devices, fact.device, replace(state, open=fact.press))
        changes.put(self.presses, fact.press, PressState(reservation=index, reserved=fact, label=fact.label))
        if not state.passed:
            order = self.order(fact.order)
            changes.put(self.orders, fact.order, OrderState(order.passed, order.open + 1))
        if fact.label is not None:
            changes.put(self.labels, fact.label, fact.device)

    def _concluded(self, index: int, fact: Concluded, changes: _Changes) -> None:
        press = self.press(fact.press)
        outcome = PressState(
            reservation=press.reservation,
            manifest=index,
            digest=fact.digest,
            verdict=fact.verdict,
            code=fact.code,
            label=fact.label,
        )
        changes.put(self.presses, fact.press, outcome)
        if fact.device is None:
            return
        state = self.device(fact.device)
        if press.reserved is not None:
            following = self._closed(fact, press.reserved, state, changes)
        else:
            following = replace(state, sequence=fact.sequence + 1, previous=fact.digest)
        changes.put(self.devices, fact.device, following)

    def _closed(self, fact: Concluded, reserved: Reserved, state: DeviceState, changes: _Changes) -> DeviceState:
        """The device after the press that had it reserved."""
        if not state.passed:
            order = self.order(reserved.order)
            made = 1 if fact.verdict == "pass" else 0
            changes.put(self.orders, reserved.order, OrderState(order.passed + made, order.open - 1))
        if fact.verdict in NO_EFFECT:
            if reserved.label is not None and reserved.label != state.label:
                changes.drop(self.labels, reserved.label)
            return replace(state, sequence=fact.sequence + 1, previous=fact.digest, open=None)
        return DeviceState(
            sequence=fact.sequence + 1,
            previous=fact.digest,
            label=reserved.label,
            verdict=fact.verdict,
            event=fact.event,
            press=fact.press,
            passed=state.passed or fact.verdict == "pass",
        )

    def _batch(self, index: int, fact: Batch, changes: _Changes) -> None:
        for press in fact.presses:
            changes.put(self.journalled, press, index)
        changes.put(self.journal, "", JournalState(fact.last + 1, fact.head, index))


class _Changes:
    """Changes of tables, and their undoing."""

    def __init__(self) -> None:
        self._before: list[tuple[MutableMapping[Any, Any], Any, Any]] = []

    def put(self, table: MutableMapping[Any, Any], key: Any, value: object) -> None:
        self._before.append((table, key, table.get(key)))
        table[key] = value

    def drop(self, table: MutableMapping[Any, Any], key: Any) -> None:
        self._before.append((table, key, table.pop(key, None)))

    def undo(self) -> None:
        for table, key, value in reversed(self._before):
            if value is None:
                table.pop(key, None)
            else:
                table[key] = value
