"""What can go wrong between two processes of the station."""

from __future__ import annotations

from appliance.errors import ProoflineError


class IpcError(ProoflineError):
    """A call between two services did not come about."""


class ServiceUnavailable(IpcError):
    code = "PL-IPC-001"
    operator = "Part of the station is not answering. Wait a minute, then call the line engineer."
    engineer = "No connection to {service}: {why}."
    action = "Check that the service runs (systemctl status) and what its journal says."


class CallInterrupted(IpcError):
    code = "PL-IPC-002"
    operator = "Part of the station stopped in the middle of its work. Wait for the lights."
    engineer = "The connection to {service} broke after {verb} was sent: {why}. Its outcome is unknown."
    action = "Nothing to do by hand: the caller asks for the outcome when the service is back."


class CallerNotAllowed(IpcError):
    code = "PL-IPC-003"
    operator = "A part of the station asked for something it may not have. Call the line engineer."
    engineer = "{role} (uid {uid}) may not call {verb}."
    action = "Treat it as an intrusion unless somebody was testing: no service asks for a verb it may not call."


class UnknownCaller(IpcError):
    code = "PL-IPC-004"
    operator = "A program that is not part of the station spoke to it. Call the line engineer."
    engineer = "uid {uid} is no role of this station and may not call {verb}."
    action = "Find out which program runs under that uid."


class UnknownVerb(IpcError):
    code = "PL-IPC-005"
    operator = "Two parts of the station are of different versions. Call the line engineer."
    engineer = "{verb} is not a method of {interface}."
    action = "Check that every service comes from one image."


class BadMessage(IpcError):
    code = "PL-IPC-006"
    operator = "Two parts of the station do not understand each other. Call the line engineer."
    engineer = "Not a message: {why}."
    action = "Check that every service comes from one image."


class BadArguments(IpcError):
    code = "PL-IPC-007"
    operator = "Two parts of the station do not understand each other. Call the line engineer."
    engineer = "{verb}: {field}: {why}."
    action = "Compare the call with the interface (varlinkctl introspect)."


class MessageTooLarge(IpcError):
    code = "PL-IPC-008"
    operator = "Two parts of the station do not understand each other. Call the line engineer."
    engineer = "A message of more than {limit} bytes."
    action = "Find out which program sent it; no service of ours does."


class InterfaceMalformed(IpcError):
    code = "PL-IPC-009"
    operator = "The station's software is damaged. Call the line engineer."
    engineer = "Interface description, near {near}: {why}."
    action = "Reinstall the image."
