"""Every field of every approved document, broken: each refused by the name the table expects, its twin accepted."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import ProoflineError
from appliance.evidence import strict_json
from appliance.intake.errors import ReleaseTampered
from appliance.intake.firmware import check_firmware
from appliance.verify import site_errors as errors
from appliance.verify.site import SiteTrust
from appliance.verify.site_catalogue import check_references
from appliance.verify.site_documents import (
    parse_order,
    parse_profile,
    parse_release,
    parse_roster,
    parse_settings,
)
from appliance.verify.site_stations import parse_stations
from appliance.verify.site_times import Interval, format_time, parse_time
from tests.release.forge import START, Forge, Memory, ed25519_spki, good_documents, sha, spki

PRODUCT, RELEASE, ORDER = "products/demo.json", "releases/demo/1.0.0.json", "orders/WO-1.json"
ROSTER, STATIONS, SETTINGS = "roster.json", "stations.json", "settings/bench-01.json"
PARSERS: dict[str, Callable[[bytes, str], object]] = {
    PRODUCT: parse_profile,
    RELEASE: parse_release,
    ORDER: parse_order,
    ROSTER: parse_roster,
    STATIONS: parse_stations,
    SETTINGS: parse_settings,
}
GONE = object()
"""A field that is left out."""
P384 = base64.b64encode(
    generate_private_key(SECP384R1()).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
).decode()
ED25519 = base64.b64encode(ed25519_spki()).decode()
M1 = base64.b64encode(spki("m1")).decode()
RANGE = {"name": "more", "start": START + 0x1000, "length": 4, "sha256": "0" * 64}
KEY = "stations.0.keys.0"

BROKEN: list[tuple[str, str, object, type[ProoflineError]]] = [
    # a document's shape, the same for all kinds
    (PRODUCT, "schema", 2, errors.DocumentSchemaUnknown),
    (PRODUCT, "schema", "1", errors.DocumentSchemaUnknown),
    (PRODUCT, "schema", True, errors.DocumentSchemaUnknown),
    (PRODUCT, "schema", GONE, errors.FieldMissing),
    (PRODUCT, "colour", "red", errors.FieldUnknown),
    # products
    (PRODUCT, "sku", GONE, errors.FieldMissing),
    (PRODUCT, "sku", "other", errors.DocumentNameWrong),
    (PRODUCT, "sku", "../demo", errors.ProfileRefused),
    (PRODUCT, "part", "STM32", errors.ProfileRefused),
    (PRODUCT, "swclk_hz", 0, errors.ProfileRefused),
    (PRODUCT, "swclk_hz", "4000000", errors.FieldTypeWrong),
    (PRODUCT, "swclk_hz", 10**9, errors.ProfileRefused),
    (PRODUCT, "label", "FW", errors.FieldTypeWrong),
    (PRODUCT, "label.mode", "guessed", errors.ProfileRefused),
    (PRODUCT, "label.mode", "preprinted", errors.ProfileRefused),
    (PRODUCT, "label.prefix", "fw", errors.ProfileRefused),
    (PRODUCT, "label.prefix", "", errors.ProfileRefused),
    (PRODUCT, "label.scan", "never", errors.ProfileRefused),
    (PRODUCT, "label.font", "Mono", errors.FieldUnknown),
    (PRODUCT, "events", [], errors.FieldLengthWrong),
    (PRODUCT, "events", ["provision", "provision"], errors.ProfileRefused),
    (PRODUCT, "events", ["polish"], errors.ProfileRefused),
    (PRODUCT, "events", [1], errors.FieldTypeWrong),
    (PRODUCT, "lock.policy", "rdp2", errors.ProfileRefused),
    (PRODUCT, "identity.policy", "ca", errors.ProfileRefused),
    # releases
    (RELEASE, "sku", "other", errors.ReleaseRefused),
    (RELEASE, "version", "2.0.0", errors.ReleaseRefused),
    (RELEASE, "version", "1/0", errors.ReleaseRefused),
    (RELEASE, "built_at", "2026-11-01", errors.FieldTimeMalformed),
    (RELEASE, "built_at", "2026-13-01T00:00:00.000000Z", errors.FieldTimeMalformed),
    (RELEASE, "build_id", "", errors.ReleaseRefused),
    (RELEASE, "build_id", "a\u2028b", errors.ReleaseRefused),
    (RELEASE, "ticket", "", errors.ReleaseRefused),
    (RELEASE, "ticket", None, errors.FieldTypeWrong),
    (RELEASE, "firmware.target", "firmware/other/1.0.0/demo.bin", errors.ReleaseRefused),
    (RELEASE, "firmware.target", "firmware/demo/1.0.0/../../x", errors.ReleaseRefused),
    (RELEASE, "firmware.format", "uf2", errors.ReleaseRefused),
    (RELEASE, "firmware.format", "elf", errors.ReleaseRefused),
    (RELEASE, "firmware.sha256", "sha256:" + "0" * 64, errors.ReleaseRefused),
    (RELEASE, "firmware.sha256", "A" * 64, errors.ReleaseRefused),
    (RELEASE, "firmware.length", 0, errors.ReleaseRefused),
    (RELEASE, "firmware.length", 1 << 40, errors.ReleaseRefused),
    (RELEASE, "firmware.load_address", GONE, errors.ReleaseRefused),
    (RELEASE, "firmware.load_address", -1, errors.ReleaseRefused),
    (RELEASE, "firmware.load_address", "0x08000000", errors.FieldTypeWrong),
    (RELEASE, "ranges", [], errors.FieldLengthWrong),
    (RELEASE, "ranges", {}, errors.FieldTypeWrong),
    (RELEASE, "ranges.0.name", "", errors.ReleaseRefused),
    (RELEASE, "ranges.0.start", -4, errors.ReleaseRefused),
    (RELEASE, "ranges.0.length", 0, errors.ReleaseRefused),
    (RELEASE, "ranges.0.sha256", "", errors.ReleaseRefused),
    (RELEASE, "ranges.0.note", "", errors.FieldUnknown),
    (RELEASE, "ranges.+", {**RANGE, "start": START + 4}, errors.ReleaseRangesWrong),
    (RELEASE, "ranges.+", {**RANGE, "start": START - 8}, errors.ReleaseRangesWrong),
    (RELEASE, "ranges.+", {**RANGE, "name": "image-0"}, errors.ReleaseRangesWrong),
    (RELEASE, "ranges.+", {**RANGE, "start": (1 << 32) - 2}, errors.ReleaseRangesWrong),
    (RELEASE, "ranges", [{**RANGE, "name": f"r{n}", "start": n * 8} for n in range(65)], errors.FieldLengthWrong),
    # orders
    (ORDER, "id", "WO-2", errors.DocumentNameWrong),
    (ORDER, "id", "", errors.OrderRefused),
    (ORDER, "sku", "", errors.OrderRefused),
    (ORDER, "version", 1, errors.FieldTypeWrong),
    (ORDER, "version", "", errors.OrderRefused),
    (ORDER, "quantity", 0, errors.OrderRefused),
    (ORDER, "quantity", 10**9, errors.OrderRefused),
    (ORDER, "quantity", True, errors.FieldTypeWrong),
    (ORDER, "stations", [], errors.FieldLengthWrong),
    (ORDER, "stations", ["bench-01", "bench-01"], errors.OrderRefused),
    (ORDER, "stations", ["*"], errors.OrderRefused),
    (ORDER, "ticket", "  ", errors.OrderRefused),
    (ORDER, "opens", "2028-01-01T00:00:00.000000Z", errors.WindowEmpty),
    (ORDER, "opens", "2026-11-01T00:00:00Z", errors.FieldTimeMalformed),
    (ORDER, "closes", "2026-11-01T00:00:00.000000Z", errors.WindowEmpty),
    (ORDER, "closes", 0, errors.FieldTypeWrong),
    # roster
    (ROSTER, "operators", None, errors.FieldTypeWrong),
    (ROSTER, "operators.0", "olga", errors.FieldTypeWrong),
    (ROSTER, "operators.0.id", "Olga", errors.RosterRefused),
    (ROSTER, "operators.0.id", "lea", errors.RosterTwice),
    (ROSTER, "operators.0.name", "", errors.RosterRefused),
    (ROSTER, "operators.0.name", "O\x1b[31m", errors.RosterRefused),
    (ROSTER, "operators.0.badge_sha256", "0", errors.RosterRefused),
    (ROSTER, "operators.0.badge_sha256", sha(b"B-2"), errors.RosterTwice),
    (ROSTER, "operators.0.roles", [], errors.FieldLengthWrong),
    (ROSTER, "operators.0.roles", ["boss"], errors.RosterRefused),
    (ROSTER, "operators.0.from", "2031-01-01T00:00:00.000000Z", errors.WindowEmpty),
    (ROSTER, "operators.0.until", "soon", errors.FieldTimeMalformed),
    (ROSTER, "operators.0.badge", "B-1", errors.FieldUnknown),
    # stations
    (STATIONS, "stations", "all", errors.FieldTypeWrong),
    (STATIONS, "stations.0.id", "bench-02", errors.StationTwice),
    (STATIONS, "stations.0.id", "", errors.StationsRefused),
    (STATIONS, "stations.0.site", "", errors.StationsRefused),
    (STATIONS, "stations.0.origin", "demo.example/bench-02", errors.StationTwice),
    (STATIONS, "stations.0.origin", "with space", errors.StationsRefused),
    (STATIONS, "stations.0.products", ["**"], errors.StationsRefused),
    (STATIONS, "stations.0.keys", None, errors.FieldTypeWrong),
    (STATIONS, f"{KEY}.purpose", "both", errors.StationsRefused),
    (STATIONS, f"{KEY}.algorithm", "rsa", errors.StationsRefused),
    (STATIONS, f"{KEY}.algorithm", "ed25519", errors.StationKeyRefused),
    (STATIONS, f"{KEY}.public", "####", errors.StationsRefused),
    (STATIONS, f"{KEY}.public", "AAA", errors.StationKeyRefused),
    (STATIONS, f"{KEY}.public", "AAAA", errors.StationKeyRefused),
    (STATIONS, f"{KEY}.public", P384, errors.StationKeyRefused),
    (STATIONS, f"{KEY}.public", ED25519, errors.StationKeyRefused),
    (STATIONS, "stations.0.keys.1.public", M1, errors.StationKeyTwice),
    (STATIONS, f"{KEY}.from", "2031-01-01T00:00:00.000000Z", errors.WindowEmpty),
    (STATIONS, f"{KEY}.until", GONE, errors.FieldMissing),
    (STATIONS, f"{KEY}.revoked", {"at": "2026-01-02T00:00:00.000000Z"}, errors.FieldMissing),
    (STATIONS, f"{KEY}.revoked", {"at": "never", "reason": "x"}, errors.FieldTimeMalformed),
    (STATIONS, f"{KEY}.revoked", {"at": "2026-01-02T00:00:00.000000Z", "reason": ""}, errors.StationsRefused),
    (STATIONS, f"{KEY}.revoked", True, errors.FieldTypeWrong),
    # settings
    (SETTINGS, "station", "bench-02", errors.DocumentNameWrong),
    (SETTINGS, "clock", {}, errors.FieldMissing),
    (SETTINGS, "clock.max_width_ms", 0, errors.SettingsRefused),
    (SETTINGS, "clock.max_width_ms", 10**8, errors.SettingsRefused),
    (SETTINGS, "clock.ordered_only", True, errors.SettingsRefused),
    (SETTINGS, "clock.ordered_only", 0, errors.FieldTypeWrong),
    (SETTINGS, "log.max_unexported_entries", -1, errors.SettingsRefused),
    (SETTINGS, "panel.session_s", 0, errors.SettingsRefused),
    (SETTINGS, "panel.session_s", 10**6, errors.SettingsRefused),
    (SETTINGS, "probe", "", errors.SettingsRefused),
    (SETTINGS, "probe", "a b", errors.SettingsRefused),
    (SETTINGS, "probe", {"id": "x"}, errors.FieldTypeWrong),
    (SETTINGS, "probe", GONE, errors.FieldMissing),
    (SETTINGS, "gang", ["vnucleo:1", "vnucleo:2"], errors.SettingsRefused),
]

RAW: list[tuple[str, Callable[[bytes], bytes], type[ProoflineError]]] = [
    ("truncated", lambda d: d[:-1], errors.DocumentNotJson),
    ("empty", lambda _: b"", errors.DocumentNotJson),
    ("a key twice", lambda d: d[:-1] + b',"schema":1}', errors.DocumentDuplicateKey),
    ("a float", lambda d: d.replace(b'"schema":1', b'"schema":1.0'), errors.DocumentNotJson),
    ("two documents", lambda d: d + d, errors.DocumentNotJson),
    ("a list", lambda d: b"[" + d + b"]", errors.FieldTypeWrong),
    ("too large", lambda d: d + b" " * (1 << 20), errors.DocumentNotJson),
    ("UTF-16", lambda d: d.decode().encode("utf-16"), errors.DocumentNotJson),
    ("a huge number", lambda d: d.replace(b'"schema":1', b'"schema":' + b"1" * 5_000), errors.DocumentNotJson),
    ("deep", lambda _: b'{"schema":' + b"[" * 3_000 + b"]" * 3_000 + b"}", errors.DocumentNotJson),
]


def change(document: Any, field: str, value: object) -> None:
    *way, last = field.split(".")
    for step in way:
        document = document[int(step)] if isinstance(document, list) else document[step]
    if last == "+":
        document.append(value)
    elif isinstance(document, list):
        document[int(last)] = value
    elif value is GONE:
        del document[last]
    else:
        document[last] = value


IDS = [f"{path}:{field}:{at}" for at, (path, field, _, _) in enumerate(BROKEN)]
"""The same in every worker of a parallel run: values hold fresh keys."""


@pytest.mark.parametrize(("path", "field", "value", "expected"), BROKEN, ids=IDS)
def test_broken_field_is_refused_by_name(path: str, field: str, value: object, expected: type[ProoflineError]) -> None:
    document = good_documents()[path]
    PARSERS[path](strict_json.encode(document), path)
    change(document, field, value)
    with pytest.raises(ProoflineError) as refusal:
        PARSERS[path](strict_json.encode(document), path)
    assert type(refusal.value) is expected, refusal.value


@pytest.mark.parametrize("path", PARSERS)
@pytest.mark.parametrize(("_case", "bend", "expected"), RAW, ids=[case for case, _, _ in RAW])
def test_bytes_that_are_no_document_are_refused_by_name(
    path: str, _case: str, bend: Callable[[bytes], bytes], expected: type[ProoflineError]
) -> None:
    document = strict_json.encode(good_documents()[path])
    with pytest.raises(ProoflineError) as refusal:
        PARSERS[path](bend(document), path)
    assert type(refusal.value) is expected, refusal.value


def gang(*probes: object) -> dict[str, Any]:
    document = good_documents()[SETTINGS]
    del document["probe"]
    return {**document, "gang": list(probes)}


def test_a_station_has_one_probe_or_a_gang_of_two_to_eight() -> None:
    for count in (2, 8):
        probes = tuple(f"vnucleo:{n}" for n in range(count))
        found = parse_settings(strict_json.encode(gang(*probes)), SETTINGS)
        assert (found.probe, found.gang) == (None, probes)
    one = parse_settings(strict_json.encode(good_documents()[SETTINGS]), SETTINGS)
    assert (one.probe, one.gang) == ("any", ())


@pytest.mark.parametrize(
    ("probes", "expected"),
    [
        ((), errors.FieldLengthWrong),
        (("a",), errors.FieldLengthWrong),
        (tuple(f"vnucleo:{n}" for n in range(9)), errors.FieldLengthWrong),
        (("a", "a"), errors.SettingsRefused),
        (("a", "b c"), errors.SettingsRefused),
        (("a", ""), errors.SettingsRefused),
        (("a", 1), errors.FieldTypeWrong),
    ],
)
def test_a_gang_that_is_none_is_refused_by_name(probes: tuple[object, ...], expected: type[ProoflineError]) -> None:
    parse_settings(strict_json.encode(gang("a", "b")), SETTINGS)
    with pytest.raises(ProoflineError) as refusal:
        parse_settings(strict_json.encode(gang(*probes)), SETTINGS)
    assert type(refusal.value) is expected, refusal.value


REFERENCES: list[tuple[str, Callable[[dict[str, Any]], object], type[ProoflineError]]] = [
    ("release without a product", lambda d: d.pop(PRODUCT), errors.ReferenceBroken),
    ("release without its file", lambda d: d.pop("firmware/demo/1.0.0/demo.bin"), errors.ReferenceBroken),
    ("file without a release", lambda d: d.update({"firmware/demo/2/x.bin": b"x"}), errors.ReferenceBroken),
    (
        "another file under the release's name",
        lambda d: d.update({"firmware/demo/1.0.0/demo.bin": bytes(len(d["firmware/demo/1.0.0/demo.bin"]))}),
        errors.ReferenceDisagrees,
    ),
    ("release says another length", lambda d: d[RELEASE]["firmware"].update(length=9), errors.ReferenceDisagrees),
    ("order without a release", lambda d: d[ORDER].update(version="9"), errors.ReferenceBroken),
    ("order for an unknown station", lambda d: d[ORDER].update(stations=["bench-99"]), errors.ReferenceBroken),
    (
        "order for a station that may not",
        lambda d: d[STATIONS]["stations"][0].update(products=["other"]),
        errors.ProductNotForStation,
    ),
    ("settings of an unknown station", lambda d: d[STATIONS]["stations"].pop(0), errors.ReferenceBroken),
    (
        "allowlist with another digest",
        lambda d: d[RELEASE]["ranges"][0].update(sha256="0" * 64),
        ReleaseTampered,
    ),
    ("allowlist with one range more", lambda d: d[RELEASE]["ranges"].append(RANGE), ReleaseTampered),
    ("allowlist with a shorter range", lambda d: d[RELEASE]["ranges"][0].update(length=8), ReleaseTampered),
    ("bin loaded elsewhere", lambda d: d[RELEASE]["firmware"].update(load_address=START + 4), ReleaseTampered),
    ("product of a part that nobody knows", lambda d: d[PRODUCT].update(part="stm32z000"), ReleaseTampered),
]


@pytest.mark.parametrize(("_case", "bend", "expected"), REFERENCES, ids=[case for case, _, _ in REFERENCES])
def test_documents_that_do_not_fit_together_are_refused_by_name(
    _case: str, bend: Callable[[dict[str, Any]], object], expected: type[ProoflineError]
) -> None:
    def check(documents: dict[str, Any]) -> None:
        files = Forge(documents=documents).files()
        site = SiteTrust.verify(Memory(files), files["metadata/1.root.json"])
        check_references(site)
        check_firmware(site)

    check(good_documents())
    documents = good_documents()
    bend(documents)
    with pytest.raises(ProoflineError) as refusal:
        check(documents)
    assert type(refusal.value) is expected, refusal.value


def test_station_keys_are_asked_for_by_purpose_and_time() -> None:
    document = good_documents()[STATIONS]
    document["stations"][0]["keys"][1]["revoked"] = {"at": "2026-05-01T00:00:00.000000Z", "reason": "lost"}
    station = parse_stations(strict_json.encode(document), STATIONS).station("bench-01")
    assert station
    inside, before = (parse_time(f"{year}-06-01T00:00:00.000000Z") for year in (2026, 2025))
    assert inside
    assert before
    assert [key.public for key in station.keys_for("manifest", Interval(inside, inside))] == [spki("m1")]
    assert station.keys_for("manifest", Interval(before, inside)) == ()
    assert station.keys_for("checkpoint", Interval(inside, inside)) == ()
    assert len(station.keys_for("checkpoint")) == 1


def test_badge_finds_its_operator_and_nobody_else() -> None:
    roster = parse_roster(strict_json.encode(good_documents()[ROSTER]), ROSTER)
    found = roster.by_badge("B-2")
    assert found
    assert found.id == "lea"
    assert roster.by_badge("b-2") is None


@given(st.datetimes())
def test_time_has_one_spelling(moment: Any) -> None:
    aware = moment.replace(tzinfo=UTC)
    assert parse_time(format_time(aware)) == aware


@given(st.text(max_size=40))
def test_time_parser_never_raises(text: str) -> None:
    moment = parse_time(text)
    assert moment is None or format_time(moment) == text


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 62), 1 << 62) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, where: str = "") -> list[str]:
    """Every place in a document, as `change` names it."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = []
    for name, inner in items:
        here = f"{where}.{name}" if where else str(name)
        found += [here, *places(inner, here)]
    return found


@pytest.mark.parametrize("path", PARSERS)
@given(data=st.data())
def test_anything_anywhere_is_read_or_refused_by_name(path: str, data: st.DataObject) -> None:
    document = deepcopy(good_documents()[path])
    change(document, data.draw(st.sampled_from(places(document))), data.draw(_ANYTHING))
    with contextlib.suppress(errors.SiteError):
        PARSERS[path](strict_json.encode(document), path)


@pytest.mark.parametrize("path", PARSERS)
@given(noise=st.binary(max_size=200))
def test_noise_is_refused_by_name(path: str, noise: bytes) -> None:
    with pytest.raises(errors.SiteError):
        PARSERS[path](noise, path)
