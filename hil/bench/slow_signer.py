"""The product's signer on a token that takes 100 ms a signature, as a USB token does."""

from __future__ import annotations

import time

from appliance.custody.service import main
from appliance.custody.token import Token

SLOWER_S = 0.1


class SlowToken(Token):
    """The real token, later."""

    def sign(self, purpose: str, message: bytes) -> bytes:
        time.sleep(SLOWER_S)
        return super().sign(purpose, message)


if __name__ == "__main__":
    main(SlowToken)
