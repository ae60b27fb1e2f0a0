"""The vocabulary of refusal: every "no" that Proofline says is one of these.

- Every refusal has a stable code (`PL-USB-003`), a sentence for the operator, a sentence for the engineer and the
  next action. The code never changes its meaning and is never reused.
- The registry of codes is filled when a room's `errors.py` is imported; two classes with one code do not import.
- A refusal crosses a process boundary as plain data (`as_record`) and comes back as the same class (`from_record`).

Every room, the pure ones included, may import this module; it imports nothing of ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar

Detail = str | int | bool | None

CODE = re.compile(r"PL-[A-Z]{3}-[0-9]{3}")
_MAX_DETAIL = 400

registry: dict[str, type[ProoflineError]] = {}
"""Code -> class, for every error class that has been imported."""


class ProoflineError(Exception):
    """A named refusal. Subclasses set the four class attributes; instances carry the details.

    `engineer` is a `str.format` template over the detail fields: an undeclared field is shown as `?`, so that
    reporting a fault can never raise another one.
    """

    code: ClassVar[str] = ""
    operator: ClassVar[str] = "The station refused. Call the line engineer."
    engineer: ClassVar[str] = ""
    action: ClassVar[str] = "Call the line engineer."

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "code" not in cls.__dict__:
            return  # an abstract branch of a room's tree
        if not CODE.fullmatch(cls.code):
            raise TypeError(f"{cls.__qualname__}: malformed error code {cls.code!r}")
        known = registry.setdefault(cls.code, cls)
        if known is not cls and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
            raise TypeError(f"{cls.code} is both {known.__qualname__} and {cls.__qualname__}")

    def __init__(self, **details: Detail) -> None:
        self.details: dict[str, Detail] = {
            name: value if not isinstance(value, str) else value[:_MAX_DETAIL] for name, value in details.items()
        }
        super().__init__(f"{self.code}: {self.engineer_sentence()}")

    def engineer_sentence(self) -> str:
        """The engineer's sentence with the details filled in."""
        return self.engineer.format_map(_Lenient(self.details))

    def as_record(self) -> dict[str, object]:
        """The refusal as JSON-able data: `code`, `operator`, `engineer`, `action`, `details`."""
        return {
            "code": self.code,
            "operator": self.operator,
            "engineer": self.engineer_sentence(),
            "action": self.action,
            "details": dict(self.details),
        }


class RemoteRefusal(ProoflineError):
    """A refusal by another process whose class is not imported here; it keeps the other side's code and words."""

    def __init__(self, record: Mapping[str, object]) -> None:
        self._record = dict(record)
        details = record.get("details")
        super().__init__(**(details if isinstance(details, dict) else {}))
        self.code = str(record.get("code", ""))  # type: ignore[misc]  # the instance speaks for the other side's class
        self.operator = str(record.get("operator", ""))  # type: ignore[misc]  # likewise
        self.action = str(record.get("action", ""))  # type: ignore[misc]  # likewise
        self.args = (f"{self.code}: {self.engineer_sentence()}",)

    def engineer_sentence(self) -> str:
        return str(self._record.get("engineer", ""))


def from_record(record: Mapping[str, object]) -> ProoflineError:
    """The refusal that `as_record` described: the same class where it is known here, `RemoteRefusal` otherwise."""
    known = registry.get(str(record.get("code", "")))
    details = record.get("details")
    if known is None or not isinstance(details, dict):
        return RemoteRefusal(record)
    error = known.__new__(known)
    ProoflineError.__init__(error, **details)
    return error


class _Lenient(dict[str, Detail]):
    def __missing__(self, key: str) -> str:
        return "?"
