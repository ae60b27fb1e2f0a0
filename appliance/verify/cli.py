"""`proofline verify unit|log|measurement`: evidence in files, a site's repository, an answer.

- Exit code 0: true. 1: false. 2: could not be checked. 3: bad input. The code and the text always agree.
- No network, no station, no key: everything is in the files named, and trust starts at `--root` alone.
- The present is this machine's clock (or `--at`); it is used for the site's expiry and for nothing else.
"""

from __future__ import annotations

import argparse
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from appliance.errors import ProoflineError
from appliance.evidence import checkpoint as checkpoints
from appliance.evidence import envelope, log, merkle, note, proof
from appliance.verify import narrate
from appliance.verify import report as reports
from appliance.verify.errors import UNDECIDED, InputUnreadable, MeasurementMalformed, ReleaseUnknown, outcome_of
from appliance.verify.files import LogDirectory, read_file
from appliance.verify.measurement import MAX_DUMP_BYTES, Segment, check_dump, check_report, parse_hex
from appliance.verify.policy import Level, Policy
from appliance.verify.report import Report
from appliance.verify.site import Directory, SiteTrust
from appliance.verify.site_documents import MAX_GANG
from appliance.verify.site_errors import SiteError
from appliance.verify.site_times import Interval, parse_time
from appliance.verify.verifier import Verifier
from appliance.verify.whole import recount, trusted_checkpoint

_MAX_ROOT = 1 << 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The three questions and their options."""
    commands = parser.add_subparsers(dest="question", metavar="QUESTION", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--site", type=Path, required=True, metavar="DIR", help="the site's repository")
    common.add_argument("--root", type=Path, required=True, metavar="FILE", help="the site's TUF root you trust")
    common.add_argument("--at", metavar="TIME", help="judge the site's expiry at this time (RFC 3339, µs, Z), not now")
    common.add_argument("--accept-expired", action="store_true", help="accept a site's word past its expiry")
    common.add_argument("--allow-development", action="store_true", help="accept stations without an image")
    common.add_argument("--json", action="store_true", help="answer with one JSON object")

    unit = commands.add_parser("unit", parents=[common], help="one unit's manifest and its proof")
    unit.add_argument("manifest", type=Path, metavar="MANIFEST")
    unit.add_argument("proof", type=Path, nargs="?", metavar="PROOF")
    unit.add_argument(
        "--level",
        choices=[one.word for one in Level],
        default=Level.LOGGED.word,
        help="minimum assurance; nothing establishes the last two yet",
    )
    unit.add_argument("--any-verdict", action="store_true", help="a genuine record of a unit that failed will do")
    unit.set_defaults(ask=_unit)

    whole = commands.add_parser("log", parents=[common], help="a whole published log, recounted")
    whole.add_argument("log", type=Path, metavar="DIR")
    whole.add_argument("--since", type=Path, metavar="CHECKPOINT", help="an older checkpoint that it must continue")
    whole.add_argument(
        "--concurrent",
        type=int,
        choices=range(1, MAX_GANG + 1),
        default=1,
        metavar="N",
        help="how many units the station may work on at once: the positions of its fixture (default: 1)",
    )
    whole.set_defaults(ask=_log, level=Level.LOGGED.word, any_verdict=True)

    flash = commands.add_parser("measurement", parents=[common], help="a device's flash against a release")
    flash.add_argument("measurement", type=Path, metavar="FILE", help="measurement JSON, Intel HEX, or raw dump")
    flash.add_argument("--release", required=True, metavar="SKU/VERSION")
    flash.add_argument("--base", metavar="ADDRESS", help="FILE is a raw dump whose first byte stands there")
    flash.set_defaults(ask=_measurement, level=Level.SIGNED.word, any_verdict=True)


def run(args: argparse.Namespace) -> int:
    """Answer the question; its exit code."""
    report = Report("")
    ask: Callable[[argparse.Namespace, Report], None] = args.ask
    try:
        ask(args, report)
    except ProoflineError as refusal:
        report.refusal, report.outcome, report.headline = refusal, outcome_of(refusal), refusal.operator
        if isinstance(refusal, SiteError):  # its own words are for whoever holds a medium at a station
            report.headline = "the site's repository is not believed, so nothing can be judged by it."
    except Exception:  # noqa: BLE001  # Python's exit code for a defect of ours is 1, which here would say "false"
        traceback.print_exc()
        report.outcome, report.headline = UNDECIDED, "the verifier itself failed; this says nothing about the evidence."
    print(reports.as_json(report) if args.json else reports.as_text(report), end="")
    return report.outcome


def _unit(args: argparse.Namespace, report: Report) -> None:
    report.question = f"Is {args.manifest.name} genuine, and did its unit pass?"
    verifier = _verifier(args, report)
    manifest = read_file(args.manifest, envelope.MAX_BYTES)
    unit = verifier.establish(manifest, None if args.proof is None else read_file(args.proof, proof.MAX_BYTES))
    narrate.tell_unit(report, unit)
    verifier.demand(unit)
    verdict = unit.signed.manifest.verdict
    report.headline = f"the record is genuine ({unit.level.word}) and the verdict is '{verdict}'."


def _log(args: argparse.Namespace, report: Report) -> None:
    report.question = f"Does every entry of the log in {args.log.name or args.log} hold, alone and together?"
    verifier = _verifier(args, report)
    if not args.log.is_dir():
        raise InputUnreadable(path=str(args.log), why="it is no directory")
    storage = LogDirectory(args.log)
    trusted = trusted_checkpoint(verifier, storage)
    continued = ""
    if args.since is not None:
        older = verifier.check_checkpoint(read_file(args.since, note.MAX_BYTES), trusted.checkpoint.origin)
        _check_continues(storage, older.checkpoint, trusted.checkpoint)
        continued = f"the log continues {args.since.name} (entries: {older.checkpoint.size})"
    narrate.tell_log(report, trusted, recount(verifier, storage, trusted))
    if continued:
        report.checked.append(("history", continued))
    report.headline = "every entry holds, alone and together."


def _measurement(args: argparse.Namespace, report: Report) -> None:
    report.question = f"Does {args.measurement.name} show a device that holds {args.release} and nothing else?"
    trust = _verifier(args, report).trust
    sku, _, version = args.release.partition("/")
    if f"releases/{sku}/{version}.json" not in trust.targets:
        raise ReleaseUnknown(sku=sku, version=version)
    release = trust.release(sku, version)
    document = read_file(args.measurement, MAX_DUMP_BYTES)
    if args.base is not None:
        measured = check_dump(release, [Segment(_address(args.base), document)], "raw dump")
    elif document.startswith(b":"):
        measured = check_dump(release, parse_hex(document), "Intel HEX dump")
    else:
        measured = check_report(release, document)
    narrate.tell_measurement(report, measured)
    report.headline = "what was measured is the release, and what was seen outside it is erased."


def _verifier(args: argparse.Namespace, report: Report) -> Verifier:
    now = datetime.now(UTC) if args.at is None else parse_time(args.at)
    if now is None:
        raise InputUnreadable(path="--at", why="it is not RFC 3339 with six digits of microseconds and Z")
    policy = Policy(
        minimum=Level[args.level.upper()],
        allow_development=args.allow_development,
        accept_expired=args.accept_expired,
        require_pass=not args.any_verdict,
        concurrent=getattr(args, "concurrent", 1),
    )
    trust = SiteTrust.verify(Directory(args.site), read_file(args.root, _MAX_ROOT))
    verifier = Verifier(trust, policy, Interval(now, now))
    narrate.tell_site(report, verifier)
    return verifier


def _check_continues(storage: LogDirectory, old: checkpoints.Checkpoint, new: checkpoints.Checkpoint) -> None:
    # A log that is shorter than the older checkpoint is refused by the check, before any tile is read for it.
    hashes = (
        () if old.size > new.size else merkle.consistency_proof(old.size, new.size, log.hashes(storage, new.size).node)
    )
    merkle.check_consistency(old.size, old.root, new.size, new.root, hashes)


def _address(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise MeasurementMalformed(why=f"{text[:40]!r} is no address") from None
