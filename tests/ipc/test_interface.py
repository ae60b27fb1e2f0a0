"""The interface descriptions are the law: what they refuse, and that ours are all well-formed."""

from __future__ import annotations

import importlib.resources
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import ProoflineError
from appliance.ipc import interface_of
from appliance.ipc.errors import BadArguments, InterfaceMalformed
from appliance.ipc.interface import parse

TEXT = """
# A comment
interface io.proofline.test
type Unit (serial: string, tries: ?int, kind: (good, bad))
method Do(unit: Unit, all: []Unit, by: [string]bool, any: object, share: float) -> (n: int)
method Nothing() -> ()
error Refused (code: string)
"""
UNIT = {"serial": "a", "kind": "good"}
GOOD: dict[str, Any] = {"unit": UNIT, "all": [UNIT, {**UNIT, "tries": 3}], "by": {"x": True}, "any": {}, "share": 1}


def test_complete_arguments_come_back_with_every_declared_field() -> None:
    assert parse(TEXT).check_arguments("Do", GOOD) == GOOD
    assert parse(TEXT).check_arguments("Nothing", {}) == {}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"unit": None}, "parameters.unit"),
        ({"unit": {"kind": "good"}}, "parameters.unit.serial"),
        ({"unit": {**UNIT, "serial": 3}}, "parameters.unit.serial"),
        ({"unit": {**UNIT, "kind": "ugly"}}, "parameters.unit.kind"),
        ({"unit": {**UNIT, "kind": ["good"]}}, "parameters.unit.kind"),
        ({"unit": {**UNIT, "tries": True}}, "parameters.unit.tries"),
        ({"unit": {**UNIT, "tries": 2**63}}, "parameters.unit.tries"),
        ({"unit": {**UNIT, "extra": 1}}, "parameters.unit.extra"),
        ({"all": [UNIT, 7]}, "parameters.all[1]"),
        ({"all": {}}, "parameters.all"),
        ({"by": {"x": 1}}, "parameters.by['x']"),
        ({"any": []}, "parameters.any"),
        ({"share": "1"}, "parameters.share"),
        ({"more": 1}, "parameters.more"),
    ],
)
def test_arguments_that_are_not_of_the_interface_are_refused_by_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(BadArguments) as refusal:
        parse(TEXT).check_arguments("Do", {**GOOD, **change})
    assert refusal.value.details["field"] == field


@pytest.mark.parametrize(
    "text",
    [
        "",
        "interface",
        "interface a.b\nmethod X(",
        "interface a.b\nmethod X() -> (a: Missing)",
        "interface a.b\nmethod X() -> (a: int, b)",
        "interface a.b\ntype T (a: int)\ntype T (a: int)",
        "interface a.b\nverb X() -> ()",
        "interface a.b\nmethod X(a: whole) -> ()",
        "interface a.b\nmethod X() -> (a: int;)",
        "interface a.b\nmethod X int -> ()",
    ],
)
def test_malformed_descriptions_are_refused(text: str) -> None:
    with pytest.raises(InterfaceMalformed):
        parse(text)


@given(st.text(alphabet="interface a.b method type X()->:,?[]string \n#", max_size=80))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        parse(text)
    except ProoflineError:
        pass


def test_every_interface_of_ours_is_well_formed_and_declares_the_refusal() -> None:
    found = [
        path
        for room in importlib.resources.files("appliance").iterdir()
        if room.is_dir()
        for path in room.iterdir()
        if path.name.endswith(".varlink")
    ]
    assert len(found) >= 6
    for path in found:
        role = re.fullmatch(r"io\.proofline\.([a-z]+)\.varlink", path.name)
        assert role
        interface = interface_of(role[1])
        assert interface.name == f"io.proofline.{role[1]}"
        assert [name for name, _ in interface.errors["Refused"].fields] == [
            "code",
            "operator",
            "engineer",
            "action",
            "details",
        ]
