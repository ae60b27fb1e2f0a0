"""Makes keys of every quality on a SoftHSM token, as JSON on standard input asks for them (its own process: a PKCS#11
module is configured once in a process).

    {"module", "label", "pin", "keys": [{"label", "id", "curve", "private": {ATTRIBUTE: bool}, "imported": bool,
      "public": bool}]}
"""

from __future__ import annotations

import json
import sys
from typing import Any

import pkcs11
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass
from pkcs11.util.ec import encode_named_curve_parameters

PROTECTED = {"SENSITIVE": True, "EXTRACTABLE": False, "PRIVATE": True}
SIGNS_ONLY = {"SIGN": True, "SIGN_RECOVER": False, "DECRYPT": False, "UNWRAP": False, "DERIVE": False}


def make(session: Any, wanted: dict[str, Any]) -> None:
    identity = bytes.fromhex(wanted["id"])
    private = {Attribute[name]: value for name, value in {**PROTECTED, **SIGNS_ONLY, **wanted["private"]}.items()}
    if wanted["curve"] == "rsa":
        session.generate_keypair(
            KeyType.RSA, 2048, store=True, label=wanted["label"], id=identity, private_template=private
        )
        return
    kind = KeyType.EC_EDWARDS if wanted["curve"] == "1.3.101.112" else KeyType.EC
    parameters = encode_named_curve_parameters(wanted["curve"])
    if wanted["imported"]:
        number = generate_private_key(SECP256R1()).private_numbers().private_value
        session.create_object(
            {
                Attribute.CLASS: ObjectClass.PRIVATE_KEY,
                Attribute.KEY_TYPE: kind,
                Attribute.TOKEN: True,
                Attribute.LABEL: wanted["label"],
                Attribute.ID: identity,
                Attribute.EC_PARAMS: parameters,
                Attribute.VALUE: number.to_bytes(32),
                **private,
            }
        )
        return
    domain = session.create_domain_parameters(kind, {Attribute.EC_PARAMS: parameters}, local=True)
    mechanism = Mechanism.EC_EDWARDS_KEY_PAIR_GEN if kind is KeyType.EC_EDWARDS else Mechanism.EC_KEY_PAIR_GEN
    public, _private = domain.generate_keypair(
        mechanism=mechanism, store=True, label=wanted["label"], id=identity, private_template=private
    )
    if not wanted["public"]:
        public.destroy()


def main() -> None:
    asked = json.load(sys.stdin)
    token = pkcs11.lib(asked["module"]).get_token(token_label=asked["label"])
    with token.open(rw=True, user_pin=asked["pin"]) as session:
        for wanted in asked["keys"]:
            make(session, {"curve": "secp256r1", "private": {}, "imported": False, "public": True, **wanted})


if __name__ == "__main__":
    main()
