"""Which room may know what: the arrows of DESIGN section 3, checked in the source and in a running interpreter.

- `evidence` knows nothing of ours but the vocabulary of refusal; `verify` knows evidence besides.
- Nobody knows the line.
- `card` works where stations are looked after: it reads as stations read, with their parsers, and knows no service.
- Neither of the three reaches for a network, a process or an HSM. Reading the source shows what *we*
  import, even inside functions; a fresh interpreter shows what is really loaded, and through which foreign package.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.quality.without_reach import REACHED

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "appliance"

REACH = {
    "network": {"socket", "_socket", "ssl", "_ssl", "http.client", "urllib.request", "urllib3", "requests", "asyncio"},
    "processes": {"subprocess", "_posixsubprocess", "multiprocessing", "pty"},
    "hardware": {"pkcs11", "ctypes", "_ctypes", "usb", "serial", "pyudev", "pyocd", "gpiozero", "gpiod"},
}
OUT_OF_REACH = set().union(*REACH.values())

# What each pure room may import: of ours, and of others.
OURS = {
    "evidence": {"appliance", "appliance.errors", "appliance.evidence"},
    "verify": {"appliance", "appliance.errors", "appliance.evidence", "appliance.verify"},
    "card": {
        *("appliance", "appliance.errors", "appliance.evidence", "appliance.verify", "appliance.card"),
        *("appliance.station", "appliance.update", "appliance.update.errors", "appliance.update.slotstate"),
    },
}
FOREIGN = {"evidence": {"cryptography"}, "verify": {"cryptography", "tuf", "securesystemslib"}, "card": set[str]()}

# What those foreign packages load by themselves. It is loaded and never called: cryptography imports the socket
# module for its address constants; tuf.api imports securesystemslib's signers, and with them the GnuPG signer (which
# could start gpg). The HSM signer among them finds no python-pkcs11 (verify.tuf_metadata).
# Only checked to be no more than this, so that an upgrade that reaches further is noticed.
BROUGHT_ALONG = {
    "cryptography": {"socket", "_socket"},
    "securesystemslib": {"socket", "_socket", "subprocess", "_posixsubprocess"},
}

# Libraries that are one room's business: the processes' privileges follow from these (DESIGN section 2).
OWNERS = {
    "pkcs11": {"custody", "release"},
    "pyocd": {"line", "target", "swd"},
    "gpiozero": {"panel"},
    "ntplib": {"clock"},
    "pyudev": {"usbgate"},
    "tuf.ngclient": {"intake"},
    "http.client": {"fetch"},
}


def imports_of(path: Path) -> set[str]:
    """Every module that the source at `path` names in an import, wherever it stands; `from a import b` is a and a.b."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module or "")
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            names.update(
                str(argument.value) if isinstance(argument, ast.Constant) else "?" for argument in node.args[:1]
            )
    return names


def within(name: str, modules: set[str]) -> bool:
    """Whether `name` is one of `modules` or lies inside one (a bare `appliance` admits only itself)."""
    return any(name == module or (module != "appliance" and name.startswith(module + ".")) for module in modules)


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def sources() -> list[tuple[str, Path]]:
    """(room, file) of the whole package; a top-level module's room is its own name."""
    return [(p.relative_to(PACKAGE).parts[0].removesuffix(".py"), p) for p in sorted(PACKAGE.rglob("*.py"))]


def modules_of(room: str) -> list[str]:
    found = (path.relative_to(ROOT).with_suffix("").parts for name, path in sources() if name == room)
    return [".".join(parts).removesuffix(".__init__") for parts in found if parts[-1] != "__main__"]


def loaded_by(modules: set[str]) -> set[str]:
    """What a fresh interpreter has loaded after importing `modules`, less what it starts with."""
    script = (
        "import sys, json, importlib; before = set(sys.modules); names = json.loads(sys.argv[1])\n"
        "for name in names: importlib.import_module(name)\n"
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, json.dumps(sorted(modules))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(result.stdout))


def foreign_imports(room: str) -> set[str]:
    named: set[str] = set().union(*(imports_of(path) for name, path in sources() if name == room))
    return {name for name in named if name.partition(".")[0] not in sys.stdlib_module_names | {"appliance", ""}}


@pytest.mark.parametrize("room", OURS)
def test_a_pure_room_names_only_what_it_may(room: str) -> None:
    for name, path in sources():
        if name != room:
            continue
        for imported in imports_of(path):
            where = f"{path.relative_to(ROOT)} imports {imported}"
            assert not within(imported, OUT_OF_REACH), where
            assert imported != "?", f"{path.relative_to(ROOT)} imports a computed name"
            if imported.partition(".")[0] == "appliance" and is_module(imported):
                assert within(imported, OURS[room]), where
    assert {name.partition(".")[0] for name in foreign_imports(room)} <= FOREIGN[room]


@pytest.mark.parametrize("room", OURS)
def test_a_pure_room_loads_no_reach_of_its_own(room: str) -> None:
    modules = modules_of(room)
    assert modules, "the room is empty"
    loaded = loaded_by(set(modules))
    ours = {name for name in loaded if name.partition(".")[0] == "appliance"}
    assert {name for name in ours if not within(name, OURS[room])} == set()

    packages = {name.partition(".")[0] for name in loaded} & set(BROUGHT_ALONG)
    excused = set().union(*(BROUGHT_ALONG[package] for package in packages))
    assert {name for name in loaded if name in OUT_OF_REACH} <= excused


def test_evidence_brings_no_process_and_no_hsm() -> None:
    loaded = loaded_by(set(modules_of("evidence")))
    assert loaded & (REACH["processes"] | REACH["hardware"]) == set()


@pytest.mark.parametrize("room", ["fetch", "intake", "line", "panel", "recorder", "update", "verify"])
def test_who_signs_nothing_loads_nothing_of_a_token(room: str) -> None:
    assert {name for name in loaded_by(set(modules_of(room))) if within(name, {"pkcs11", "asn1crypto"})} == set()


def test_nobody_knows_the_line() -> None:
    knowing = [
        path.relative_to(ROOT).as_posix()
        for room, path in sources()
        if room != "line" and any(within(name, {"appliance.line"}) for name in imports_of(path))
    ]
    assert knowing == []


@pytest.mark.parametrize("library", OWNERS)
def test_a_library_with_reach_has_its_owners(library: str) -> None:
    users = {room for room, path in sources() if any(within(name, {library}) for name in imports_of(path))}
    assert users <= OWNERS[library]


def test_the_product_does_not_know_the_bench() -> None:
    for _, path in sources():
        assert not any(within(name, {"hil", "tests"}) for name in imports_of(path)), path


def exit_code_without_reach(statements: str) -> int:
    script = f"from tests.quality.without_reach import forbid_reach; forbid_reach()\n{statements}"
    return subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=False).returncode


@pytest.mark.parametrize("room", OURS)
def test_importing_a_pure_room_reaches_for_nothing(room: str) -> None:
    imports = "\n".join(f"import {name}" for name in modules_of(room))
    assert exit_code_without_reach(imports) == 0


@pytest.mark.parametrize(
    "reach",
    [
        "import socket; socket.socket()",
        "import socket; socket.getaddrinfo('localhost', 80)",
        "import subprocess; subprocess.Popen(['true'])",
        "import os; os.posix_spawn('/bin/true', ['true'], {})",
        "import os; os.fork()",
        "import ctypes; ctypes.CDLL('libc.so.6')",
    ],
)
def test_a_reach_is_noticed(reach: str) -> None:
    assert exit_code_without_reach(reach) == REACHED
