"""Images as a site approves them: each broken field and each misfit refused by name, the highest one wanted."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import ProoflineError
from appliance.evidence import strict_json
from appliance.verify import image_errors, site_errors
from appliance.verify.detached import PIECE, pieces
from appliance.verify.site import SiteTrust
from appliance.verify.site_catalogue import Target, check_references
from appliance.verify.site_images import Version, parse_image_release, parse_keyring, parse_version
from tests.release.forge import Forge, Memory, sha
from tests.release.images import BUNDLE, certificate, image_document, with_images

PATH = "images/proofline-arm64/0.2.0.json"
KEYRING = "images/keyring.pem"


def verified(documents: dict[str, Any]) -> SiteTrust:
    files = Forge(documents=documents).files()
    site = SiteTrust.verify(Memory(files), files["metadata/1.root.json"])
    check_references(site)
    return site


def test_an_image_is_read_as_it_was_approved() -> None:
    image = verified(with_images()).image("proofline-arm64", "0.2.0")
    assert (image.version, image.floor) == (Version(0, 2, 0), Version(0, 1, 0))
    assert (image.bundle.sha256, image.bundle.length) == (sha(BUNDLE), len(BUNDLE))
    assert image.digest == f"sha256:{sha(strict_json.encode(image_document()))}"


BROKEN: list[tuple[str, object, type[ProoflineError]]] = [
    ("schema", 2, site_errors.DocumentSchemaUnknown),
    ("compatible", "Proofline", image_errors.ImageRefused),
    ("compatible", "../x", image_errors.ImageRefused),
    ("compatible", 1, site_errors.FieldTypeWrong),
    ("version", "0.2", image_errors.ImageRefused),
    ("version", "0.02.0", image_errors.ImageRefused),
    ("version", "0.2.0.0", image_errors.ImageRefused),
    ("version", "0.2.0-1", image_errors.ImageRefused),
    ("version", "1000000.0.0", image_errors.ImageRefused),
    ("version", "0.3.0", image_errors.ImageRefused),  # the bundle lies under another version
    ("floor", "0.2.1", image_errors.ImageFloorWrong),
    ("floor", "0.10.0", image_errors.ImageFloorWrong),  # as numbers, not as text
    ("floor", "", image_errors.ImageRefused),
    ("verity", "ab" * 32, image_errors.ImageRefused),
    ("verity", "sha256:" + "AB" * 32, image_errors.ImageRefused),
    ("bundle.target", "images/proofline-arm64/0.1.0.raucb", image_errors.ImageRefused),
    ("bundle.target", "firmware/demo/1.0.0/demo.bin", image_errors.ImageRefused),
    ("bundle.sha256", "sha256:" + "0" * 64, image_errors.ImageRefused),
    ("bundle.length", 0, image_errors.ImageRefused),
    ("bundle.length", (1 << 29) + 1, image_errors.ImageRefused),
    ("bundle.length", True, site_errors.FieldTypeWrong),
    ("bundle.more", 1, site_errors.FieldUnknown),
    ("bundle", [], site_errors.FieldTypeWrong),
    ("stations", [], site_errors.FieldLengthWrong),
    ("stations", ["*", "*"], image_errors.ImageRefused),
    ("stations", ["**"], image_errors.ImageRefused),
    ("stations", ["a b"], image_errors.ImageRefused),
    ("ticket", "", image_errors.ImageRefused),
    ("more", 1, site_errors.FieldUnknown),
]


@pytest.mark.parametrize(("field", "value", "expected"), BROKEN, ids=[f"{f}={v!r}"[:40] for f, v, _ in BROKEN])
def test_a_broken_field_is_refused_by_name(field: str, value: object, expected: type[ProoflineError]) -> None:
    document = image_document()
    parse_image_release(strict_json.encode(document), PATH)
    place = document["bundle"] if "." in field else document
    place[field.rpartition(".")[2]] = value
    with pytest.raises(ProoflineError) as refusal:
        parse_image_release(strict_json.encode(document), PATH)
    assert type(refusal.value) is expected, refusal.value


@pytest.mark.parametrize("field", image_document())
def test_a_missing_field_is_refused_by_name(field: str) -> None:
    document = image_document()
    del document[field]
    with pytest.raises(site_errors.FieldMissing):
        parse_image_release(strict_json.encode(document), PATH)


def test_an_image_has_one_spelling_and_one_place() -> None:
    with pytest.raises(image_errors.ImageNotCanonical):
        parse_image_release(json.dumps(image_document(), indent=1).encode(), PATH)
    with pytest.raises(site_errors.DocumentNameWrong):
        parse_image_release(strict_json.encode(image_document()), "images/proofline-arm64/0.2.1.json")


def drop(path: str) -> Callable[[dict[str, Any]], object]:
    return lambda documents: documents.pop(path)


def say(field: str, value: object) -> Callable[[dict[str, Any]], object]:
    return lambda documents: documents[PATH].__setitem__(field, value)


MISFITS: list[tuple[str, Callable[[dict[str, Any]], object], type[ProoflineError]]] = [
    ("no bundle", drop(PATH.replace("json", "raucb")), image_errors.BundleMissing),
    ("no document", drop(PATH), image_errors.BundleUnspoken),
    ("no keyring", drop(KEYRING), image_errors.KeyringMissing),
    ("station unknown", say("stations", ["bench-01", "bench-99"]), site_errors.ReferenceBroken),
    ("other digest", lambda d: d[PATH]["bundle"].update(sha256="0" * 64), site_errors.ReferenceDisagrees),
    ("other length", lambda d: d[PATH]["bundle"].update(length=5), site_errors.ReferenceDisagrees),
    ("keyring broken", lambda d: d.update({KEYRING: b"x"}), image_errors.KeyringRefused),
    ("a file beside", lambda d: d.update({"images/README": b"x"}), site_errors.TargetPathRefused),
    ("a file below", lambda d: d.update({"images/a/b/c.json": b"{}"}), site_errors.TargetPathRefused),
    ("empty bundle", lambda d: d.update({PATH.replace("json", "raucb"): b""}), site_errors.TargetEntryRefused),
]


@pytest.mark.parametrize(("_case", "bend", "expected"), MISFITS, ids=[case for case, _, _ in MISFITS])
def test_what_does_not_fit_together_is_refused_by_name(
    _case: str, bend: Callable[[dict[str, Any]], object], expected: type[ProoflineError]
) -> None:
    verified(with_images())
    documents = with_images()
    bend(documents)
    with pytest.raises(ProoflineError) as refusal:
        verified(documents)
    assert type(refusal.value) is expected, refusal.value


def test_the_highest_version_that_names_a_station_is_wanted() -> None:
    documents = with_images("0.9.0", "0.10.0")
    documents |= {
        "images/proofline-arm64/0.11.0.json": image_document("0.11.0", stations=["bench-02"]),
        "images/proofline-arm64/0.11.0.raucb": BUNDLE,
    }
    site = verified(documents)
    assert [str(one.version) for one in site.images("proofline-arm64")] == ["0.9.0", "0.10.0", "0.11.0"]
    wanted = {station: site.wanted_image("proofline-arm64", station) for station in ("bench-01", "bench-02")}
    assert {name: str(image and image.version) for name, image in wanted.items()} == {
        "bench-01": "0.10.0",
        "bench-02": "0.11.0",
    }
    assert site.wanted_image("proofline-amd64", "bench-01") is None


def test_a_bundle_is_never_read_as_a_whole() -> None:
    site = verified(with_images())
    (bundle,) = site.detached
    assert bundle.path not in site.attached
    with pytest.raises(image_errors.FileDetached):
        site.read(bundle.path)


def test_a_firmware_file_is_not_detached_by_its_name() -> None:
    assert not Target("firmware/demo/1.0.0/demo.raucb", 1, "0" * 64).detached


@pytest.mark.parametrize(
    ("bent", "expected"),
    [
        (BUNDLE[:-1], site_errors.LengthWrong),
        (BUNDLE[:PIECE], site_errors.LengthWrong),
        (b"", site_errors.LengthWrong),
        (BUNDLE + b"x", site_errors.LengthWrong),
        (b"x" + BUNDLE[1:], site_errors.DigestWrong),
        (BUNDLE[:-1] + b"x", site_errors.DigestWrong),
    ],
)
def test_pieces_of_another_file_are_refused_at_the_latest_with_the_last(
    bent: bytes, expected: type[ProoflineError]
) -> None:
    target = Target(PATH.replace("json", "raucb"), len(BUNDLE), sha(BUNDLE))

    def source(content: bytes) -> Callable[[int], bytes]:
        left = [content]

        def read(size: int) -> bytes:
            piece, left[0] = left[0][:size], left[0][size:]
            return piece

        return read

    assert b"".join(pieces(target, source(BUNDLE))) == BUNDLE
    with pytest.raises(expected):
        list(pieces(target, source(bent)))


def test_an_endless_source_is_left_after_the_approved_length() -> None:
    asked = [0]

    def read(size: int) -> bytes:
        asked[0] += size
        return b"x" * size

    with pytest.raises(site_errors.LengthWrong):
        list(pieces(Target("images/a/0.1.0.raucb", 3 * PIECE, "0" * 64), read))
    assert asked[0] <= 3 * PIECE + 1


KEYRINGS: list[tuple[str, bytes]] = [
    ("empty", b""),
    ("text before", b"hello\n" + certificate("a")),
    ("text after", certificate("a") + b"hello\n"),
    ("CRLF", certificate("a").replace(b"\n", b"\r\n")),
    ("twice", certificate("a") * 2),
    ("too many", b"".join(certificate(f"c{n}") for n in range(17))),
    ("cut", certificate("a")[:-20]),
    ("no newline at the end", certificate("a")[:-1]),
    ("no base64", certificate("a").replace(b"MI", b"M=", 1)),
    ("a key", certificate("a").replace(b"CERTIFICATE", b"PRIVATE KEY")),
    ("not ASCII", certificate("a") + "ü".encode()),
    ("too long", b"\n" * (1 << 16) + b"\n"),
    ("other DER", b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"),
]


@pytest.mark.parametrize(("_case", "document"), KEYRINGS, ids=[case for case, _ in KEYRINGS])
def test_what_is_no_keyring_is_refused(_case: str, document: bytes) -> None:
    assert len(parse_keyring(certificate("a") + certificate("b"), KEYRING).certificates) == 2
    with pytest.raises(image_errors.KeyringRefused):
        parse_keyring(document, KEYRING)


@given(st.text(max_size=20))
def test_a_version_has_one_spelling(text: str) -> None:
    version = parse_version(text)
    assert version is None or str(version) == text


@given(st.binary(max_size=300))
def test_noise_is_refused_by_name(noise: bytes) -> None:
    with pytest.raises(site_errors.SiteError):
        parse_image_release(noise, PATH)
    with pytest.raises(site_errors.SiteError):
        parse_keyring(noise, KEYRING)


@given(st.data())
def test_anything_anywhere_is_read_or_refused_by_name(data: st.DataObject) -> None:
    document = deepcopy(image_document())
    anything: st.SearchStrategy[Any] = st.one_of(
        st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.text(max_size=8), st.just([])
    )
    document[data.draw(st.sampled_from(sorted(document)))] = data.draw(anything)
    with contextlib.suppress(site_errors.SiteError):
        parse_image_release(strict_json.encode(document), PATH)
