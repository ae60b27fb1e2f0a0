"""Brings one of our stubs into the target's RAM, and makes sure that it arrived."""

from __future__ import annotations

from functools import cache
from importlib import resources

from appliance.target.boards.profile import StubProfile
from appliance.target.errors import DebuggerFault
from appliance.target.link import Link


@cache
def blob(name: str) -> bytes:
    """The stub's code, whole words."""
    code = resources.files("appliance.target.stub").joinpath(name).read_bytes()
    return code + bytes(-len(code) % 4)


def place(link: Link, stub: StubProfile, mailbox: bytes, stage: str) -> range:
    """Writes code and mailbox and reads both back; the addresses of the code.

    Code that lost a bit on the wire might do anything. Raises `DebuggerFault`.
    """
    code = blob(stub.blob)
    for address, data in ((stub.load_address, code), (stub.mailbox, mailbox)):
        link.write(address, data)
        if link.read(address, len(data)) != data:
            raise DebuggerFault(stage=stage, reason=f"RAM at {address:#010x} does not hold what was written there")
    return range(stub.load_address, stub.load_address + len(code))
