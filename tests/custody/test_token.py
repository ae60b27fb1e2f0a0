"""Tokens and keys that are not what the policy says; a token that goes while the station works."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.custody.errors import KeyAttributeWrong, KeyKindWrong, KeyShared, PinUnreadable, TokenConfigWrong
from appliance.custody.policy import P256, POLICY, PROTECTIONS, USES, check, check_distinct
from appliance.custody.token_config import parse, read_pin
from tests.custody.bench import MODULE, Bench, Hsm, passed, remove_token, replace_token, site

GOOD = {"label": "checkpoint", "id": "02"}
"""The other key is right; the first one is not."""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Hsm:
    """A folder of tokens that no other test looks at."""
    return Hsm(tmp_path_factory.mktemp("tokens") / "hsm")


@pytest.fixture
def station(tmp_path: Path, own: Hsm) -> Iterator[Bench]:
    bench = Bench(tmp_path, own, Path("unset"))
    bench.stage(site([]))
    yield bench
    bench.close()


@pytest.mark.parametrize(
    ("name", "keys", "code", "words"),
    [
        ("none", [], "PL-HSM-007", "private"),
        ("one-only", [{"label": "manifest", "id": "01"}], "PL-HSM-007", "checkpoint"),
        ("extractable", [{"label": "manifest", "id": "01", "private": {"EXTRACTABLE": True}}], "PL-HSM-009", "EXTRACT"),
        ("readable", [{"label": "manifest", "id": "01", "private": {"SENSITIVE": False}}], "PL-HSM-009", "SENSITIVE"),
        ("public", [{"label": "manifest", "id": "01", "private": {"PRIVATE": False}}], "PL-HSM-009", "PRIVATE"),
        ("derives", [{"label": "manifest", "id": "01", "private": {"DERIVE": True}}], "PL-HSM-009", "DERIVE"),
        ("decrypts", [{"label": "manifest", "id": "01", "private": {"DECRYPT": True}}], "PL-HSM-009", "DECRYPT"),
        ("signs-not", [{"label": "manifest", "id": "01", "private": {"SIGN": False}}], "PL-HSM-009", "SIGN"),
        ("imported", [{"label": "manifest", "id": "01", "imported": True}], "PL-HSM-009", "ALWAYS_SENSITIVE"),
        ("other-curve", [{"label": "manifest", "id": "01", "curve": "secp384r1"}], "PL-HSM-010", "other parameters"),
        ("rsa", [{"label": "manifest", "id": "01", "curve": "rsa"}], "PL-HSM-010", "rsa-2048"),
        ("twice", [{"label": "manifest", "id": "01"}, {"label": "manifest", "id": "03"}], "PL-HSM-008", "2 private"),
        ("no-public", [{"label": "manifest", "id": "01", "public": False}], "PL-HSM-007", "public"),
    ],
)
def test_a_key_that_breaks_the_policy_closes_the_gate(
    station: Bench, own: Hsm, name: str, keys: list[dict[str, Any]], code: str, words: str
) -> None:
    own.token(name)
    others = [] if name == "one-only" else [GOOD]
    own.make(name, *keys, *others)
    station.config = own.config(name)
    station.start()
    refusal = station.call("Gates", press=None)["closed"][0]
    assert refusal["code"] == code
    assert words in refusal["engineer"]
    press = station.press()
    assert station.sign(press, passed()) == code
    assert (
        station.code("SignCheckpoint", size=0, root="47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", consistency=[])
        == code
    )


def test_one_key_for_two_purposes_closes_the_gate(station: Bench, own: Hsm) -> None:
    own.token("shared")
    own.make("shared", {"label": "manifest", "id": "01"})
    station.config = own.config("shared", keys={"manifest": {"id": "01"}, "checkpoint": {"label": "manifest"}})
    station.start()
    assert station.closed()[0] == "PL-HSM-011"


def test_tokens_are_told_apart_by_serial(station: Bench, own: Hsm) -> None:
    own.token("same")
    own.token("same")
    station.config = own.config("same")
    station.start()
    assert station.closed()[0] == "PL-HSM-004"
    station.stop()
    station.config = own.config("same", token={"serial": "0123456789abcdef"})
    station.start()
    assert station.closed()[0] == "PL-HSM-003"


def test_a_wrong_pin_is_tried_once(station: Bench, own: Hsm, tmp_path: Path) -> None:
    own.token("pinned")
    pin = tmp_path / "wrong-pin"
    pin.write_text("0000\n")
    station.config = own.config("pinned", pin_file=os.fspath(pin))
    station.start()
    assert station.closed()[0] == "PL-HSM-006"
    time.sleep(6)
    assert station.process is not None
    assert station.process.poll() is None, "starting afresh would try the PIN again"


def test_a_module_that_is_none_closes_the_gate(station: Bench, own: Hsm) -> None:
    station.config = own.config("any", module="/usr/lib/no-such-module.so")
    station.start()
    assert station.closed()[0] == "PL-HSM-002"


def test_a_token_that_goes_ends_the_process_and_its_return_mends_everything(
    station: Bench, own: Hsm, tmp_path: Path
) -> None:
    hsm = Hsm(tmp_path / "pulled")
    hsm.token("bench-01")
    keys = hsm.provision(hsm.config("bench-01"))
    station.hsm, station.config = hsm, hsm.config("bench-01")
    station.stage(site(keys))
    station.start()
    press = station.press()
    signed = station.call("SignManifest", press=press, observations=passed())

    away = remove_token(hsm)
    assert station.sign(station.press(), passed()) == "PL-HSM-013"
    assert station.process is not None
    assert station.process.wait(10) == 1
    station.start()
    assert station.closed()[0] == "PL-HSM-003"
    assert station.process.wait(15) == 1, "a module sees a new token in a new process only"

    replace_token(hsm, away)
    station.start()
    assert station.closed() == []
    assert station.call("SignManifest", press=press, observations=passed()) == signed


def test_provisioning_never_replaces_a_key(hsm: Hsm, keys: list[dict[str, str]]) -> None:
    assert [key["purpose"] for key in keys] == ["manifest", "checkpoint"]
    with pytest.raises(Exception, match="non-zero exit status 1"):
        hsm.provision(hsm.config("bench-01"))


def attributes(**changes: bool | None) -> dict[str, bool | None]:
    return {**PROTECTIONS, **{use: use == "SIGN" for use in USES}, **changes}


@pytest.mark.parametrize("name", [*PROTECTIONS, *USES])
def test_every_attribute_of_the_table_counts(name: str) -> None:
    check("manifest", P256, attributes())
    with pytest.raises(KeyAttributeWrong, match=name):
        check("manifest", P256, attributes(**{name: not attributes()[name]}))


@pytest.mark.parametrize("name", [*PROTECTIONS, "SIGN"])
def test_a_protection_that_is_not_reported_is_missing(name: str) -> None:
    with pytest.raises(KeyAttributeWrong, match="not reported"):
        check("manifest", P256, attributes(**{name: None}))


def test_a_use_that_the_token_does_not_know_is_off() -> None:
    check("manifest", P256, attributes(SIGN_RECOVER=None, UNWRAP=None, DERIVE=None, DECRYPT=None))


@pytest.mark.parametrize("purpose", POLICY)
def test_every_purpose_has_its_kinds(purpose: str) -> None:
    with pytest.raises(KeyKindWrong):
        check(purpose, "ec with other parameters", attributes())


def test_one_key_serves_one_purpose() -> None:
    check_distinct({"manifest": b"1", "checkpoint": b"2"})
    with pytest.raises(KeyShared):
        check_distinct({"manifest": b"1", "checkpoint": b"1"})


CONFIG: dict[str, Any] = {
    "schema": 1,
    "module": MODULE,
    "token": {"label": "bench-01"},
    "pin_file": "/run/pin",
    "keys": {"manifest": {"label": "m"}, "checkpoint": {"id": "02"}},
}


def test_a_good_configuration_is_read() -> None:
    config = parse(json.dumps(CONFIG).encode())
    assert config.keys["checkpoint"].id == b"\x02"
    assert str(config) == "labelled bench-01"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"schema": 2}, "schema"),
        ({"surprise": 1}, "surprise"),
        ({"module": "softhsm.so"}, "module"),
        ({"module": 1}, "module"),
        ({"token": {}}, "token"),
        ({"token": {"slot": 0}}, "token"),
        ({"token": {"label": ""}}, "token.label"),
        ({"pin_file": "pin"}, "pin_file"),
        ({"keys": []}, "keys"),
        ({"keys": {"manifest": {"label": "m"}}}, "keys.checkpoint"),
        ({"keys": {**CONFIG["keys"], "other": {"label": "x"}}}, "keys.other"),
        ({"keys": {**CONFIG["keys"], "manifest": {}}}, "keys.manifest"),
        ({"keys": {**CONFIG["keys"], "manifest": {"id": "2"}}}, "keys.manifest.id"),
        ({"keys": {**CONFIG["keys"], "manifest": {"id": 2}}}, "keys.manifest.id"),
    ],
)
def test_a_wrong_configuration_is_refused_by_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(TokenConfigWrong) as refusal:
        parse(json.dumps({**CONFIG, **change}).encode())
    assert refusal.value.details["field"] == field


def test_a_missing_field_is_refused() -> None:
    for name in CONFIG:
        with pytest.raises(TokenConfigWrong):
            parse(json.dumps({key: value for key, value in CONFIG.items() if key != name}).encode())


@given(st.binary(max_size=200))
def test_any_bytes_are_a_configuration_or_refused(document: bytes) -> None:
    with pytest.raises(TokenConfigWrong):
        parse(document)


@pytest.mark.parametrize("content", [b"", b"\n", b"1\n2\n", b"\xff\n", b"1" * 300])
def test_a_credential_that_is_no_pin_is_refused_without_a_word_of_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "pin"
    path.write_bytes(content)
    with pytest.raises(PinUnreadable):
        read_pin(path)
    with pytest.raises(PinUnreadable):
        read_pin(tmp_path / "none")
