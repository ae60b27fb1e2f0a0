"""Why an image's document, its bundle or the keyring of bundles is not believed. Codes `PL-IMG-001` to `PL-IMG-039`.

- 001 a file that is never read as a whole, 010-019 an image's document, 020 the keyring, 030-039 what does not fit
  together.
"""

from __future__ import annotations

from appliance.verify.site_errors import SiteError


class FileDetached(SiteError):
    code = "PL-IMG-001"
    operator = "The station was asked for a file that it never reads as a whole. Call the line engineer."
    engineer = "{path} is detached: it is listed, and read only piece by piece by whoever needs it"
    action = "This is a defect of the station: report it with the journal."


class ImageRefused(SiteError):
    code = "PL-IMG-010"
    engineer = "{path}: {field} is {found}; {expected}"


class ImageFloorWrong(SiteError):
    code = "PL-IMG-011"
    engineer = "{path}: floor {found} is above the image's own version {expected}"
    action = "Propose the image again with a floor that it meets itself; ask who wrote this one."


class KeyringRefused(SiteError):
    code = "PL-IMG-020"
    engineer = "{path} is not a keyring of PEM certificates: {why}"
    action = "Propose a file that holds certificates and nothing else: no keys, no other text."


class ImageNotCanonical(SiteError):
    code = "PL-IMG-012"
    engineer = "{path} is not canonical JSON"
    action = "Propose the image through the release desk, which writes its document."


class BundleMissing(SiteError):
    code = "PL-IMG-030"
    engineer = "{path}: its bundle {found} is not among the approved targets"


class BundleUnspoken(SiteError):
    code = "PL-IMG-031"
    engineer = "{path}: no image's document speaks of this bundle"


class KeyringMissing(SiteError):
    code = "PL-IMG-032"
    engineer = "{path}: no keyring (images/keyring.pem) says whose signature an image's bundle must have"
    action = "Propose the keyring first: `proofline release image-keyring`."
