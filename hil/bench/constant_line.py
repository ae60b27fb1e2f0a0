"""The line service that asks a board under one and the same nonce every time, so that a recorded board can answer it.

Everything else is `python -m appliance.line`. For the bench only: the nonce is what tells a recorded answer from a real
one.
"""

from __future__ import annotations

from appliance.line import __main__ as line
from appliance.target import loader_runner, stub_runner


class _Constant:
    """In the place of `secrets`."""

    @staticmethod
    def token_bytes(count: int) -> bytes:
        return bytes(count)

    @staticmethod
    def randbits(count: int) -> int:
        return (1 << count) - 1


if __name__ == "__main__":
    for room in (loader_runner, stub_runner):
        setattr(room, "secrets", _Constant)  # noqa: B010  # see the module's description
    line.main()
