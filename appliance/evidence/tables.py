"""Every field of the documents in the log (docs/contracts.md, section 4): the tables behind `statement`."""

from __future__ import annotations

from appliance.evidence.schema import (
    Check,
    Table,
    integer,
    listing,
    nothing,
    null_or,
    one_of,
    prose,
    record,
    text,
)

VERDICTS = ("pass", "fail", "refused", "aborted", "quarantined")
EVENTS = ("provision", "rework", "reflash", "return", "scrap")
METHODS = ("on-target-sha256", "read-back")
RECORD_KINDS = ("refusal", "line-stop", "line-restart")

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
MANIFEST_TYPE = "urn:proofline:manifest:v1"
REFUSALS_TYPE = "urn:proofline:refusals:v1"
MAX_BYTES = 49_000
"""A payload that large still fits a log entry once it is base64 in its envelope."""

_COUNT = integer(0, 10**15 - 1)
_SEQUENCE = integer(0, 10**9 - 1)
_ADDRESS = integer(0, 10**10 - 1)  # that a range ends inside 32 bits is a rule of `statement`
_LENGTH = integer(1, 10**10 - 1)
_VERSION = integer(1, 10**9 - 1)
_NAME = text(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}", "a name of letters, digits, '.', '_', '+', '-'")
_SHORT = text(r"[ !#-\[\]-~]{1,64}", "1 to 64 printable ASCII characters without quote or backslash")
_LONG = text(r"[ !#-\[\]-~]{1,200}", "1 to 200 printable ASCII characters without quote or backslash")
_SENTENCE = prose(1000)
_INSTANT = text(
    r"20[0-9]{2}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
    r"T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{6}Z",
    "a moment in UTC: RFC 3339 with microseconds and Z",
)
_CODE = text(r"PL-[A-Z]{3}-[0-9]{3}", "an error code PL-XXX-NNN")
_PRESS = text(r"[0-9a-f]{32}", "32 hex digits")
_HEX64 = text(r"[0-9a-f]{64}", "64 hex digits")
_SHA256 = text(r"sha256:[0-9a-f]{64}", "sha256: and 64 hex digits")
_HEX_WORD = text(r"0x[0-9a-f]{1,16}", "0x and up to 16 hex digits")
_UID = text(r"(?:[0-9a-f]{2}){4,32}", "8 to 64 hex digits")
_PART = text(r"[a-z0-9][a-z0-9_-]{1,31}", "a part name in lower case")

_DEVICE_NAME = record(part=_PART, uid=_UID)

_EVENT = record(
    kind=one_of(*EVENTS),
    sequence=_SEQUENCE,
    previous=null_or(_SHA256),
    verdict=one_of(*VERDICTS),
    refusal=null_or(record(code=_CODE, engineer=_SENTENCE)),
    press=_PRESS,
    press_digest=_SHA256,
    reservation=null_or(record(index=_COUNT, digest=_SHA256)),
)
_DEVICE = record(
    part=_PART,
    uid=_UID,
    dpidr=text(r"0x[0-9a-f]{8}", "0x and 8 hex digits"),
    idcode=_HEX_WORD,
    rom=_HEX_WORD,
    rdp=integer(0, 2),
    flash_kib=integer(1, 10**7 - 1),
)
_RELEASE = record(
    sku=_NAME,
    version=_NAME,
    digest=_SHA256,
    metadata=record(root=_VERSION, timestamp=_VERSION, snapshot=_VERSION, targets=_VERSION),
    approvals=listing(record(person=_NAME, key=_SHA256, ticket=_SHORT), 0, 16),
)
_SPANS = listing(record(start=_ADDRESS, length=_LENGTH), 0, 64)
_MEASUREMENT = record(
    method=one_of(*METHODS),
    ranges=listing(record(name=_SHORT, start=_ADDRESS, length=_LENGTH, sha256=_HEX64, expected=_HEX64), 1, 64),
    erased=_SPANS,
    unerased=_SPANS,
)
_STATION = record(
    id=_NAME,
    site=_NAME,
    kind=one_of("development", "appliance"),
    image=null_or(record(version=_NAME, verity=_SHA256, slot=one_of("A", "B"))),
    anchor=_SHA256,
    boot_id=_PRESS,
    probe=null_or(record(kind=_SHORT, id=_LONG)),
)
_CLOCK = record(
    status=one_of("Synchronized", "FreeRunning"),
    earliest=_INSTANT,
    latest=_INSTANT,
    sources=listing(_LONG, 0, 16),
)
_KEYS = listing(
    record(
        purpose=one_of("manifest", "device-ca", "unwrap"),
        token_model=_SHORT,
        token_serial=_SHORT,
        cka_id=text(r"(?:[0-9a-f]{2}){1,64}", "2 to 128 hex digits"),
        policy=one_of("satisfied"),
    ),
    1,
    4,
)

_MANIFEST = record(
    event=_EVENT,
    device=null_or(_DEVICE),
    label=record(mode=one_of("derived", "preprinted"), text=null_or(_SHORT), scanned=null_or(_SHORT)),
    order=null_or(record(id=_NAME, sku=_NAME, quantity=integer(1, 10**9 - 1), ticket=_SHORT)),
    release=null_or(_RELEASE),
    measurement=null_or(_MEASUREMENT),
    identity=nothing(),
    lock=nothing(),
    station=_STATION,
    operator=record(id=_NAME, method=one_of("badge")),
    clock=_CLOCK,
    keys=_KEYS,
    stages=listing(record(name=_SHORT, us=_COUNT), 0, 64),
)

_RECORD = record(
    n=_COUNT,
    kind=one_of(*RECORD_KINDS),
    press=null_or(_PRESS),
    press_digest=null_or(_SHA256),
    operator=null_or(_NAME),
    code=null_or(_CODE),
    engineer=_SENTENCE,
    boot_id=_PRESS,
    monotonic_ms=_COUNT,
)

_REFUSALS = record(
    station=_STATION,
    clock=_CLOCK,
    keys=_KEYS,
    journal=record(first=_COUNT, last=_COUNT, previous=_SHA256, head=_SHA256),
    records=listing(_RECORD, 1, 512),
)

_RESERVATION = record(
    schema=integer(1, 1),
    station=_NAME,
    press=_PRESS,
    order=_NAME,
    event=one_of(*EVENTS),
    sequence=_SEQUENCE,
    previous=null_or(_SHA256),
    device=_DEVICE_NAME,
    label=null_or(_SHORT),
    boot_id=_PRESS,
    monotonic_ms=_COUNT,
)

_PRESS_RECORD = record(
    schema=integer(1, 1),
    press=_PRESS,
    order=_NAME,
    event=one_of(*EVENTS),
    label=null_or(_SHORT),
    operator=record(id=_NAME, method=one_of("badge")),
    boot_id=_PRESS,
    monotonic_ms=_COUNT,
)

_SUBJECT = record(
    name=one_of("device", "press", "image", "journal"),
    digest=record(sha256=_HEX64),
)


def _statement(kind: str, predicate: Check) -> Check:
    return record(
        _type=one_of(STATEMENT_TYPE),
        predicateType=one_of(kind),
        subject=listing(_SUBJECT, 1, 2),
        predicate=predicate,
    )


MANIFEST_STATEMENT = Table(_statement(MANIFEST_TYPE, _MANIFEST), "statement", MAX_BYTES)
REFUSALS_STATEMENT = Table(_statement(REFUSALS_TYPE, _REFUSALS), "statement", MAX_BYTES)
RESERVATION_DOCUMENT = Table(_RESERVATION, "reservation", MAX_BYTES)
MEASUREMENT_DOCUMENT = Table(_MEASUREMENT, "measurement", MAX_BYTES)
PRESS_DOCUMENT = Table(_PRESS_RECORD, "press", MAX_BYTES)
JOURNAL_RECORD = Table(_RECORD, "record", MAX_BYTES)
