"""Calls between processes: who may, what comes back, and what a broken or hostile peer can do."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import ProoflineError
from appliance.ipc import CallInterrupted, Client, ServiceUnavailable
from appliance.ipc.errors import BadArguments, CallerNotAllowed, UnknownCaller, UnknownVerb
from appliance.ipc.service import peers_here
from appliance.ipc.wire import MAX_MESSAGE, decode

CHECKOUT = Path(__file__).resolve().parents[2]
SERVER = """
import os, sys, time
from appliance.ipc import serve
from appliance.ipc.errors import BadMessage

class Intake:
    def import_(self, caller, carrier):
        if carrier == "refuse":
            raise BadMessage(why=f"for {caller.role}")
        if carrier == "die":
            os._exit(9)
        if carrier == "defect":
            raise ValueError("a defect")
        if carrier == "wrong":
            return {"generation": "one"}
        return {"generation": len(carrier), "root": os.getpid(), "targets": caller.uid, "unchanged": False}
    def describe(self, caller):
        return {}

implementation = Intake()
setattr(implementation, "import", implementation.import_)
serve("intake", implementation, {"Import": frozenset({"ops"}), "Describe": frozenset({"line"})})
"""
INTAKE = "io.proofline.intake"


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[str]]:
    monkeypatch.setenv("PROOFLINE_RUN", os.fspath(tmp_path))
    monkeypatch.setenv("PROOFLINE_PEERS", os.fspath(tmp_path / "peers.json"))
    (tmp_path / "peers.json").write_text(json.dumps({"ops": os.getuid(), "line": 64999}))
    server = subprocess.Popen([sys.executable, "-c", SERVER], cwd=CHECKOUT, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30
    while not answers(tmp_path / "intake.sock"):
        assert server.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    yield server
    server.kill()
    server.communicate()


def answers(door: Path) -> bool:
    """Whether somebody listens: the socket's file is there a moment earlier."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        try:
            caller.connect(os.fspath(door))
        except OSError:
            return False
    return True


def raw(tmp_path: Path, data: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.settimeout(20)
        door.connect(os.fspath(tmp_path / "intake.sock"))
        try:
            door.sendall(data)
            door.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: door.recv(65536), b""))
        except (BrokenPipeError, ConnectionResetError):
            return b""


def test_a_call_is_answered_and_the_kernel_says_who_called(served: subprocess.Popen[str]) -> None:
    with Client.for_role("intake") as intake:
        assert intake.call("Import", carrier="abc") == {
            "generation": 3,
            "root": served.pid,
            "targets": os.getuid(),
            "unchanged": False,
        }


def test_a_refusal_comes_back_as_the_class_it_was(served: subprocess.Popen[str]) -> None:
    with Client.for_role("intake") as intake, pytest.raises(ProoflineError) as refusal:
        intake.call("Import", carrier="refuse")
    assert refusal.value.code == "PL-IPC-006"
    assert refusal.value.details == {"why": "for ops"}


def test_a_verb_of_another_role_is_refused(served: subprocess.Popen[str]) -> None:
    with Client.for_role("intake") as intake, pytest.raises(CallerNotAllowed):
        intake.call("Describe")


def test_a_uid_that_is_no_role_is_refused(served: subprocess.Popen[str], tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.fail("this test needs root: it calls as another uid")
    tmp_path.chmod(0o755)
    for directory in tmp_path.parents:
        if directory.owner() == "root" and directory != Path("/tmp") and directory.is_relative_to("/tmp"):
            directory.chmod(0o755)
    call = json.dumps({"method": f"{INTAKE}.Describe"}).encode() + b"\0"
    script = (
        "import os,socket,sys; os.setuid(64998); s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
        "s.sendall(sys.stdin.buffer.read()); sys.stdout.buffer.write(s.recv(65536))"
    )
    socket_path = os.fspath(tmp_path / "intake.sock")
    answer = subprocess.run(
        [sys.executable, "-c", script, socket_path], input=call, capture_output=True, check=True, cwd="/"
    )
    assert json.loads(answer.stdout.rstrip(b"\0"))["parameters"]["code"] == UnknownCaller.code


def test_bad_arguments_are_refused_by_the_service_too(served: subprocess.Popen[str], tmp_path: Path) -> None:
    answer = raw(tmp_path, b'{"method":"io.proofline.intake.Import","parameters":{"carrier":7}}\0')
    assert json.loads(answer.rstrip(b"\0"))["parameters"]["code"] == BadArguments.code


def test_an_unknown_verb_is_refused(served: subprocess.Popen[str], tmp_path: Path) -> None:
    answer = raw(tmp_path, b'{"method":"io.proofline.intake.Sign"}\0')
    assert json.loads(answer.rstrip(b"\0"))["parameters"]["code"] == UnknownVerb.code


@pytest.mark.parametrize(
    "data",
    [
        b"\0",
        b"not json\0",
        b"[1]\0",
        b'{"method":"a","method":"b"}\0',
        b'{"method":NaN}\0',
        b'{"method":' + b"[" * 5000 + b"]" * 5000 + b"}\0",
        b"\xff\xfe\0",
        b'{"unfinished":',
        b"x" * (MAX_MESSAGE + 2),
    ],
    ids=["empty", "text", "array", "duplicate", "nan", "deep", "not-utf8", "unfinished", "huge"],
)
def test_rubbish_ends_its_own_connection_only(served: subprocess.Popen[str], tmp_path: Path, data: bytes) -> None:
    assert raw(tmp_path, data) == b""
    with Client.for_role("intake") as intake:
        assert intake.call("Import", carrier="still here")["generation"] == 10


def test_a_service_that_dies_in_a_call_leaves_the_outcome_open(served: subprocess.Popen[str]) -> None:
    with Client.for_role("intake") as intake:
        intake.call("Import", carrier="first")
        with pytest.raises(CallInterrupted):
            intake.call("Import", carrier="die")
        served.wait()
        with pytest.raises(ServiceUnavailable):
            intake.call("Import", carrier="again")


@pytest.mark.parametrize("carrier", ["defect", "wrong"])
def test_a_defect_ends_the_process_loudly(served: subprocess.Popen[str], carrier: str) -> None:
    with Client.for_role("intake") as intake, pytest.raises(CallInterrupted):
        intake.call("Import", carrier=carrier)
    _, errors = served.communicate(timeout=20)
    assert served.returncode == 1
    assert "Traceback" in errors


def test_a_foreign_varlink_client_can_introspect_and_call(served: subprocess.Popen[str], tmp_path: Path) -> None:
    address = f"unix:{tmp_path / 'intake.sock'}"
    varlink = [sys.executable, "-m", "varlink.cli"]
    described = subprocess.run([*varlink, "help", f"{address}/{INTAKE}"], capture_output=True, text=True, check=True)
    assert "method Import(carrier: string)" in described.stdout
    called = subprocess.run(
        [*varlink, "call", f"{address}/{INTAKE}.Import", '{"carrier":"four"}'],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(called.stdout)["generation"] == 4


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_refused(data: bytes) -> None:
    try:
        assert isinstance(decode(data), dict)
    except ProoflineError:
        pass


def test_peers_are_the_systems_own_users_where_nobody_names_others(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"proofline-line": 874, "proofline-panel": 875}

    def user(name: str) -> SimpleNamespace:
        return SimpleNamespace(pw_uid=known[name])  # KeyError where there is none, as getpwnam

    monkeypatch.delenv("PROOFLINE_PEERS", raising=False)
    monkeypatch.setattr("appliance.ipc.service.pwd.getpwnam", user)
    assert peers_here() == {"ops": 0, "line": 874, "panel": 875}
