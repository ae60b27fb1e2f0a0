"""`proofline image verify|site|write`: from a build's output to a card for one station.

- Exit code 0: as it should be. 1: it is not (verify), or the card is unfinished (write). 3: bad input, nothing touched.
- No network and no station. Writing a disk needs root; nothing else does.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from appliance.card import check, device, gpt
from appliance.card import site as sites
from appliance.card.check import Finding
from appliance.card.errors import (
    ImageChanged,
    NotConfirmed,
    OutputRefused,
    ReadBackDiffers,
    ReadBackFailed,
    WriteFailed,
)
from appliance.card.medium import Medium
from appliance.card.progress import Progress
from appliance.card.record import read_record
from appliance.card.write import write_card
from appliance.errors import ProoflineError

GOOD, NOT_GOOD = 0, 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The three verbs and their options."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)

    verify = verbs.add_parser("verify", help="compare a build's files, an image or a card with the build record")
    verify.add_argument("what", type=Path, metavar="FOLDER|IMAGE|CARD", help="a build's output, disk.raw, or a device")
    verify.add_argument("--build", type=Path, metavar="FILE", help="the build record (default: FOLDER/build.json)")
    verify.set_defaults(act=_verify)

    site = verbs.add_parser("site", help="make the site partition from root.json, station.json and *.sources")
    site.add_argument("folder", type=Path, metavar="FOLDER")
    site.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    site.set_defaults(act=_site)

    write = verbs.add_parser("write", help="write a card, read all of it back")
    write.add_argument("image", type=Path, metavar="DISK.RAW")
    write.add_argument("device", type=Path, metavar="DEVICE", help="the card's whole device, or a file of its size")
    write.add_argument("--build", type=Path, metavar="FILE", help="the build record (default: build.json beside it)")
    write.add_argument("--site", type=Path, metavar="FOLDER", help="the station's files; without: not enrolled")
    write.add_argument("--confirm", metavar="TEXT", help="model, serial number and size of a device that is no card")
    write.set_defaults(act=_write)


def run(args: argparse.Namespace) -> int:
    """Do it; its exit code."""
    return int(args.act(args))


def _verify(args: argparse.Namespace) -> int:
    if args.what.is_dir():
        return _told(check.folder(args.what, read_record(args.build or args.what / "build.json")))
    record = None if args.build is None else read_record(args.build)
    # a card that was in a station is not the image any more; only its parts can be compared
    built = record is not None and args.what.is_file() and _size(args.what) == record.sizes.get("disk.raw")
    return _told(check.image(args.what, record) if record is not None and built else check.card(args.what, record))


def _site(args: argparse.Namespace) -> int:
    found = sites.read_folder(args.folder)
    image = found.image()
    try:
        args.output.write_bytes(image)
    except OSError as error:
        raise OutputRefused(path=os.fspath(args.output), why=error.strerror or "error") from None
    _told(found.words())
    print(f"{args.output}: {len(image)} bytes")
    return GOOD


def _write(args: argparse.Namespace) -> int:
    record = read_record(args.build or args.image.parent / "build.json")
    found = None if args.site is None else sites.read_folder(args.site)
    content = sites.no_site() if found is None else found.image()
    target = device.look(args.device)
    with Medium(target) as medium:
        there = gpt.names(medium.read, target.size)
        print(f"{target.words()}; on it: {', '.join(there) or 'no partitions that are known here'}")
        _confirm(target, there, args.confirm)
        _told((("site", "none: the station will not be enrolled"),) if found is None else found.words())
        try:
            done = write_card(args.image, record, content, medium, Progress(sys.stdout))
        except (WriteFailed, ReadBackFailed, ReadBackDiffers, ImageChanged) as refusal:
            print(_refused(refusal), file=sys.stderr)
            return NOT_GOOD
        except KeyboardInterrupt:
            print("stopped. Once writing has begun the card has no partition table: write it again", file=sys.stderr)
            return NOT_GOOD
    print(f"written and read back: version {record.version}, sha256 {done.digest}, {done.data / 1e6:.0f} MB of data")
    return GOOD


def _confirm(target: device.Device, there: tuple[str, ...], typed: str | None) -> None:
    try:
        device.confirm(target, there, typed)
    except NotConfirmed as refusal:
        if typed is not None or not sys.stdin.isatty():
            raise
        print(f"{refusal.details['why']}. What is on it will be gone. To go on, type: {target.phrase}")
        device.confirm(target, there, sys.stdin.readline())


def _told(findings: Iterable[Finding]) -> int:
    outcome = GOOD
    for one in findings:
        if isinstance(one, ProoflineError):
            print(_refused(one))
            outcome = NOT_GOOD
        else:
            print(f"{one[0]:15} {one[1]}")
    return outcome


def _refused(refusal: ProoflineError) -> str:
    return f"{refusal.code}  {refusal.engineer_sentence()}\n  next: {refusal.action}"


def _size(path: Path) -> int:
    return path.stat().st_size
