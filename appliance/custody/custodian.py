"""Who holds the token: opened once in a process, with the reason at hand where that did not work.

- A token that is missing, lost, or whose module fails: the process says so for a few seconds, then ends and is started
  afresh, because a PKCS#11 module notices a new token in a new process only.
- A refused PIN or a key that breaks the policy: the process stays and says so. Trying again would lock the token.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from appliance.custody.errors import ModuleUnusable, SignatureFalse, TokenAbsent, TokenError, TokenLost
from appliance.custody.token import Token

log = logging.getLogger("proofline.signer")

_SAY_FOR_S = 5.0
_LOOK_EVERY_S = 0.2
_FRESH_START = (ModuleUnusable, SignatureFalse, TokenAbsent, TokenLost)


class Custodian:
    """The token, or why there is none."""

    def __init__(self, open_token: Callable[[], Token]) -> None:
        self._token: Token | None = None
        self._fault: TokenError | None = None
        try:
            self._token = open_token()
        except TokenError as fault:
            log.warning("%s", fault)
            self._fault = fault

    def token(self) -> Token:
        """The open token. Raises the TokenError that opening it ended in, or TokenLost."""
        if self._token is None:
            assert self._fault is not None
            raise self._fault.with_traceback(None)  # one object for all calls: it must not collect their frames
        if self._token.lost.is_set():
            raise TokenLost(purpose="nothing", why="it was lost before")
        return self._token

    def healthy(self) -> bool:
        """Whether the module still comes back from its calls."""
        return self._token is None or not self._token.stuck()

    def watch(self, stopping: threading.Event) -> None:
        """Run beside the service; ends, with the reason, when the process has to start afresh."""
        while not stopping.wait(_LOOK_EVERY_S):
            if self._token is not None and self._token.lost.is_set():
                raise TokenLost(purpose="nothing", why="the process starts afresh")
            if isinstance(self._fault, _FRESH_START) and not stopping.wait(_SAY_FOR_S):
                raise self._fault
