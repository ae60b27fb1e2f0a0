"""From a trace of effects (see `shim/crashshim`) to every disk a power cut could have left behind.

The model is POSIX at its least kind, not any particular file system (Pillai et al., OSDI 2014):

- A file's bytes are durable after fsync of the file; until then each page of each write may or may not be there, in any
  order, and the length may run ahead of the bytes (zeros).
- A name (made, removed, renamed, linked) is durable after fsync of its directory; until then each change may or may not
  have happened, in any order. A rename is one change. fsync of a file says nothing about its name.
- `sync` makes everything durable.

`Disk` holds the durable state and the pending changes after a prefix of a trace; `states` yields materialisable states
under named policies: what a kill leaves (everything), what the meanest power cut leaves (nothing unsynced), names
without data, data without names, torn and reordered writes, and random mixtures. A trace replayed to its end with
everything kept must equal the real tree: `tree` and `read_tree` let a test prove that nothing escaped the trace.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

_PAGE = 4096

Tree = dict[str, bytes | str | None]
"""Relative path to a file's bytes, a symlink's target (str), or None for a directory."""


@dataclass(eq=False)
class Node:
    """A file (data), a directory (names) or a symlink (target), whatever it is called."""

    target: str | None = None
    names: dict[str, Node] | None = None
    data: bytes = b""
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)
    """Unsynced changes of the data: (offset, bytes), or (length, None) for a truncation."""


@dataclass(frozen=True)
class Change:
    """One unsynced change of names: `taken` (directory, name) loses `node`, `given` gains it."""

    node: Node
    taken: tuple[Node, str] | None
    given: tuple[Node, str] | None

    def touches(self, directory: Node) -> bool:
        return any(place is not None and place[0] is directory for place in (self.taken, self.given))


class Disk:
    """The state of the directories below `root` after the operations applied so far."""

    def __init__(self, root: Path) -> None:
        self._root = os.path.abspath(root)
        self._top = Node(names={})
        self._handles: dict[int, Node] = {}
        self._changes: list[Change] = []
        self._now: dict[int, dict[str, Node]] = {}  # id(directory) -> its names as the process sees them
        self._load(root, self._top)

    def apply(self, operation: dict[str, object]) -> None:
        """One line of a trace."""
        kind = operation["op"]
        path = str(operation.get("path", ""))
        if kind == "mark":
            return
        if kind == "sync":
            self._sync_all()
        elif kind == "open":
            if operation["made"]:
                self._link(path, Node())
            node = self._find(path)
            if operation["cut"]:
                node.pending.append((0, None))
            self._handles[int(str(operation["handle"]))] = node
        elif kind in {"write", "pwrite"}:
            data = base64.b64decode(str(operation["data"]))
            self._handle(operation).pending.append((int(str(operation["at"])), data))
        elif kind == "ftruncate":
            self._handle(operation).pending.append((int(str(operation["length"])), None))
        elif kind == "truncate":
            self._find(path).pending.append((int(str(operation["length"])), None))
        elif kind in {"fsync", "fdatasync"}:
            self._sync(self._handle(operation))
        elif kind == "mkdir":
            self._link(path, Node(names={}))
        elif kind == "symlink":
            self._link(path, Node(target=str(operation["target"])))
        elif kind == "link":
            self._link(str(operation["to"]), self._find(path))
        elif kind in {"unlink", "rmdir"}:
            directory, name = self._place(path)
            node = self._names(directory).pop(name)
            self._changes.append(Change(node, (directory, name), None))
        elif kind in {"rename", "replace"}:
            source, old = self._place(path)
            target, new = self._place(str(operation["to"]))
            node = self._names(source).pop(old)
            self._names(target)[new] = node
            self._changes.append(Change(node, (source, old), (target, new)))
        else:
            raise AssertionError(f"unknown operation {kind}")

    def tree(self, names: Callable[[int, int], bool], data: Callable[[Node], bytes]) -> Tree:
        """The state where pending change i of n happened if `names(i, n)`, and each file holds `data`."""
        view: dict[int, dict[str, Node]] = {}

        def listing(directory: Node) -> dict[str, Node]:
            assert directory.names is not None
            return view.setdefault(id(directory), dict(directory.names))

        for at, change in enumerate(self._changes):
            if names(at, len(self._changes)):
                _change(change, listing)
        found: Tree = {}
        _walk(self._top, "", listing, data, found)
        return found

    def whole(self) -> Tree:
        """What the process itself saw: every change happened."""
        return self.tree(lambda _at, _of: True, whole)

    def _load(self, path: Path, node: Node) -> None:
        assert node.names is not None
        for child in sorted(path.iterdir()):
            if child.is_symlink():
                one = Node(target=os.readlink(child))
            elif child.is_dir():
                one = Node(names={})
                self._load(child, one)
            else:
                one = Node(data=child.read_bytes())
            node.names[child.name] = one

    def _names(self, directory: Node) -> dict[str, Node]:
        assert directory.names is not None
        return self._now.setdefault(id(directory), dict(directory.names))

    def _parts(self, path: str) -> list[str]:
        inside = os.path.relpath(path, self._root)
        assert not inside.startswith(".."), path
        return [] if inside == "." else inside.split("/")

    def _find(self, path: str) -> Node:
        node = self._top
        for part in self._parts(path):
            node = self._names(node)[part]
            if node.target is not None and part != self._parts(path)[-1]:
                raise AssertionError(f"{path} goes through a symlink: not modelled")
        return node

    def _place(self, path: str) -> tuple[Node, str]:
        parts = self._parts(path)
        return self._find(os.path.join(self._root, *parts[:-1])), parts[-1]

    def _handle(self, operation: dict[str, object]) -> Node:
        return self._handles[int(str(operation["handle"]))]

    def _link(self, path: str, node: Node) -> None:
        directory, name = self._place(path)
        self._names(directory)[name] = node
        self._changes.append(Change(node, None, (directory, name)))

    def _sync(self, node: Node) -> None:
        if node.names is None:
            node.data, node.pending = whole(node), []
            return
        done = [one for one in self._changes if one.touches(node)]
        self._changes = [one for one in self._changes if not one.touches(node)]
        for change in done:
            _change(change, _durable_names)

    def _sync_all(self) -> None:
        for change in self._changes:
            _change(change, _durable_names)
        self._changes = []
        seen: list[Node] = [self._top]
        while seen:
            node = seen.pop()
            if node.names is None:
                node.data, node.pending = whole(node), []
            else:
                seen.extend(node.names.values())


def _durable_names(directory: Node) -> dict[str, Node]:
    assert directory.names is not None
    return directory.names


def _change(change: Change, listing: Callable[[Node], dict[str, Node]]) -> None:
    if change.taken is not None:
        names = listing(change.taken[0])
        if names.get(change.taken[1]) is change.node:
            del names[change.taken[1]]
    if change.given is not None:
        listing(change.given[0])[change.given[1]] = change.node


def _walk(
    node: Node,
    prefix: str,
    listing: Callable[[Node], dict[str, Node]],
    data: Callable[[Node], bytes],
    found: Tree,
) -> None:
    for name, child in sorted(listing(node).items()):
        path = f"{prefix}{name}"
        if child.names is not None:
            found[path] = None
            _walk(child, f"{path}/", listing, data, found)
        else:
            found[path] = child.target if child.target is not None else data(child)


# -- what a file may hold ------------------------------------------------------------------------------------------


def _apply(data: bytes, changes: list[tuple[int, bytes | None]]) -> bytes:
    result = bytearray(data)
    for at, piece in changes:
        if piece is None:
            del result[at:]
            result.extend(bytes(at - len(result)))
        else:
            result.extend(bytes(max(at - len(result), 0)))
            result[at : at + len(piece)] = piece
    return bytes(result)


def whole(node: Node) -> bytes:
    """Every write arrived."""
    return _apply(node.data, node.pending)


def durable(node: Node) -> bytes:
    """No unsynced write arrived."""
    return node.data


def zeros(node: Node) -> bytes:
    """The length arrived, the bytes did not."""
    return _apply(node.data, [(at, None if piece is None else bytes(len(piece))) for at, piece in node.pending])


def torn(node: Node) -> bytes:
    """The last write arrived half."""
    changes = list(node.pending)
    at, piece = changes[-1] if changes else (0, None)
    if piece is not None:
        changes[-1] = (at, piece[: len(piece) // 2])
    return _apply(node.data, changes)


def later(node: Node) -> bytes:
    """The first unsynced page (or write, where it is smaller) is missing; everything after it arrived."""
    pieces = _pages(node)
    return _apply(node.data, [(at, bytes(len(piece)) if piece else piece) for at, piece in pieces[:1]] + pieces[1:])


def _pages(node: Node) -> list[tuple[int, bytes | None]]:
    """The pending writes, cut at page boundaries."""
    pieces: list[tuple[int, bytes | None]] = []
    for at, piece in node.pending:
        if piece is None:
            pieces.append((at, None))
            continue
        while piece:
            room = _PAGE - at % _PAGE
            pieces.append((at, piece[:room]))
            at, piece = at + room, piece[room:]
    return pieces


def some(chance: random.Random) -> Callable[[Node], bytes]:
    """Each unsynced page arrived or did not, by chance; the length may run ahead."""

    def data(node: Node) -> bytes:
        pieces = [one for one in _pages(node) if chance.random() < 0.5]
        found = _apply(node.data, pieces)
        if chance.random() < 0.5:
            found = found.ljust(len(whole(node)), b"\0")
        return found

    return data


# -- states ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class State:
    """A disk that a power cut after `prefix` operations could have left; `marks` were acknowledged by then."""

    prefix: int
    policy: str
    tree: Tree
    marks: tuple[str, ...]

    @property
    def digest(self) -> bytes:
        found = hashlib.sha256()
        for path, content in self.tree.items():
            kind = "d" if content is None else "l" if isinstance(content, str) else "f"
            body = b"" if content is None else content.encode() if isinstance(content, str) else content
            found.update(f"{kind}{path}\0{len(body)}\0".encode() + body)
        return found.digest()


def read_trace(path: Path) -> list[dict[str, object]]:
    """The operations in a trace; a last line that a kill cut off is left out."""
    lines = path.read_bytes().split(b"\n")
    return [json.loads(line) for line in lines[:-1]]


def states(initial: Path, trace: list[dict[str, object]], *, seed: int = 1, mixtures: int = 2) -> Iterator[State]:
    """Every distinct state after every prefix of the trace. `initial`: a copy of the directory as it was when the trace
    began, at the traced path or with the trace moved to it by `rebase`."""
    disk = Disk(initial)
    marks: list[str] = []
    seen: set[tuple[bytes, tuple[str, ...]]] = set()
    chance = random.Random(seed)
    for prefix in range(len(trace) + 1):
        if prefix:
            operation = trace[prefix - 1]
            disk.apply(operation)
            if operation["op"] == "mark":
                marks.append(str(operation["text"]))
        for policy, tree in _policies(disk, chance, mixtures):
            state = State(prefix, policy, tree, tuple(marks))
            key = (state.digest, state.marks)
            if key not in seen:
                seen.add(key)
                yield state


def _policies(disk: Disk, chance: random.Random, mixtures: int) -> Iterator[tuple[str, Tree]]:
    everything: Callable[[int, int], bool] = lambda _at, _of: True  # noqa: E731 -- a table of policies reads best so
    nothing: Callable[[int, int], bool] = lambda _at, _of: False  # noqa: E731
    first: Callable[[int, int], bool] = lambda at, of: 2 * at < of  # noqa: E731
    last: Callable[[int, int], bool] = lambda at, of: 2 * at >= of  # noqa: E731
    yield "killed: everything arrived", disk.tree(everything, whole)
    yield "nothing unsynced arrived", disk.tree(nothing, durable)
    yield "names without data", disk.tree(everything, durable)
    yield "names and lengths without data", disk.tree(everything, zeros)
    yield "data without names", disk.tree(nothing, whole)
    yield "last write torn", disk.tree(everything, torn)
    yield "only later pages", disk.tree(everything, later)
    yield "earlier names only", disk.tree(first, whole)
    yield "later names only", disk.tree(last, whole)
    for number in range(mixtures):
        picks = random.Random(chance.random())
        yield f"mixture {number}", disk.tree(_by_chance(picks), some(picks))


def _by_chance(chance: random.Random) -> Callable[[int, int], bool]:
    return lambda _at, _of: chance.random() < 0.5


def rebase(trace: list[dict[str, object]], old: Path, new: Path) -> list[dict[str, object]]:
    """The trace as if it had been made below `new`."""
    before, after = os.path.abspath(old), os.path.abspath(new)
    return [
        {
            key: after + value[len(before) :]
            if key in {"path", "to"} and isinstance(value, str) and value.startswith(before)
            else value
            for key, value in line.items()
        }
        for line in trace
    ]


def write_tree(tree: Tree, target: Path) -> None:
    """Put a state onto the real disk, below an empty or missing directory."""
    target.mkdir(parents=True, exist_ok=True)
    for path, content in tree.items():
        place = target / path
        if content is None:
            place.mkdir()
        elif isinstance(content, str):
            place.symlink_to(content)
        else:
            place.write_bytes(content)


def read_tree(path: Path) -> Tree:
    """The real tree, to compare with `Disk.whole`."""
    return Disk(path).whole()
