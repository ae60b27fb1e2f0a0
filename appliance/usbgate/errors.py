"""What the USB gate refuses. Codes `PL-USB-NNN`.

- 001-009 what a device says of itself, 010-019 what is allowed where, 020-029 the kernel's side, 030-039 the gate's own
  configuration.
"""

from __future__ import annotations

from appliance.errors import ProoflineError


class UsbError(ProoflineError):
    """A device stays refused, or the gate cannot do its work."""

    operator = "The station does not accept what was plugged in. Pull it out."


class DescriptorsTooLong(UsbError):
    code = "PL-USB-001"
    engineer = "The device's descriptors have more than {limit} bytes."
    action = "Do not use this device: no stick needs so many."


class DescriptorsMalformed(UsbError):
    code = "PL-USB-002"
    engineer = "The device's descriptors, byte {at}: {why}."
    action = "Do not use this device: it breaks the USB specification, by defect or on purpose."


class DescriptorsChanged(UsbError):
    code = "PL-USB-003"
    engineer = "The device told other descriptors after it was let in than before."
    action = "Treat it as an attack unless somebody was testing: keep the device."


class PortClosed(UsbError):
    code = "PL-USB-010"
    engineer = "Nothing is allowed at {place}: {device} stays refused."
    action = "Use the intake port for a stick; other devices are not used by this station."


class NotAStick(UsbError):
    code = "PL-USB-011"
    engineer = "{device} at {place} has no mass-storage interface that a stick has (08/06/50): it has {found}."
    action = "Only a USB stick belongs into this port."


class MoreThanAStick(UsbError):
    code = "PL-USB-012"
    operator = "This stick is more than a stick. Pull it out and give it to the line engineer."
    engineer = "{device} at {place} has other interfaces beside storage: {found}."
    action = "Treat it as an attack unless somebody was testing: a stick that can type is no stick."


class NotOurOwn(UsbError):
    code = "PL-USB-013"
    engineer = "{device} is at {place}, where this board has {expected}."
    action = "Check which board this is; on the right one, the board was altered."


class BusUnguarded(UsbError):
    code = "PL-USB-020"
    operator = "The station's USB ports are not protected. Call the line engineer."
    engineer = "{bus} has {attribute}={found}, not 0: nothing on it is let in."
    action = "Check the kernel's command line (usbcore.authorized_default=0) and the udev rules of the image."


class KernelRefused(UsbError):
    code = "PL-USB-021"
    engineer = "{path}: {why}."
    action = "Check the udev rules of the image; if the device was just pulled out, nothing is to be done."


class WasAuthorized(UsbError):
    code = "PL-USB-022"
    operator = "Something was let in that should not have been. Pull it out and call the line engineer."
    engineer = "{name} was authorised without the gate, and is not any more: {because}"
    action = "Find out who authorised it: no program of the station does but the gate."


class NotHandedOver(UsbError):
    code = "PL-USB-023"
    operator = "The station's USB ports are still being prepared. Wait a moment."
    engineer = "{name} has not been through udev's rules yet: nothing of it is let in."
    action = "Wait; if it stays, look at systemd-udevd in the journal."


class ConfigWrong(UsbError):
    code = "PL-USB-030"
    operator = "The station's USB rules cannot be read. Call the line engineer."
    engineer = "{path}: {why}."
    action = "Reinstall the image: the rules are part of it."


class MachineUnknown(UsbError):
    code = "PL-USB-031"
    operator = "The station does not know its own USB ports. Call the line engineer."
    engineer = "This machine ({machine}) is none of {known}: every port stays closed."
    action = "Use an image for this board."
