"""Every refusal of the two rooms says what happened, to whom, and what to do."""

from __future__ import annotations

import re
from types import ModuleType

import pytest

from appliance.errors import ProoflineError
from appliance.evidence import errors as evidence_errors
from appliance.verify import errors as verify_errors


@pytest.mark.parametrize(("module", "prefix"), [(evidence_errors, "PL-EVD-"), (verify_errors, "PL-VRF-")])
def test_every_refusal_has_its_sentences(module: ModuleType, prefix: str) -> None:
    classes = [one for one in vars(module).values() if isinstance(one, type) and issubclass(one, ProoflineError)]
    coded = [one for one in classes if one.code.startswith(prefix)]
    assert len(coded) > 30
    for one in coded:
        assert one.operator
        assert one.action
        fields = re.findall(r"\{(\w+)\}", one.engineer)
        assert "?" not in one(**dict.fromkeys(fields, "x")).engineer_sentence()
