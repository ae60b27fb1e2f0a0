"""What lies in the desk's folder or is handed in parses, or is refused by name: nothing else escapes."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from tuf.api.metadata import Root, Targets

from appliance.errors import ProoflineError
from appliance.evidence import strict_json
from appliance.release.ceremony import read_ceremony
from appliance.release.contribution import parse_contribution
from appliance.release.errors import CeremonyFalse, DeskDamaged, ReleaseError
from appliance.release.proposal import Proposal, parse_proposal
from tests.release.forge import Forge

EXPIRES = datetime(2030, 1, 1, tzinfo=UTC)
PROPOSAL = Proposal(1, 1, Targets(version=2, expires=EXPIRES), Root.from_dict(Forge().root_document(2)), {"place": "x"})
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 1 << 40) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def test_proposal_survives_its_file() -> None:
    again = parse_proposal(PROPOSAL.to_bytes())
    assert again.digest == PROPOSAL.digest
    assert again.parts == PROPOSAL.parts


@given(st.binary(max_size=200))
def test_noise_is_no_proposal(noise: bytes) -> None:
    with contextlib.suppress(DeskDamaged):
        parse_proposal(noise)


@given(st.sampled_from(["schema", "base", "targets", "root", "ceremony"]), ANYTHING)
def test_proposal_with_anything_in_a_field_is_read_or_damaged(field: str, value: object) -> None:
    document = strict_json.decode(PROPOSAL.to_bytes())
    assert isinstance(document, dict)
    document[field] = value
    with contextlib.suppress(DeskDamaged):
        parse_proposal(strict_json.encode(document))


@given(ANYTHING | st.fixed_dictionaries({
    "schema": st.just(1), "proposal": st.just(PROPOSAL.digest), "person": ANYTHING, "keyid": ANYTHING,
    "signatures": ANYTHING, "approval": ANYTHING,
}))  # fmt: skip
def test_anything_handed_in_is_refused_by_name(value: object) -> None:
    try:
        parse_contribution(strict_json.encode(value), "handed in", PROPOSAL, None)
    except ReleaseError:
        return
    raise AssertionError("nothing here is signed")


@given(st.binary(max_size=200))
def test_noise_is_no_ceremony(noise: bytes) -> None:
    try:
        read_ceremony(noise, Forge().pinned(), None)
    except CeremonyFalse:
        return
    except ProoflineError as error:
        raise AssertionError("another name was expected") from error
    raise AssertionError("nothing here is signed")
