"""The line service whose measurements ask under one and the same nonce, so that a recorded board can answer them.

Everything else is `python -m appliance.line`. For the bench only: the nonce is what tells a recorded answer from a real
one.
"""

from __future__ import annotations

from appliance.line import __main__ as line
from appliance.target import stub_runner


class _Constant:
    """In the place of `secrets`."""

    @staticmethod
    def token_bytes(count: int) -> bytes:
        return bytes(count)


if __name__ == "__main__":
    setattr(stub_runner, "secrets", _Constant)  # noqa: B010  # see the module's description
    line.main()
