"""The gate: looks at what is plugged in, decides, and makes the kernel's state follow the decision.

    gate = Gate(Usb(), board)
    gate.look()          # at the start, at every event of the kernel's, and from time to time besides

- `look` takes sysfs as it is and needs no memory to be right: it may be called at any time, and again. What was let in
  without the gate is put out and named, also an interface of a device that may stay.
- A device is let in first, then its wanted interfaces, each by itself; what it says of itself is read again in between,
  and must be the same; one that changed its story stays out until it is plugged in anew. Then the kernel is asked for
  the drivers of those interfaces.
- Nothing is let in on a bus that would let in the next one by itself. A root hub appears before udev's rules reach it:
  until then its bus is closed like any other that is not guarded, and that is no news for anybody.
- Each refusal is told once per device and reason; `known` is what the technician is shown.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass

from appliance.usbgate import descriptors, policy
from appliance.usbgate.errors import (
    BusUnguarded,
    DescriptorsChanged,
    KernelRefused,
    NotHandedOver,
    UsbError,
    WasAuthorized,
)
from appliance.usbgate.policy import Admitted, Board
from appliance.usbgate.sysfs import Usb

log = logging.getLogger("proofline.usbgate")

_GUARDS = ("authorized_default", "interface_authorized_default")


@dataclass(frozen=True, slots=True)
class Seen:
    """One device: where it is, what it says it is, and what was decided. `what` is empty where it is refused."""

    name: str
    place: str
    device: str
    what: str
    interfaces: tuple[str, ...]
    refusal: UsbError | None


class Gate:
    """See the module's text. Threads may share it."""

    def __init__(self, usb: Usb, board: Board | None) -> None:
        self._usb = usb
        self._board = board
        self._lock = threading.Lock()
        self._seen: dict[str, Seen] = {}
        self._told: dict[str, str] = {}
        self._unguarded: dict[str, UsbError] = {}
        self._barred: dict[str, str] = {}
        self._awaited: dict[str, str] = {}

    @property
    def known(self) -> tuple[Seen, ...]:
        """What is plugged in, as of the last look."""
        with self._lock:
            return tuple(self._seen.values())

    @property
    def guarded(self) -> bool:
        """Whether every bus waits for the gate."""
        with self._lock:
            return not self._unguarded

    def look(self) -> None:
        """Bring what the kernel lets in and what the gate decides into agreement. KernelRefused without USB."""
        with self._lock:
            self._unguarded = self._buses()
            present = self._usb.devices()
            for name in present:
                self._seen[name] = self._examine(name)
            for name in self._seen.keys() - set(present):
                del self._seen[name]
                self._told.pop(name, None)
                self._barred.pop(name, None)
                self._awaited.pop(name, None)
                log.info("%s is gone", name)

    def _buses(self) -> dict[str, UsbError]:
        unguarded: dict[str, UsbError] = {}
        for bus in self._usb.buses():
            if not self._usb.is_handed_over(bus):
                unguarded[bus] = NotHandedOver(name=bus)
                continue
            for attribute in _GUARDS:
                found = self._usb.attribute(bus, attribute)
                if found != "0":
                    unguarded[bus] = BusUnguarded(bus=bus, attribute=attribute, found=found)
                    self._tell(bus, unguarded[bus])
            if bus not in unguarded:
                self._told.pop(bus, None)
        return unguarded

    def _examine(self, name: str) -> Seen:
        place = what = ""
        try:
            where = self._usb.place(name)
            place = str(where)
            told = self._usb.descriptors(name)
            device = descriptors.parse(told)
            what = str(device)
            if (open_bus := self._unguarded.get(f"usb{name.partition('-')[0]}")) is not None:
                raise open_bus.with_traceback(None)
            if self._barred.get(name) == self._usb.attribute(name, "devnum"):
                raise DescriptorsChanged
            admitted = policy.decide(device, where, self._board)
            interfaces = self._admit(name, admitted, told)
        except UsbError as refusal:
            self._put_out(name, refusal)
            self._tell(name, refusal)
            return Seen(name, place, what, "", (), refusal)
        if self._told.get(name) != admitted.what:
            self._told[name] = admitted.what
            log.info("%s (%s at %s) is let in as %s", name, what, place, admitted.what)
        return Seen(name, place, what, admitted.what, interfaces, None)

    def _admit(self, name: str, admitted: Admitted, told: bytes) -> tuple[str, ...]:
        """Let the device in, and its wanted interfaces: those that are there and were handed to the gate by udev."""
        if self._usb.attribute(name, "authorized") != "1":
            self._authorize(name)
        if self._usb.descriptors(name) != told:
            self._barred[name] = self._usb.attribute(name, "devnum")
            raise DescriptorsChanged
        fresh: list[str] = []
        inside: list[str] = []
        for interface, number in sorted(self._usb.interfaces(name).items()):
            is_in = self._usb.attribute(interface, "authorized") == "1"
            if number not in admitted.interfaces:
                if is_in:
                    self._usb.authorize(interface, allow=False)
                    log.warning("%s", WasAuthorized(name=interface, because="it is not wanted."))
                continue
            if not is_in:
                try:
                    self._usb.authorize(interface, allow=True)
                except KernelRefused as not_yet:  # udev hands it over in a moment, and its event brings us back
                    log.debug("%s", not_yet)
                    continue
                fresh.append(interface)
            inside.append(interface)
        for interface in fresh:
            try:
                self._usb.probe(interface)
            except KernelRefused as no_driver:  # it is let in all the same: nobody speaks to it
                log.warning("%s: %s", interface, no_driver)
        return tuple(inside)

    def _authorize(self, name: str) -> None:
        """Let a device in. The event of another one may bring us here before udev has handed this one over; its own
        brings us back, and from then on a kernel that refuses is told."""
        try:
            self._usb.authorize(name, allow=True)
        except KernelRefused:
            devnum = self._usb.attribute(name, "devnum")
            if self._awaited.get(name) == devnum:
                raise
            self._awaited[name] = devnum
            raise NotHandedOver(name=name) from None

    def _put_out(self, name: str, refusal: UsbError) -> None:
        """A refused device is not let in; where something had let it in, that is taken back and told."""
        try:
            if self._usb.attribute(name, "authorized") == "0":
                return
            self._usb.authorize(name, allow=False)
        except KernelRefused as gone:
            log.debug("%s", gone)
            return
        log.warning("%s", WasAuthorized(name=name, because=str(refusal)))

    def _tell(self, name: str, refusal: UsbError) -> None:
        if isinstance(refusal, NotHandedOver):
            log.debug("%s: %s", name, refusal)
        elif self._told.get(name) != str(refusal):
            self._told[name] = str(refusal)
            log.warning("%s: %s", name, refusal)
