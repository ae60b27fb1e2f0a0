"""`proofline release`: the release desk's commands.

- Each command does one thing to one desk folder (`--desk`, default: here) and says what it did.
- `approve` shows exactly what will be signed, names its digest, and signs only after the person has typed it back (or
  given it with --digest). It may run on another machine, on a copy of the folder; `--out` writes what to hand in.
- PINs come from a file or a prompt, never from a command line.
"""

from __future__ import annotations

import argparse
import getpass
import platform
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from appliance import __version__
from appliance.release import inputs
from appliance.release.arguments import add_arguments
from appliance.release.bundles import present
from appliance.release.contribution import contribute
from appliance.release.desk import Desk, Validity
from appliance.release.draft import NewStationKey
from appliance.release.errors import InputMalformed, NotTheProposal
from appliance.release.publication import fully_verified
from appliance.release.resets import propose_reset, prove
from appliance.release.roots import Approver, Online
from appliance.release.token import generate_key, open_key, parse_uri, read_pin
from appliance.verify.site import SiteTrust
from appliance.verify.site_times import Interval

__all__ = ["add_arguments", "run"]


def run(arguments: argparse.Namespace) -> int:
    """Run one command. Refusals pass through to the caller."""
    _VERBS[arguments.verb](arguments)
    return 0


def _key(arguments: argparse.Namespace) -> None:
    if arguments.existing:
        with open_key(arguments.pkcs11, _pin(arguments)) as key:
            public = key.public
    else:
        public = generate_key(arguments.pkcs11, _pin(arguments))
    print(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(), end="")


def _init(arguments: argparse.Namespace) -> None:
    desk = Desk.create(
        arguments.desk,
        site=arguments.site,
        approvers=[_approver(text) for text in arguments.approver],
        online=Online(inputs.p256(arguments.online), arguments.holder),
        threshold=arguments.threshold,
        place=arguments.place,
        machine=_machine(),
        now=_now(),
        validity=Validity(arguments.root_days, arguments.targets_days, arguments.online_days),
    )
    _say(desk)


def _profile(arguments: argparse.Namespace) -> None:
    more = {"events": arguments.event} if arguments.event else {}
    with (desk := Desk(arguments.desk)).edit(_now()) as draft:
        draft.set_profile(
            arguments.sku,
            part=arguments.part,
            swclk_hz=arguments.swclk_hz,
            prefix=arguments.label_prefix,
            mode=arguments.label_mode,
            scan=arguments.label_scan,
            **more,
        )
    _say(desk)


def _firmware(arguments: argparse.Namespace) -> None:
    file: Path = arguments.file
    content = inputs.read(file)
    built_at = arguments.built_at or datetime.fromtimestamp(file.stat().st_mtime, UTC)
    with (desk := Desk(arguments.desk)).edit(_now()) as draft:
        draft.add_firmware(
            arguments.sku,
            arguments.version,
            content,
            name=file.name,
            format=arguments.format or file.suffix.removeprefix("."),
            built_at=built_at,
            build_id=arguments.build_id,
            ticket=arguments.ticket,
            load_address=arguments.load_address,
        )
    _say(desk)


def _order(arguments: argparse.Namespace) -> None:
    with (desk := Desk(arguments.desk)).edit(_now()) as draft:
        draft.add_order(
            arguments.order,
            sku=arguments.sku,
            version=arguments.version,
            quantity=arguments.quantity,
            stations=arguments.station,
            ticket=arguments.ticket,
            opens=arguments.opens,
            closes=arguments.closes,
        )
    _say(desk)


def _operator(arguments: argparse.Namespace) -> None:
    with (desk := Desk(arguments.desk)).edit(_now()) as draft:
        if arguments.remove:
            draft.remove_operator(arguments.operator)
        else:
            for name in ("name", "badge_file", "since", "until"):
                if getattr(arguments, name) is None:
                    raise InputMalformed(field=name, found="missing", expected="an operator needs it")
            draft.set_operator(
                arguments.operator,
                name=arguments.name,
                badge=inputs.read(arguments.badge_file).decode("utf-8", "replace").strip(),
                roles=arguments.role,
                since=arguments.since,
                until=arguments.until,
            )
    _say(desk)


def _station(arguments: argparse.Namespace) -> None:
    keys = []
    for text in arguments.key:
        purpose, _, file = text.partition("=")
        if arguments.since is None or arguments.until is None:
            raise InputMalformed(field="key", found=purpose, expected="--from and --until say when it is believed")
        algorithm, public = inputs.public(Path(file))
        keys.append(NewStationKey(purpose, algorithm, public, arguments.since, arguments.until))
    with (desk := Desk(arguments.desk)).edit(_now()) as draft:
        draft.set_station(
            arguments.station, site=arguments.site, origin=arguments.origin, products=arguments.product, keys=keys
        )
    _say(desk)


def _settings(arguments: argparse.Namespace) -> None:
    with (desk := Desk(arguments.desk)).edit(_now()) as draft:
        draft.set_settings(
            arguments.station,
            max_width_ms=arguments.max_width_ms,
            max_unexported_entries=arguments.max_unexported_entries,
            session_s=arguments.session_s,
            probe=arguments.probe,
            gang=arguments.gang or (),
        )
    _say(desk)


def _pins(arguments: argparse.Namespace) -> None:
    with (desk := Desk(arguments.desk)).edit(_now()) as draft:
        draft.set_pins(arguments.station, inputs.read(arguments.file))
    _say(desk)


def _image(arguments: argparse.Namespace) -> None:
    with (desk := Desk(arguments.desk)).edit(_now()) as draft:
        image = draft.add_image(
            inputs.json_object(arguments.document), ticket=arguments.ticket, stations=arguments.station
        )
        desk.keep_bundle(image, arguments.bundle)
    _say(desk)


def _image_keyring(arguments: argparse.Namespace) -> None:
    with (desk := Desk(arguments.desk)).edit(_now()) as draft:
        draft.set_image_keyring(inputs.read(arguments.file))
    _say(desk)


def _revoke(arguments: argparse.Namespace) -> None:
    with (desk := Desk(arguments.desk)).edit(_now()) as draft:
        if arguments.kind == "release":
            draft.revoke_release(*_release(arguments.name), with_orders=arguments.with_orders)
        elif arguments.kind == "image":
            draft.revoke_image(*_release(arguments.name))
        elif arguments.kind == "order":
            draft.revoke_order(arguments.name)
        elif arguments.kind == "reset":
            draft.revoke_reset(arguments.name)
        else:
            at = arguments.at or _now()
            draft.revoke_station(arguments.name, at=at, reason=arguments.reason, key=arguments.key)
    _say(desk)


def _reset(arguments: argparse.Namespace) -> None:
    desk, now = Desk(arguments.desk), _now()
    proven = prove(
        arguments.log,
        desk.published(),
        arguments.station,
        now=now,
        concurrent=arguments.concurrent,
        development=arguments.allow_development,
    )
    with desk.edit(now) as draft:
        propose_reset(
            draft,
            arguments.station,
            proven,
            order=arguments.order,
            state=arguments.state,
            ticket=arguments.ticket,
            since=arguments.since or now,
            until=arguments.until,
            now=now,
        )
    print(f"proven: {proven.log.size} entries, root {proven.log.root}; {proven.refusals.count} refusals")
    _say(desk)


def _expire(arguments: argparse.Namespace) -> None:
    at = arguments.at or _now()
    with (desk := Desk(arguments.desk)).edit(_now()) as draft:
        if arguments.kind == "release":
            draft.expire_release(*_release(arguments.name), at)
        else:
            draft.expire_order(arguments.name, at)
    _say(desk)


def _root(arguments: argparse.Namespace) -> None:
    desk = Desk(arguments.desk)
    online = None
    if arguments.online is not None:
        online = Online(inputs.p256(arguments.online), arguments.holder or desk.online_holder)
    desk.rotate(
        add=[_approver(text) for text in arguments.add],
        remove=arguments.remove,
        threshold=arguments.threshold,
        online=online,
        place=arguments.place,
        machine=_machine(),
        now=_now(),
    )
    _say(desk)


def _proposal(arguments: argparse.Namespace) -> None:
    desk = Desk(arguments.desk)
    print("\n".join(desk.show()))
    for one in desk.contributions():
        print(f"approved by {one.person} ({', '.join(sorted(one.signatures))})")


def _drop(arguments: argparse.Namespace) -> None:
    Desk(arguments.desk).drop()
    print("dropped; what is in force stays")


def _approve(arguments: argparse.Namespace) -> None:
    desk = Desk(arguments.desk)
    print("\n".join(desk.show()))
    digest = desk.proposal().digest
    expect = arguments.digest or _typed_back(digest)
    if expect != digest:
        raise NotTheProposal(found=digest, expected=expect[:80])
    tickets = tuple(arguments.also_ticket)
    with open_key(arguments.pkcs11, _pin(arguments)) as key:
        made = contribute(
            desk.proposal(),
            desk.ring(),
            key,
            person=arguments.person,
            expect=expect,
            ticket=arguments.ticket,
            tickets=tickets,
            at=_now(),
        )
    if arguments.out is None:
        desk.hand_in(made.to_bytes())
    else:
        arguments.out.write_bytes(made.to_bytes())
    print(f"{made.person} has signed {', '.join(sorted(made.signatures))} under {arguments.ticket}")


def _typed_back(digest: str) -> str:
    """What the person types; eight digits are enough to show that this screen was read."""
    shown = digest.removeprefix("sha256:")[:8]
    question = f"To approve, type the first eight digits of the proposal's digest ({shown[:2]}......): "
    try:
        typed = input(question).strip()
    except EOFError:  # nobody is there to read the screen: that is no approval
        typed = ""
    return digest if typed == shown else typed or "nothing"


def _hand_in(arguments: argparse.Namespace) -> None:
    made = Desk(arguments.desk).hand_in(inputs.read(arguments.file), arguments.file.name)
    print(f"{made.person}: {', '.join(sorted(made.signatures))}")


def _promote(arguments: argparse.Namespace) -> None:
    desk = Desk(arguments.desk)
    with open_key(arguments.pkcs11, _pin(arguments)) as key:
        desk.promote(key, _now())
    _in_force(desk.published())


def _renew(arguments: argparse.Namespace) -> None:
    desk = Desk(arguments.desk)
    with open_key(arguments.pkcs11, _pin(arguments)) as key:
        desk.renew(key, _now())
    _in_force(desk.published())


def _show(arguments: argparse.Namespace) -> None:
    desk = Desk(arguments.desk)
    site = desk.published()
    print(f"site {desk.site}; snapshot and timestamp are signed by {desk.online_holder}")
    for version in range(1, site.versions.root + 1):
        ceremony = desk.ceremony(version)
        people = ", ".join(one["person"] for one in ceremony["approvers"])
        print(f"root {version}: made at {ceremony['place']}, {ceremony['at']}; approvers {people}")
    _in_force(site)
    if desk.has_proposal():
        print(f"open proposal {desk.proposal().digest}")


def _export(arguments: argparse.Namespace) -> None:
    _in_force(Desk(arguments.desk).export(arguments.folder))


def _verify(arguments: argparse.Namespace) -> None:
    site = fully_verified(arguments.folder, inputs.read(arguments.root))
    there = present(site, arguments.folder)
    _in_force(site)
    for target in site.detached:
        print(f"  {target.path}: {'as approved' if target.path in there else 'not on this carrier'}")


def _in_force(site: SiteTrust) -> None:
    now = _now()
    expiry = site.expiry(Interval(now, now))
    versions = ", ".join(f"{role} {version}" for role, version in site.versions.as_record().items())
    print(f"anchor {site.anchor}\nversions: {versions}\n{expiry.status} until {expiry.until.isoformat()}")
    for one in site.approvals:
        print(f"approved by {one.person} under {one.ticket} at {one.at}")
    for folder in ("releases", "orders", "products", "settings", "pins", "images", "resets"):
        for name in site.names(folder):
            print(f"  {folder}/{name}")


def _say(desk: Desk) -> None:
    print(f"proposal {desk.proposal().digest}: look at it with `proofline release proposal`, then have it approved")


def _pin(arguments: argparse.Namespace) -> str:
    source = arguments.pin_file or parse_uri(arguments.pkcs11).pin_source
    return read_pin(source) if source else getpass.getpass("PIN: ", stream=sys.stderr)


def _approver(text: str) -> Approver:
    person, _, file = text.partition("=")
    return Approver(person, inputs.p256(Path(file)))


def _release(name: str) -> tuple[str, str]:
    sku, _, version = name.partition("/")
    return sku, version


def _now() -> datetime:
    return datetime.now(UTC)


def _machine() -> dict[str, str]:
    """What the ceremony's transcript says of the machine it was made on."""
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "proofline": __version__,
        "boot_id": Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip(),
    }


_VERBS: dict[str, Callable[[argparse.Namespace], None]] = {
    "key": _key,
    "init": _init,
    "profile": _profile,
    "firmware": _firmware,
    "order": _order,
    "operator": _operator,
    "station": _station,
    "settings": _settings,
    "pins": _pins,
    "image": _image,
    "image-keyring": _image_keyring,
    "reset": _reset,
    "revoke": _revoke,
    "expire": _expire,
    "root": _root,
    "proposal": _proposal,
    "drop": _drop,
    "approve": _approve,
    "hand-in": _hand_in,
    "promote": _promote,
    "renew": _renew,
    "show": _show,
    "export": _export,
    "verify": _verify,
}
