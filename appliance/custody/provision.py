"""Make a station's keys on a token: once, at enrolment, by hand; the signer itself never makes or removes a key.

    python -m appliance.custody.provision CONFIG.json

makes the keys that the signer's configuration names and prints them as `stations.json` wants them (purpose, algorithm,
public). A key that exists is left alone and refused by name.
"""

from __future__ import annotations

import json
import secrets
import sys
from pathlib import Path
from typing import Any

from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass
from pkcs11.exceptions import PKCS11Error
from pkcs11.util.ec import encode_named_curve_parameters

from appliance.custody import policy, token
from appliance.custody.errors import KeyExists, KeyKindWrong, PinRefused, TokenAbsent
from appliance.custody.token import Key, Token
from appliance.custody.token_config import KeyName, TokenConfig, parse, read_pin
from appliance.errors import ProoflineError
from appliance.evidence import base64_strict

_CURVES = {policy.P256: (KeyType.EC, "secp256r1"), policy.ED25519: (KeyType.EC_EDWARDS, "1.3.101.112")}
_GENERATORS = {policy.P256: Mechanism.EC_KEY_PAIR_GEN, policy.ED25519: Mechanism.EC_EDWARDS_KEY_PAIR_GEN}


def provision(config: TokenConfig, kinds: dict[str, str] | None = None) -> dict[str, Key]:
    """Make the configured keys and read them back through the policy. `kinds`: purpose -> algorithm, where not the
    policy's preferred one that the token can make. Raises a TokenError; KeyExists where one is there already."""
    found = token.find(config)
    slot_can = found.slot.get_mechanisms()
    try:
        session = found.open(rw=True, user_pin=read_pin(config.pin_file))
    except token.PIN_ERRORS as error:
        raise PinRefused(why=type(error).__name__) from None
    except PKCS11Error as error:
        raise TokenAbsent(wanted=str(config), found=token.say(error)) from None
    with session:
        for purpose, name in config.keys.items():
            if _there(session, name):
                raise KeyExists(purpose=purpose, wanted=str(name))
        for purpose, name in config.keys.items():
            _make(session, name, _choose(purpose, (kinds or {}).get(purpose), slot_can))
    opened = Token.open(config)
    try:
        return dict(opened.keys)
    finally:
        opened.close()


def _choose(purpose: str, wanted: str | None, can: set[Mechanism]) -> str:
    allowed = [kind for kind in policy.POLICY[purpose].kinds if kind in _CURVES and wanted in {None, kind}]
    for kind in allowed:
        if _GENERATORS[kind] in can:
            return kind
    raise KeyKindWrong(purpose=purpose, found=wanted or "nothing this token can make", expected=" or ".join(allowed))


def _there(session: Any, name: KeyName) -> bool:
    wanted: dict[Attribute, object] = {Attribute.CLASS: ObjectClass.PRIVATE_KEY}
    if name.label is not None:
        wanted[Attribute.LABEL] = name.label
    if name.id is not None:
        wanted[Attribute.ID] = name.id
    return any(True for _ in session.get_objects(wanted))


def _make(session: Any, name: KeyName, kind: str) -> None:
    key_type, curve = _CURVES[kind]
    parameters = session.create_domain_parameters(
        key_type, {Attribute.EC_PARAMS: encode_named_curve_parameters(curve)}, local=True
    )
    protections = {Attribute[name]: value for name, value in _asked().items()}
    parameters.generate_keypair(
        mechanism=_GENERATORS[kind],
        store=True,
        label=name.label,
        id=name.id or secrets.token_bytes(8),
        capabilities=MechanismFlag.SIGN | MechanismFlag.VERIFY,
        private_template=protections,
    )


def _asked() -> dict[str, bool]:
    """What may be asked for; LOCAL, ALWAYS_SENSITIVE and NEVER_EXTRACTABLE are the token's to say."""
    protections = {name: policy.PROTECTIONS[name] for name in ("SENSITIVE", "EXTRACTABLE", "PRIVATE")}
    return protections | {use: use == "SIGN" for use in policy.USES}


def as_station_keys(keys: dict[str, Key]) -> list[dict[str, str]]:
    """The keys as a line of `stations.json` names them (validity is for the release desk to add)."""
    return [
        {"purpose": key.purpose, "algorithm": key.algorithm, "public": base64_strict.encode(key.public)}
        for key in keys.values()
    ]


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    try:
        keys = provision(parse(Path(arguments[0]).read_bytes()))
    except (ProoflineError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(json.dumps(as_station_keys(keys), indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
