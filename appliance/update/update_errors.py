"""Why an image is not installed, or was given up. Codes `PL-UPD-NNN`.

- 001-009 the bundle is not what was promoted, or not what it should be; 010-019 the image is not for this station now;
  020-029 what came of an attempt.
- Whatever is refused, the slot that runs stays as it is.
"""

from __future__ import annotations

from appliance.errors import ProoflineError


class UpdateError(ProoflineError):
    """The update is not installed; the station works on with what it has."""

    operator = "The update was refused. The station works on with what it has."
    action = "Export the repository again at the release desk; if it is refused again, keep the medium and report it."


class BundleMissing(UpdateError):
    code = "PL-UPD-001"
    engineer = "The bundle of {version} cannot be read: {why}."
    action = "Plug the medium in again, or use another one."


class BundleLengthWrong(UpdateError):
    code = "PL-UPD-002"
    engineer = (
        "The bundle of {version} has {found} bytes; the promoted one has {expected}: it is cut off or not the one."
    )


class BundleDigestWrong(UpdateError):
    code = "PL-UPD-003"
    operator = "The update was changed after it was approved. Do not use the medium."
    engineer = "The bundle of {version} has the SHA-256 {found}; promoted is {expected}."
    action = "Keep the medium: somebody or something changed it. Export the repository again on another one."


class BundleMalformed(UpdateError):
    code = "PL-UPD-004"
    engineer = "The bundle is not one: {why}."
    action = "Make the bundle again with image/build and promote it under the next version."


class BundleSignerRefused(UpdateError):
    code = "PL-UPD-005"
    operator = "The update is not signed by whom this site trusts. Do not use it."
    engineer = "The bundle of {version} is the promoted one, and its signature does not hold before {keyring}: {why}."
    action = "Sign the bundle with a key that the site's keyring vouches for, or promote the keyring that does."


class BundleOtherBoard(UpdateError):
    code = "PL-UPD-006"
    operator = "The update is for another kind of station."
    engineer = "The bundle of {version} is for {found}; this station is a {expected}."
    action = "Promote the bundle that was built for this board."


class BundleOtherVersion(UpdateError):
    code = "PL-UPD-007"
    engineer = "The bundle says that it is {found}; it was promoted as {expected}."
    action = "Promote the bundle under the version that it was built with."


class BundleTooLarge(UpdateError):
    code = "PL-UPD-008"
    engineer = "The {kind} image of {version} has {size} bytes; the slot has room for {room}."
    action = "Make the image smaller, or write the cards anew with larger slots."


class ImageBelowFloor(UpdateError):
    code = "PL-UPD-010"
    operator = "The update is older than what this station may go back to."
    engineer = "{version} is the newest image that is promoted for this station, and its floor is {floor}."
    action = "Promote an image that is not below the floor; a floor is never lowered."


class ImageGivenUp(UpdateError):
    code = "PL-UPD-011"
    operator = "This update was tried before and did not start. The station works on with what it has."
    engineer = "{version} ({digest}) was given up in slot {slot}; it is not tried again by itself."
    action = "Promote a mended image. To try the same one again, promote its document under a new ticket."


class InstallFailed(UpdateError):
    code = "PL-UPD-020"
    operator = "The update could not be installed. The station works on with what it has."
    engineer = "RAUC did not install {version}: {why}."
    action = "Plug the medium in again. If it fails again, report it with the journal: the card may be worn."


class InstallerSilent(UpdateError):
    code = "PL-UPD-021"
    operator = "The update could not be installed. The station works on with what it has."
    engineer = "RAUC does not answer: {why}."
    action = "Restart the station and plug the medium in again. If it fails again, report it with the journal."


class SlotGivenUp(UpdateError):
    code = "PL-UPD-022"
    operator = "The update did not start properly. The station went back to the system that it had before."
    engineer = "{version} was installed in slot {slot} and did not come up: slot {running} runs {now} instead."
    action = "Report it with the journal; this image must not be used."


class HistoryDamaged(UpdateError):
    code = "PL-UPD-023"
    operator = "The station's record of its updates is damaged. Call the line engineer."
    engineer = "{path}: {why}."
    action = "Restore the state partition; without it an update that failed would be tried again."
