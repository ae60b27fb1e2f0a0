"""Keys for bundles, made for a test and thrown away with it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

CODE_SIGNING = "codeSigning"


@dataclass(frozen=True)
class Signer:
    """A key and its self-signed certificate, both PEM."""

    key: Path
    cert: Path


def make_signer(folder: Path, name: str, *, purpose: str = CODE_SIGNING, days: int = 3650) -> Signer:
    """A signer whose certificate is for one purpose (OpenSSL's name of an extended key usage)."""
    folder.mkdir(parents=True, exist_ok=True)
    signer = Signer(folder / f"{name}.key", folder / f"{name}.pem")
    extensions = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,digitalSignature,keyCertSign"]
    extensions += [f"extendedKeyUsage={purpose}"]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", str(signer.key), "-out", str(signer.cert), "-days", str(days), "-subj", f"/CN={name}"]
    for one in extensions:
        command += ["-addext", one]
    subprocess.run(command, check=True, capture_output=True)
    return signer
