"""What each of a station's keys must be. This table is the specification and the check alike.

| purpose    | kinds                      | may be used for | made by       |
|------------|----------------------------|-----------------|---------------|
| manifest   | ECDSA P-256, Ed25519       | signing only    | the token     |
| checkpoint | Ed25519, ECDSA P-256       | signing only    | the token     |
| device-ca  | ECDSA P-256                | signing only    | the token     |
| unwrap     | RSA of 3072 bits           | unwrapping only | the token     |

- Every key lives on the token, was made there (LOCAL), has always been SENSITIVE and NEVER_EXTRACTABLE.
- A use that the purpose does not name must be off; a token that does not know the use counts as off. A protection
  that the token does not report counts as missing.
- One key serves one purpose.
- Attributes do not prove hardware: model and serial of the token go into every manifest beside "satisfied".

Pure: reading a token is `appliance.custody.token`'s business. Source: PKCS#11 v3.1, 4.9 (private key attributes).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from appliance.custody.errors import KeyAttributeWrong, KeyKindWrong, KeyShared

P256 = "ecdsa-p256-sha256"
ED25519 = "ed25519"
RSA3072 = "rsa-3072"

PROTECTIONS: Mapping[str, bool] = {
    "TOKEN": True,
    "PRIVATE": True,
    "SENSITIVE": True,
    "ALWAYS_SENSITIVE": True,
    "EXTRACTABLE": False,
    "NEVER_EXTRACTABLE": True,
    "LOCAL": True,
}
USES = ("SIGN", "SIGN_RECOVER", "DECRYPT", "UNWRAP", "DERIVE")
ATTRIBUTES = (*PROTECTIONS, *USES)


@dataclass(frozen=True)
class KeyPolicy:
    """`kinds`: allowed kinds, the preferred one first; `use`: the one use that is on."""

    purpose: str
    kinds: tuple[str, ...]
    use: str


POLICY: Mapping[str, KeyPolicy] = {
    policy.purpose: policy
    for policy in (
        KeyPolicy("manifest", (P256, ED25519), "SIGN"),
        KeyPolicy("checkpoint", (ED25519, P256), "SIGN"),
        KeyPolicy("device-ca", (P256,), "SIGN"),
        KeyPolicy("unwrap", (RSA3072,), "UNWRAP"),
    )
}
NEEDED = ("manifest", "checkpoint")
"""The purposes without which a station cannot work."""


def check(purpose: str, kind: str, attributes: Mapping[str, bool | None]) -> None:
    """Refuse a key that is not what the table says. `attributes`: by name as in `ATTRIBUTES`, None where the token
    does not report it. Raises KeyKindWrong or KeyAttributeWrong."""
    policy = POLICY[purpose]
    if kind not in policy.kinds:
        raise KeyKindWrong(purpose=purpose, found=kind, expected=" or ".join(policy.kinds))
    for name, expected in PROTECTIONS.items():
        _expect(purpose, name, attributes.get(name), expected)
    for use in USES:
        found = attributes.get(use)
        if found is not None or use == policy.use:
            _expect(purpose, use, found, use == policy.use)


def check_distinct(keys: Mapping[str, bytes]) -> None:
    """Refuse one public key (purpose -> DER SPKI) under two purposes. Raises KeyShared."""
    seen: dict[bytes, str] = {}
    for purpose, public in keys.items():
        other = seen.setdefault(public, purpose)
        if other != purpose:
            raise KeyShared(first=other, second=purpose)


def _expect(purpose: str, name: str, found: bool | None, expected: bool) -> None:  # noqa: FBT001  # values, not options
    if found is not expected:
        raise KeyAttributeWrong(
            purpose=purpose,
            attribute=name,
            found="not reported" if found is None else found,
            expected=expected,
        )
