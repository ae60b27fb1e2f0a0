"""Keys in real SoftHSM tokens, and the whole desk by its commands, each approver in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pkcs11.exceptions import DeviceRemoved

from appliance.release import errors
from appliance.release.token import TokenKey, parse_uri
from hil.release_desk import MODULE, PIN, key_uri, make_token, write_softhsm_conf
from tests.release.forge import IMAGE, key

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tokens for ada, bob, carol and the desk, and the PIN in a file."""
    folder = tmp_path_factory.mktemp("bench")
    conf = write_softhsm_conf(folder)
    for label in ("ada", "bob", "carol", "desk"):
        make_token(conf, label)
    (folder / "pin").write_text(PIN + "\n")
    (folder / "wrong").write_text("000000\n")
    return folder


def command(bench: Path, *words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "appliance.cli", "release", *words],
        env={**os.environ, "SOFTHSM2_CONF": str(bench / "softhsm2.conf"), "PYTHONPATH": str(ROOT)},
        cwd=bench,
        input=typed,
        capture_output=True,
        text=True,
        check=False,
    )


def done(bench: Path, *words: str, typed: str = "") -> str:
    result = command(bench, *words, typed=typed)
    assert result.returncode == 0, result.stderr
    return result.stdout


def refused(bench: Path, *words: str, typed: str = "") -> str:
    result = command(bench, *words, typed=typed)
    assert result.returncode == 3
    return result.stderr.split()[0]


@pytest.mark.slow
def test_a_site_from_ceremony_to_carrier_by_commands_alone(bench: Path) -> None:
    token = {who: ("--pkcs11", key_uri(who), "--pin-file", "pin") for who in ("ada", "bob", "carol", "desk")}
    for who, words in token.items():
        (bench / f"{who}.pem").write_text(done(bench, "key", *words))
        assert done(bench, "key", "--existing", *words) == (bench / f"{who}.pem").read_text()
    approvers = [word for who in ("ada", "bob", "carol") for word in ("--approver", f"{who}={who}.pem")]
    ceremony = ("--online", "desk.pem", "--holder", "safe", "--place", "office")
    done(bench, "init", "--desk", "d", "--site", "demo", *approvers, *ceremony)
    digest = done(bench, "proposal", "--desk", "d").split()[1]
    ticket = ("--ticket", "CHG-1")
    done(bench, "approve", "--desk", "d", "--person", "ada", *ticket, *token["ada"], "--digest", digest)
    assert refused(bench, "promote", "--desk", "d", *token["desk"]) == "PL-REL-030"
    # bob reads the digest off the screen and types its beginning back; mistyped, nothing is signed.
    bob = ("approve", "--desk", "d", "--person", "bob", *ticket, *token["bob"])
    assert refused(bench, *bob, typed="00000000\n") == "PL-REL-020"
    done(bench, *bob, typed=digest.removeprefix("sha256:")[:8] + "\n")
    assert "root 1" in done(bench, "promote", "--desk", "d", *token["desk"])

    (bench / "demo.bin").write_bytes(IMAGE)
    done(
        bench,
        "profile",
        "demo",
        "--desk",
        "d",
        "--part",
        "stm32f412xg",
        "--swclk-hz",
        "4000000",
        "--label-prefix",
        "FW",
    )
    done(
        bench, "firmware", "demo", "1.0.0", "demo.bin", "--desk", "d", "--load-address", "0x8000000",
        "--build-id", "b-1", "--ticket", "CHG-2",
    )  # fmt: skip
    assert "+ releases/demo/1.0.0.json" in done(bench, "proposal", "--desk", "d")
    digest = done(bench, "proposal", "--desk", "d").split()[1]
    # carol works on a copy of the folder and hands a file in.
    carol = ("approve", "--desk", "d", "--person", "carol", "--ticket", "CHG-2", *token["carol"], "--digest", digest)
    done(bench, *carol, "--out", "carol.json")
    assert refused(bench, "promote", "--desk", "d", *token["desk"]) == "PL-REL-030"
    done(bench, "hand-in", "carol.json", "--desk", "d")
    done(bench, "approve", "--desk", "d", "--person", "ada", *ticket, *token["ada"], "--digest", digest)
    done(bench, "promote", "--desk", "d", *token["desk"])
    done(bench, "export", "stick", "--desk", "d")
    shown = done(bench, "verify", "stick", "--root", "stick/metadata/1.root.json")
    assert "releases/demo/1.0.0" in shown
    assert "approved by carol under CHG-2" in shown
    assert "valid until" in shown


def test_token_and_pin_problems_have_names(bench: Path) -> None:
    assert refused(bench, "key", "--existing", "--pkcs11", key_uri("nobody"), "--pin-file", "pin") == "PL-REL-041"
    assert refused(bench, "key", "--existing", "--pkcs11", key_uri("bob"), "--pin-file", "wrong") == "PL-REL-042"
    other = f"pkcs11:token=bob;object=other?module-path={MODULE}"
    assert refused(bench, "key", "--existing", "--pkcs11", other, "--pin-file", "pin") == "PL-REL-043"
    assert refused(bench, "key", "--existing", "--pkcs11", key_uri("bob"), "--pin-file", "no-such") == "PL-REL-014"
    no_module = f"pkcs11:token=bob;object=x?module-path={bench}/none.so"
    assert refused(bench, "key", "--existing", "--pkcs11", no_module, "--pin-file", "pin") == "PL-REL-041"


def test_key_that_could_leave_its_token_is_refused(bench: Path) -> None:
    conf = bench / "softhsm2.conf"
    make_token(conf, "loose")
    subprocess.run(
        [sys.executable, "-c", _LOOSE_KEY, MODULE, PIN],
        env={**os.environ, "SOFTHSM2_CONF": str(conf)},
        check=True,
    )
    loose = f"pkcs11:token=loose;object=loose?module-path={MODULE}"
    assert refused(bench, "key", "--existing", "--pkcs11", loose, "--pin-file", "pin") == "PL-REL-044"


_LOOSE_KEY = """
import sys, pkcs11
from pkcs11 import Attribute, KeyType
from pkcs11.util.ec import encode_named_curve_parameters
token = pkcs11.lib(sys.argv[1]).get_token(token_label="loose")
with token.open(rw=True, user_pin=sys.argv[2]) as session:
    parameters = session.create_domain_parameters(
        KeyType.EC, {Attribute.EC_PARAMS: encode_named_curve_parameters("1.2.840.10045.3.1.7")}, local=True)
    parameters.generate_keypair(label="loose", store=True, private_template={Attribute.EXTRACTABLE: True})
"""


class _Token:
    """A private key object that answers badly."""

    def __init__(self, answer: bytes | Exception) -> None:
        self._answer = answer

    def sign(self, _digest: bytes, **_: object) -> bytes:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


@pytest.mark.parametrize(
    ("answer", "expected"),
    [(bytes(63) + b"\1", errors.TokenSignatureFalse), (DeviceRemoved(), errors.TokenFailed)],
)
def test_token_that_answers_badly_gives_no_signature(answer: bytes | Exception, expected: type[Exception]) -> None:
    with pytest.raises(expected):
        TokenKey(_Token(answer), key("ada").public_key()).sign(b"message")  # type: ignore[arg-type]  # stands in for it


URIS = [
    "",
    "http://token",
    "pkcs11:",
    f"pkcs11:token=a;object=k?pin-source=x&module={MODULE}",
    "pkcs11:token=a;object=k",
    f"pkcs11:object=k?module-path={MODULE}",
    f"pkcs11:token=a?module-path={MODULE}",
    f"pkcs11:token=a;token=b;object=k?module-path={MODULE}",
    f"pkcs11:slot-id=0;object=k?module-path={MODULE}",
    f"pkcs11:token=a;object=k?module-path={MODULE}&pin-value=1234",
    f"pkcs11:token;object=k?module-path={MODULE}",
]


@pytest.mark.parametrize("uri", URIS)
def test_uri_that_could_mean_several_keys_is_refused(uri: str) -> None:
    with pytest.raises(errors.UriMalformed) as refusal:
        parse_uri(uri)
    assert "1234" not in str(refusal.value)


def test_uri_names_module_token_and_key() -> None:
    uri = parse_uri(
        f"pkcs11:token=PIV%20II;serial=00f1;object=SIGN%20key;id=%02?module-path={MODULE}&pin-source=file:/p"
    )
    assert (uri.token, uri.serial, uri.label, uri.id) == ("PIV II", "00f1", "SIGN key", b"\x02")
    assert (uri.module, uri.pin_source) == (MODULE, "file:/p")


@given(st.text(max_size=60))
def test_uri_parser_refuses_noise_by_name(text: str) -> None:
    with pytest.raises(errors.UriMalformed):
        parse_uri("pkcs11:" + text)
