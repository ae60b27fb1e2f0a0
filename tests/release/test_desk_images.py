"""Images at the desk: checked when they are proposed, told in words, kept beside the generations, on every carrier."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from appliance.cli import main
from appliance.errors import ProoflineError
from appliance.release import errors
from appliance.release.bundles import present
from appliance.release.desk import Desk
from appliance.release.publication import fully_verified
from appliance.verify import image_errors, site_errors
from tests.release.forge import sha
from tests.release.images import BUNDLE, certificate, image_document
from tests.release.test_desk import NOW, People, approve, desk, filled

__all__ = ["desk"]

DOCUMENT = {name: value for name, value in image_document().items() if name not in {"stations", "ticket"}}
TARGET = "images/proofline-arm64/0.2.0.raucb"


def propose(desk: Desk, folder: Path, content: bytes = BUNDLE) -> None:
    file = folder / "0.2.0.raucb"
    file.write_bytes(content)
    with desk.edit(NOW) as draft:
        draft.set_image_keyring(certificate("release"))
        desk.keep_bundle(draft.add_image(DOCUMENT, ticket="CHG-3"), file)


@pytest.fixture
def imaged(desk: Desk, people: People, tmp_path: Path) -> Desk:
    """A desk with an image in force."""
    filled(desk, people)
    propose(desk, tmp_path)
    approve(desk, people, "ada", "bob")
    desk.promote(people["desk"], NOW)
    return desk


def bundles(desk: Desk) -> list[str]:
    return sorted(place.name for place in (desk.folder / "bundles").iterdir())


def test_an_approved_image_is_on_the_carrier_with_its_bundle(imaged: Desk, tmp_path: Path) -> None:
    site = imaged.export(tmp_path / "stick")
    assert str(site.image("proofline-arm64", "0.2.0").floor) == "0.1.0"
    assert present(site, tmp_path / "stick") == (TARGET,)
    assert (tmp_path / "stick" / site.targets[TARGET].file).read_bytes() == BUNDLE


def test_no_generation_of_the_desk_holds_a_bundle(imaged: Desk) -> None:
    assert not list((imaged.folder / "published").rglob("*.raucb"))
    assert bundles(imaged) == [f"{sha(BUNDLE)}.raucb"]
    assert present(imaged.published(), imaged.repository) == ()


def test_a_proposed_image_is_told_in_words(desk: Desk, people: People, tmp_path: Path) -> None:
    filled(desk, people)
    propose(desk, tmp_path)
    told = "\n".join(desk.show())
    assert "every station of the kind proofline-arm64 shall run 0.2.0;" in told
    assert "nothing below 0.1.0 is ever installed again" in told
    assert "'CN=release', until 2036-01-01" in told
    assert sha(BUNDLE) in told


def test_another_file_than_the_documents_is_refused_and_nothing_is_proposed(
    desk: Desk, people: People, tmp_path: Path
) -> None:
    filled(desk, people)
    for bent in (BUNDLE[:-1], BUNDLE + b"x", b"x" + BUNDLE[1:]):
        with pytest.raises(errors.BundleOther):
            propose(desk, tmp_path, bent)
        assert not desk.has_proposal()
        assert bundles(desk) == []


def test_an_image_is_never_replaced(imaged: Desk, tmp_path: Path) -> None:
    with pytest.raises(errors.AlreadyThere):
        propose(imaged, tmp_path)


def test_an_image_that_a_station_would_refuse_is_not_proposed(desk: Desk, people: People) -> None:
    filled(desk, people)
    with pytest.raises(image_errors.ImageFloorWrong), desk.edit(NOW) as draft:
        draft.add_image({**DOCUMENT, "floor": "9.0.0"}, ticket="CHG-3")
    with desk.edit(NOW) as draft:
        draft.set_image_keyring(certificate("release"))
    with pytest.raises(site_errors.ReferenceBroken), desk.edit(NOW) as draft:
        draft.add_image(DOCUMENT, ticket="CHG-3", stations=["bench-99"])
    desk.drop()
    with pytest.raises(image_errors.KeyringMissing), desk.edit(NOW) as draft:
        draft.add_image(DOCUMENT, ticket="CHG-3")


def test_a_revoked_image_takes_its_bundle_along(imaged: Desk, people: People, tmp_path: Path) -> None:
    with imaged.edit(NOW) as draft:
        draft.revoke_image("proofline-arm64", "0.2.0")
    approve(imaged, people, "ada", "bob")
    imaged.promote(people["desk"], NOW)
    assert imaged.published().detached == ()
    assert bundles(imaged) == []
    imaged.export(tmp_path / "stick")
    assert not list((tmp_path / "stick").rglob("*.raucb"))


def test_a_dropped_proposal_takes_its_bundle_along(desk: Desk, people: People, tmp_path: Path) -> None:
    filled(desk, people)
    propose(desk, tmp_path)
    assert bundles(desk) != []
    desk.drop()
    assert bundles(desk) == []


def test_a_lost_bundle_is_named_before_anything_is_published(desk: Desk, people: People, tmp_path: Path) -> None:
    filled(desk, people)
    propose(desk, tmp_path)
    approve(desk, people, "ada", "bob")
    before = desk.repository
    next((desk.folder / "bundles").iterdir()).unlink()
    with pytest.raises(errors.BundleNotKept):
        desk.promote(people["desk"], NOW)
    assert desk.repository == before


def test_an_altered_bundle_never_gets_onto_a_carrier_unseen(imaged: Desk, tmp_path: Path) -> None:
    place = next((imaged.folder / "bundles").iterdir())
    place.write_bytes(b"x" + BUNDLE[1:])
    with pytest.raises(site_errors.DigestWrong):
        imaged.export(tmp_path / "stick")


def test_a_bundle_altered_on_the_carrier_is_found_by_release_verify(
    imaged: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = imaged.export(tmp_path / "stick")
    root = tmp_path / "root.json"
    root.write_bytes(imaged.pinned_root)
    command = ["release", "verify", str(tmp_path / "stick"), "--root", str(root)]
    assert main(command) == 0
    assert f"{TARGET}: as approved" in capsys.readouterr().out
    bundle = tmp_path / "stick" / site.targets[TARGET].file
    bundle.write_bytes(BUNDLE[:-1])
    with pytest.raises(ProoflineError, match="PL-SIT-022"):
        present(fully_verified(tmp_path / "stick", imaged.pinned_root), tmp_path / "stick")
    assert main(command) != 0
    bundle.unlink()
    assert main(command) == 0
    assert f"{TARGET}: not on this carrier" in capsys.readouterr().out


def test_the_command_takes_document_and_bundle_of_the_same_build(
    desk: Desk, people: People, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled(desk, people)
    paths = {name: tmp_path / name for name in ("keyring.pem", "0.2.0.json", "0.2.0.raucb")}
    paths["keyring.pem"].write_bytes(certificate("release"))
    paths["0.2.0.json"].write_text(json.dumps(DOCUMENT))
    paths["0.2.0.raucb"].write_bytes(BUNDLE)
    common = ["--desk", str(desk.folder)]
    assert main(["release", "image-keyring", str(paths["keyring.pem"]), *common]) == 0
    image = ["release", "image", str(paths["0.2.0.json"]), str(paths["0.2.0.raucb"]), "--ticket", "CHG-3", *common]
    assert main([*image, "--station", "bench-01"]) == 0
    assert main(["release", "proposal", *common]) == 0
    assert "the stations bench-01 of the kind proofline-arm64 shall run 0.2.0;" in capsys.readouterr().out
    assert main(["release", "revoke", "image", "proofline-arm64/0.2.0", *common]) == 0
    paths["0.2.0.raucb"].write_bytes(BUNDLE[:-1])
    assert main(image) != 0
