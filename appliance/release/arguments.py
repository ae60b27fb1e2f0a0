"""The words of `proofline release`: which commands there are and what each is told.

Nothing is opened or decided here; `appliance.release.cli` acts.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

from appliance.verify.site_times import parse_time


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the desk's commands."""
    verbs = parser.add_subparsers(dest="verb", metavar="COMMAND", required=True)

    def verb(name: str, summary: str) -> argparse.ArgumentParser:
        command = verbs.add_parser(name, help=summary, description=summary)
        command.add_argument("--desk", type=Path, default=Path(), help="the desk's folder (default: here)")
        return command

    command = verb("key", "make an approver's or the desk's key inside a token; prints its public half")
    command.add_argument("--existing", action="store_true", help="only print the public half of a key that is there")
    _token(command)

    command = verb("init", "begin a site: the root ceremony becomes the first proposal")
    command.add_argument("--site", required=True)
    command.add_argument("--approver", action="append", required=True, metavar="PERSON=KEY", help="KEY: PEM file")
    command.add_argument("--threshold", type=int, default=2)
    command.add_argument("--online", type=Path, required=True, help="PEM of the desk's snapshot and timestamp key")
    command.add_argument("--holder", required=True, help="who keeps the desk's token")
    command.add_argument("--place", required=True)
    for name, days in (("root", 730), ("targets", 365), ("online", 90)):
        command.add_argument(f"--{name}-days", type=int, default=days)

    command = verb("profile", "add or change a product")
    command.add_argument("sku")
    command.add_argument("--part", required=True)
    command.add_argument("--swclk-hz", type=int, required=True)
    command.add_argument("--label-prefix", required=True)
    command.add_argument("--label-mode", default="derived")
    command.add_argument("--label-scan", default="optional")
    command.add_argument("--event", action="append", help="an allowed event (default: all)")

    command = verb("firmware", "add a release: a firmware file and what it says must be in flash")
    command.add_argument("sku")
    command.add_argument("version")
    command.add_argument("file", type=Path)
    command.add_argument("--format", choices=("elf", "hex", "bin"), help="default: the file's extension")
    command.add_argument("--load-address", type=lambda text: int(text, 0))
    command.add_argument("--build-id", required=True)
    command.add_argument("--built-at", type=when, help="default: the file's time of modification")
    command.add_argument("--ticket", required=True)

    command = verb("order", "add a work order")
    command.add_argument("order")
    command.add_argument("--sku", required=True)
    command.add_argument("--version", required=True)
    command.add_argument("--quantity", type=int, required=True)
    command.add_argument("--station", action="append", required=True)
    command.add_argument("--ticket", required=True)
    command.add_argument("--opens", type=when, required=True)
    command.add_argument("--closes", type=when, required=True)

    command = verb("operator", "add, change or remove an operator")
    command.add_argument("operator")
    command.add_argument("--remove", action="store_true")
    command.add_argument("--name")
    command.add_argument("--badge-file", type=Path, help="a file that holds what the badge reads as")
    command.add_argument("--role", action="append", default=[])
    command.add_argument("--from", dest="since", type=when)
    command.add_argument("--until", type=when)

    command = verb("station", "add or change a station, with its public keys")
    command.add_argument("station")
    command.add_argument("--site", required=True)
    command.add_argument("--origin", required=True)
    command.add_argument("--product", action="append", required=True, help="a SKU, or *")
    command.add_argument("--key", action="append", default=[], metavar="PURPOSE=FILE", help="PEM or DER public key")
    command.add_argument("--from", dest="since", type=when)
    command.add_argument("--until", type=when)

    command = verb("settings", "set a station's settings")
    command.add_argument("station")
    command.add_argument("--max-width-ms", type=int, required=True)
    command.add_argument("--max-unexported-entries", type=int, required=True)
    command.add_argument("--session-s", type=int, required=True)
    probes = command.add_mutually_exclusive_group(required=True)
    probes.add_argument("--probe", help="the one debug probe")
    probes.add_argument("--gang", nargs="+", metavar="PROBE", help="a probe for each position of a gang fixture")

    command = verb("pins", "set the pins that a station's own GPIO probes hang on")
    command.add_argument("station")
    command.add_argument("file", type=Path, metavar="FILE", help='{"schema":1,"pin_sets":[...]}')

    command = verb("image", "add an image of the station's own software: its document and its bundle")
    command.add_argument("document", type=Path, metavar="DOCUMENT", help="what the image's build wrote about it")
    command.add_argument("bundle", type=Path, metavar="BUNDLE", help="the .raucb file, checked against the document")
    command.add_argument("--station", action="append", default=[], help="a station that shall run it (default: all)")
    command.add_argument("--ticket", required=True)

    command = verb("image-keyring", "set the certificates that bundles must be signed under")
    command.add_argument("file", type=Path, metavar="CERTS", help="PEM certificates and nothing else")

    command = verb("reset", "order that a station forget everything, and revoke its keys")
    command.add_argument("station")
    command.add_argument("--log", type=Path, required=True, metavar="COPY", help="all that it recorded, as exported")
    command.add_argument("--state", required=True, metavar="ID", help="which state, as the station's console says it")
    command.add_argument("--order", required=True, help="the reset's own number")
    command.add_argument("--ticket", required=True)
    command.add_argument("--from", dest="since", type=when, help="default: now")
    command.add_argument("--until", type=when, required=True)
    command.add_argument("--concurrent", type=int, default=1, metavar="N", help="positions of the station's fixture")
    command.add_argument("--allow-development", action="store_true", help="a station without an image")

    command = verb("revoke", "take a release, an image, an order, a reset order or a station's keys away")
    command.add_argument("kind", choices=("release", "image", "order", "reset", "station"))
    command.add_argument("name", help="SKU/VERSION, COMPATIBLE/VERSION of an image, an order, or a station")
    command.add_argument("--with-orders", action="store_true")
    command.add_argument("--at", type=when)
    command.add_argument("--reason", default="")
    command.add_argument("--key", help="a station key's digest, or its beginning (default: all its keys)")

    command = verb("expire", "close an order, or all orders for a release, at a time")
    command.add_argument("kind", choices=("release", "order"))
    command.add_argument("name", help="SKU/VERSION or an order")
    command.add_argument("--at", type=when)

    command = verb("root", "propose a new root: approvers or the desk's key change")
    command.add_argument("--add", action="append", default=[], metavar="PERSON=KEY")
    command.add_argument("--remove", action="append", default=[], metavar="PERSON")
    command.add_argument("--threshold", type=int)
    command.add_argument("--online", type=Path)
    command.add_argument("--holder")
    command.add_argument("--place", required=True)

    verb("proposal", "show the open proposal: exactly what an approval would approve")
    verb("drop", "give the open proposal up")

    command = verb("approve", "approve the open proposal, alone, with your own token")
    command.add_argument("--person", required=True)
    command.add_argument("--ticket", required=True)
    command.add_argument("--also-ticket", action="append", default=[])
    command.add_argument("--digest", help="the proposal's digest, as you were shown it")
    command.add_argument("--out", type=Path, help="write the contribution here instead of into the desk")
    _token(command)

    command = verb("hand-in", "add a contribution that was made elsewhere")
    command.add_argument("file", type=Path)

    _token(verb("promote", "publish the open proposal, at its threshold"))
    _token(verb("renew", "publish the same targets with a new snapshot and timestamp"))
    verb("show", "what is in force")

    command = verb("export", "write a carrier")
    command.add_argument("folder", type=Path)

    command = verb("verify", "verify a repository or carrier from a pinned root")
    command.add_argument("folder", type=Path)
    command.add_argument("--root", type=Path, required=True, help="the site's first root")


def _token(command: argparse.ArgumentParser) -> None:
    command.add_argument("--pkcs11", required=True, metavar="URI", help="the key, as a PKCS#11 URI (RFC 7512)")
    command.add_argument("--pin-file", help="a file with the PIN (default: the URI's pin-source, else a prompt)")


def when(text: str) -> datetime:
    """RFC 3339 with microseconds as documents have it, or anything that is a date with an offset."""
    try:
        moment = parse_time(text) or datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; write 2026-11-22T12:00:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
