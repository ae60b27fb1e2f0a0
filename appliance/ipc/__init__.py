"""How the station's services speak with each other: Varlink over Unix sockets.

A small implementation of our own rather than the PyPI library: see docs/decisions/0001-varlink.md.
"""

from appliance.ipc.client import Client, interface_of
from appliance.ipc.errors import CallInterrupted, ServiceUnavailable
from appliance.ipc.service import Caller, Service, serve

__all__ = ["CallInterrupted", "Caller", "Client", "Service", "ServiceUnavailable", "interface_of", "serve"]
