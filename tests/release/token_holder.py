"""A process that holds one person's token and signs what it is sent: nobody else's process ever has the key or the PIN.

`python -m tests.release.token_holder URI PIN`: prints the public key (hex DER), then answers hex lines with signatures.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from appliance.release.token import generate_key, open_key
from hil.release_desk import PIN, key_uri, make_token

ROOT = Path(__file__).parents[2]


class TokenHolder:
    """The `Key` of a person whose token sits in another process."""

    def __init__(self, conf: Path, label: str) -> None:
        make_token(conf, label)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.release.token_holder", key_uri(label), PIN],
            env={**os.environ, "SOFTHSM2_CONF": str(conf), "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        key = load_der_public_key(self._line())
        assert isinstance(key, EllipticCurvePublicKey)
        self.public: Final = key

    def sign(self, message: bytes) -> bytes:
        assert self._process.stdin
        self._process.stdin.write(message.hex() + "\n")
        self._process.stdin.flush()
        return self._line()

    def close(self) -> None:
        self._process.communicate(timeout=10)

    def _line(self) -> bytes:
        assert self._process.stdout
        return bytes.fromhex(self._process.stdout.readline())


def main(uri: str, pin: str) -> None:
    generate_key(uri, pin)
    with open_key(uri, pin) as key:
        print(key.public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo).hex(), flush=True)
        for line in sys.stdin:
            print(key.sign(bytes.fromhex(line)).hex(), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
