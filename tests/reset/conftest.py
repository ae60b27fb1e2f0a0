"""The recorder's bench: real signer, real log."""

from tests.recorder.conftest import desk, hsm, keys, scratch

__all__ = ["desk", "hsm", "keys", "scratch"]
