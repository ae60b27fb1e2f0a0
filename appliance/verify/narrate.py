"""Results in words: the rows that a report shows for a unit, a log, a measurement.

Pure: results in, rows out. What a verification leaves open is said here as carefully as what it found.
"""

from __future__ import annotations

from appliance.evidence.statement import Document
from appliance.verify.audit import Summary
from appliance.verify.listed import COMPARED
from appliance.verify.measurement import Measured
from appliance.verify.report import Report, Row
from appliance.verify.site_times import format_time
from appliance.verify.verifier import TrustedCheckpoint, Unit, Verifier

_WITNESS = ("witness", "nobody outside the station has vouched for its log: a rollback of it all would not show here")
_RETENTION = ("retention", "whether a store that cannot be shortened holds this evidence")


def tell_site(report: Report, verifier: Verifier) -> None:
    """Rows on the site's word."""
    versions, expiry = verifier.trust.versions, verifier.expiry
    report.checked.append(
        (
            "site",
            (
                f"root {versions.root} and targets {versions.targets} follow from the root you trust "
                f"({verifier.trust.anchor}); {expiry.status}, first end {format_time(expiry.until)}"
            ),
        )
    )
    if expiry.status != "valid":
        report.unchecked.append(("revocations", f"what the site revoked since {format_time(expiry.until)}"))


def tell_unit(report: Report, unit: Unit) -> None:
    """Rows on one unit."""
    signed, predicate = unit.signed, unit.signed.manifest.predicate
    event, device, label, station = (predicate[name] for name in ("event", "device", "label", "station"))
    report.level = unit.level.word
    report.facts += [
        ("unit", label["text"] or label["scanned"] or "no label"),
        ("device", "none was read" if device is None else f"{device['part']}, UID {device['uid']}"),
        ("event", f"{_event(event, device)}: {event['verdict']}"),
        ("when", f"between {predicate['clock']['earliest']} and {predicate['clock']['latest']}"),
        ("where", f"station {station['id']} at {station['site']}, operator {predicate['operator']['id']}"),
        *_work(predicate),
        ("assurance", unit.level.word),
    ]
    report.checked += [
        ("signature", f"made by {station['id']}'s manifest key {signed.key.digest}, valid at that time"),
        ("consistency", "every field has its form and none contradicts another"),
    ]
    if unit.checkpoint is None:
        report.unchecked.append(("log", "no proof was given: whether the station's log holds this manifest"))
    else:
        log, key = unit.checkpoint.checkpoint, unit.checkpoint.key.digest
        report.checked.append(
            ("log", f"entry {unit.index} of {log.size} in {log.origin}, under a checkpoint signed by {key}")
        )
        _tell_strangers(report, unit.checkpoint)
    open_points = {what for what, _ in signed.notes}
    if agreed := ", ".join(what for what in COMPARED if what not in open_points):
        report.checked.append(("site's lists", f"agree with what the manifest says: {agreed}"))
    if signed.key.revoked_at is not None:
        when, reason = format_time(signed.key.revoked_at), signed.key.revoked_reason
        report.unchecked.append(
            (
                "revoked key",
                (
                    f"the key was revoked at {when} ({reason}). The manifest says it is older, and it is in the log: "
                    "recount the log to see what stands after it"
                ),
            )
        )
    report.unchecked += signed.notes
    report.unchecked += [
        ("later events", "whether this unit was reworked or scrapped since: recount the log for that"),
        _WITNESS,
        _RETENTION,
    ]


def _event(event: Document, device: Document | None) -> str:
    return str(event["kind"]) if device is None else f"{event['kind']}, number {event['sequence']} of this device"


def _work(predicate: Document) -> list[Row]:
    """Rows on what was ordered, approved and found in flash, as the manifest has it."""
    order, release, measurement = predicate["order"], predicate["release"], predicate["measurement"]
    rows: list[Row] = []
    if order is not None:
        words = f"{order['id']} ({order['ticket']}): {order['sku']}, quantity {order['quantity']}"
        rows.append(("work order", words))
    if release is not None:
        approvals = ", ".join(f"{one['person']} ({one['ticket']})" for one in release["approvals"]) or "nobody"
        name = f"{release['sku']} {release['version']}, targets {release['metadata']['targets']}"
        rows.append(("release", f"{name}, approved by {approvals}"))
    if measurement is not None:
        ranges = measurement["ranges"]
        judged = "as approved" if all(one["sha256"] == one["expected"] for one in ranges) else "NOT as approved"
        image, erased = (sum(one["length"] for one in part) for part in (ranges, measurement["erased"]))
        words = f"{image} bytes of image {judged} (ranges: {len(ranges)}), {erased} bytes erased"
        rows.append(("flash", f"{words}; measured by the station, {measurement['method']}"))
    return rows


def tell_log(report: Report, trusted: TrustedCheckpoint, summary: Summary) -> None:
    """Rows on a whole log."""
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(summary.verdicts.items())) or "none"
    report.level = "logged"
    report.facts += [
        ("log", f"{trusted.checkpoint.origin}, station {trusted.station}"),
        ("entries", f"{summary.entries}, root {trusted.checkpoint.root.hex()}"),
        ("presses", f"{sum(summary.verdicts.values())} with a manifest: {verdicts}"),
        ("devices", str(summary.devices)),
        ("reservations", str(summary.reservations)),
        ("refusals", f"{summary.refusals} from the station's journal"),
    ]
    if summary.earliest is not None and summary.latest is not None:
        report.facts.append(("when", f"{format_time(summary.earliest)} to {format_time(summary.latest)}"))
    report.checked += [
        ("checkpoint", f"signed by {trusted.station}'s checkpoint key {trusted.key.digest}"),
        ("tree", "every tile recomputed from the entries, and the root as signed"),
        ("entries", "each signature, key, role, station and clock interval; nothing surely older than its predecessor"),
        ("devices", "each device's events are numbered without gap and name their predecessor"),
        ("reservations", "one a press, each closed by one manifest that agrees with it"),
        ("work orders", "no device passed as new twice, no order made more units than it allows"),
        ("refusals", "the journal's batches are one unbroken chain"),
    ]
    _tell_strangers(report, trusted)
    if summary.open_reservations:
        places = ", ".join(map(str, summary.open_reservations))
        report.unchecked.append(("open", f"the reservation at entry {places} is not closed yet: work in progress"))
    report.unchecked += summary.notes
    report.unchecked += [
        ("completeness", "whether the station has newer entries than this checkpoint"),
        _WITNESS,
        _RETENTION,
    ]


def tell_measurement(report: Report, measured: Measured) -> None:
    """Rows on a device's flash."""
    report.facts += [("release", measured.release), ("measured", measured.source)]
    report.checked += [
        ("range", f"{one.name}: {one.length} bytes at {one.start:#010x}, SHA-256 {one.sha256}")
        for one in measured.ranges
    ]
    report.checked.append(("outside", f"{measured.outside_bytes} bytes outside the image are erased"))
    report.unchecked += [
        ("origin", "that this measurement was taken from the device you mean: a file cannot show that"),
        ("coverage", "flash that the measurement does not mention"),
    ]


def _tell_strangers(report: Report, trusted: TrustedCheckpoint) -> None:
    """A row on signature lines that nobody here can judge."""
    if trusted.strangers:
        report.unchecked.append(
            ("signatures", f"{trusted.strangers} on the checkpoint by keys that the site does not name: ignored")
        )
