"""Watches, cuts and spoils a process's effects on files. For tests only; the product never imports it.

Every effect on a file below the given directories is a *boundary*, numbered from 0 in each process: creating or
truncating `open`, `write`, `pwrite`, `ftruncate`, `truncate`, `fsync`, `fdatasync`, `sync`, `rename`, `replace`,
`link`, `symlink`, `unlink`, `remove`, `rmdir`, `mkdir`. At a chosen one the process

- is killed (SIGKILL), before the call, after it, or half-way through a write; or
- is told that the disk failed (an errno of choice, once or from then on); or
- neither: it only writes a trace of all of them, bytes included, for `replay`.

It works because Proofline's writes look up `os.<name>` at the moment of the call. A file below the directories that is
opened for writing in any other way (`open`, `Path.write_text`, shutil) ends the process with status 97: a write the
harness cannot see would be a hole in it.

In a child: put this folder on PYTHONPATH and set

    PROOFLINE_CRASH_DIRS   directories, separated by ":"
    PROOFLINE_CRASH_ONLY   act only in a process whose command line contains this text (default: every one)
    PROOFLINE_CRASH_KILL   "<n>:before", "<n>:after" or "<n>:half"
    PROOFLINE_CRASH_ONCE   a file made at the kill; while it exists nothing is killed (so that a restart is spared)
    PROOFLINE_CRASH_ORDER  a file that may come while the process runs and holds "<n>:<when>", as for KILL, counted from
                           the first boundary that finds it; taken away at the kill (so that a restart is spared)
    PROOFLINE_CRASH_FAULT  "<n>:ENOSPC", or "<n>:ENOSPC:lasting" for every data write and fsync from there on
    PROOFLINE_CRASH_TRACE  a directory, writable for every uid that runs under the shim: one `<pid>.jsonl` a process

In a forked process: `install(Plan(...))`. The file names no package of ours and needs nothing but Python.
"""

from __future__ import annotations

import base64
import errno
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

UNSEEN_WRITE = 97
"""Exit status of a process that wrote to a watched file in a way the shim cannot see."""

_DATA_OPS = frozenset({"write", "pwrite", "fsync", "fdatasync"})
_real: dict[str, Callable[..., Any]] = {}
_active: _Shim | None = None


@dataclass(frozen=True)
class Plan:
    """What to do. kill: (boundary, "before" | "after" | "half"); fault: (boundary, errno, lasting)."""

    directories: tuple[str, ...]
    kill: tuple[int, str] | None = None
    fault: tuple[int, int, bool] | None = None
    trace: str | None = None
    once: str | None = None
    order: str | None = None


def install_from_environ() -> None:
    """Do what the environment asks for; nothing where it asks for nothing."""
    environ = os.environ
    directories = environ.get("PROOFLINE_CRASH_DIRS")
    if not directories or environ.get("PROOFLINE_CRASH_ONLY", "") not in "\0".join(sys.orig_argv):
        return
    kill = environ.get("PROOFLINE_CRASH_KILL", "").split(":")
    fault = environ.get("PROOFLINE_CRASH_FAULT", "").split(":")
    trace = environ.get("PROOFLINE_CRASH_TRACE")
    install(
        Plan(
            directories=tuple(directories.split(":")),
            kill=(int(kill[0]), kill[1]) if kill[0] else None,
            fault=(int(fault[0]), getattr(errno, fault[1]), "lasting" in fault[2:]) if fault[0] else None,
            trace=f"{trace}/{os.getpid()}.jsonl" if trace else None,
            once=environ.get("PROOFLINE_CRASH_ONCE"),
            order=environ.get("PROOFLINE_CRASH_ORDER"),
        )
    )


def install(plan: Plan) -> None:
    """Replace the functions of `os` in this process. Once: there is no way back."""
    global _active
    assert _active is None
    _active = _Shim(plan)
    for name in ("open", "close", "write", "pwrite", "ftruncate", "truncate", "fsync", "fdatasync", "sync", "rename",
                 "replace", "link", "symlink", "unlink", "remove", "rmdir", "mkdir"):  # fmt: skip
        _real[name] = getattr(os, name)
        setattr(os, name, getattr(_active, name))
    sys.addaudithook(_active.audit)


def mark(text: str) -> None:
    """Write a line of the workload's own into the trace: what it has acknowledged up to here."""
    if _active is not None:
        _active.mark(text)


class _Shim:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._roots = tuple(os.path.abspath(one) for one in plan.directories)
        self._lock = threading.RLock()
        self._paths: dict[int, str] = {}
        self._handles: dict[int, int] = {}
        self._made = 0
        self._boundary = 0
        self._order = ""
        self._kill = plan.kill
        self._inside = threading.local()
        self._trace = -1
        if plan.trace is not None:
            self._trace = os.open(plan.trace, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)

    # -- the functions of `os` ---------------------------------------------------------------------------------

    def open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        where = self._path(path, dir_fd)
        if where is None:
            return int(self._quietly("open", path, flags, mode, dir_fd=dir_fd))
        with self._lock:
            there = os.path.lexists(where)
            effect = bool(flags & os.O_CREAT and not there) or bool(flags & os.O_TRUNC and there)

            def call() -> int:
                return int(self._quietly("open", path, flags, mode, dir_fd=dir_fd))

            self._made += 1
            handle = self._made
            record = {"path": where, "handle": handle, "made": not there, "cut": bool(flags & os.O_TRUNC and there)}
            descriptor = self._effect("open", record, call) if effect else call()
            if not effect:
                self._note({"op": "open", **record, "made": False, "cut": False, "n": None})
            self._paths[descriptor] = where
            self._handles[descriptor] = handle
            return int(descriptor)

    def close(self, fd: int) -> None:
        with self._lock:
            self._paths.pop(fd, None)
            self._handles.pop(fd, None)
            _real["close"](fd)

    def write(self, fd: int, data: Any) -> int:
        if fd not in self._paths:
            return int(_real["write"](fd, data))
        with self._lock:
            appending = fcntl_flags(fd) & os.O_APPEND
            at = os.fstat(fd).st_size if appending else os.lseek(fd, 0, os.SEEK_CUR)
            return self._data("write", fd, bytes(data), at, lambda part: int(_real["write"](fd, part)))

    def pwrite(self, fd: int, data: Any, offset: int) -> int:
        if fd not in self._paths:
            return int(_real["pwrite"](fd, data, offset))
        with self._lock:
            return self._data("pwrite", fd, bytes(data), offset, lambda part: int(_real["pwrite"](fd, part, offset)))

    def ftruncate(self, fd: int, length: int) -> None:
        if fd not in self._paths:
            _real["ftruncate"](fd, length)
            return
        record = {"handle": self._handles[fd], "path": self._paths[fd], "length": length}
        self._effect("ftruncate", record, lambda: _real["ftruncate"](fd, length))

    def truncate(self, path: Any, length: int) -> None:
        where = None if isinstance(path, int) else self._path(path, None)
        if where is None:
            _real["truncate"](path, length)
            return
        self._effect("truncate", {"path": where, "length": length}, lambda: _real["truncate"](path, length))

    def fsync(self, fd: int) -> None:
        self._flush("fsync", fd)

    def fdatasync(self, fd: int) -> None:
        self._flush("fdatasync", fd)

    def sync(self) -> None:
        self._effect("sync", {}, _real["sync"])

    def rename(self, src: Any, dst: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None) -> None:
        self._two("rename", src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    def replace(self, src: Any, dst: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None) -> None:
        self._two("replace", src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    def link(self, src: Any, dst: Any, **options: Any) -> None:
        self._two("link", src, dst, **options)

    def symlink(self, src: Any, dst: Any, target_is_directory: bool = False, *, dir_fd: int | None = None) -> None:
        where = self._path(dst, dir_fd)
        if where is None:
            _real["symlink"](src, dst, dir_fd=dir_fd)
            return
        record = {"target": os.fsdecode(src), "path": where}
        self._effect("symlink", record, lambda: _real["symlink"](src, dst, dir_fd=dir_fd))

    def unlink(self, path: Any, *, dir_fd: int | None = None) -> None:
        self._one("unlink", path, dir_fd)

    def remove(self, path: Any, *, dir_fd: int | None = None) -> None:
        self._one("unlink", path, dir_fd)

    def rmdir(self, path: Any, *, dir_fd: int | None = None) -> None:
        self._one("rmdir", path, dir_fd)

    def mkdir(self, path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        self._one("mkdir", path, dir_fd, mode)

    # -- what is done about them -------------------------------------------------------------------------------

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Catch a watched file being opened for writing behind our back."""
        if event != "open" or getattr(self._inside, "yes", False):
            return
        path, mode, _ = arguments
        if not isinstance(mode, str) or not set(mode) & set("wax+"):
            return
        where = self._paths.get(path) if isinstance(path, int) else self._path(path, None)
        if where is not None:
            _real["write"](2, f"crashshim: {where} opened with mode {mode!r}, unseen\n".encode())
            os._exit(UNSEEN_WRITE)

    def mark(self, text: str) -> None:
        with self._lock:
            self._note({"op": "mark", "text": text, "n": None})

    def _one(self, name: str, path: Any, dir_fd: int | None, *rest: Any) -> None:
        where = self._path(path, dir_fd)
        if where is None:
            _real[name](path, *rest, dir_fd=dir_fd)
            return
        self._effect(name, {"path": where}, lambda: _real[name](path, *rest, dir_fd=dir_fd))

    def _two(self, name: str, src: Any, dst: Any, **options: Any) -> None:
        source = self._path(src, options.get("src_dir_fd"))
        target = self._path(dst, options.get("dst_dir_fd"))
        if source is None or target is None:
            _real[name](src, dst, **options)
            return
        self._effect(name, {"path": source, "to": target}, lambda: _real[name](src, dst, **options))

    def _flush(self, name: str, fd: int) -> None:
        if fd not in self._paths:
            _real[name](fd)
            return
        record = {"handle": self._handles[fd], "path": self._paths[fd]}
        self._effect(name, record, lambda: _real[name](fd))

    def _data(self, name: str, fd: int, data: bytes, at: int, call: Callable[[bytes], int]) -> int:
        self._read_order()
        if self._kill == (self._boundary, "half") and self._may_kill():
            call(data[: len(data) // 2])
            self._die()
        record = {"handle": self._handles[fd], "path": self._paths[fd], "at": at}
        return int(self._effect(name, record, lambda: call(data), data))

    def _effect(self, name: str, record: dict[str, Any], call: Callable[[], Any], data: bytes | None = None) -> Any:
        with self._lock:
            self._read_order()
            here, self._boundary = self._boundary, self._boundary + 1
            kill, fault = self._kill, self._plan.fault
            if kill in {(here, "before"), (here, "half")} and self._may_kill():
                self._die()
            if fault is not None and (
                here == fault[0] or (fault[2] and here > fault[0] and (name in _DATA_OPS or name == "open"))
            ):
                raise OSError(fault[1], os.strerror(fault[1]))
            result = call()
            line = {"op": name, "n": here, **record}
            if data is not None:
                line["data"] = base64.b64encode(data[:result]).decode()
            self._note(line)
            if kill == (here, "after") and self._may_kill():
                self._die()
            return result

    def _note(self, line: dict[str, Any]) -> None:
        if self._trace >= 0:
            text = json.dumps({**line, "ns": time.monotonic_ns()}, separators=(",", ":"))
            _real.get("write", os.write)(self._trace, text.encode() + b"\n")

    def _quietly(self, name: str, *arguments: Any, **options: Any) -> Any:
        self._inside.yes = True
        try:
            return _real[name](*arguments, **options)
        finally:
            self._inside.yes = False

    def _read_order(self) -> None:
        if self._plan.order is None:
            return
        try:
            descriptor = _real["open"](self._plan.order, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            order = ""
        else:
            order = os.read(descriptor, 100).decode()
            _real["close"](descriptor)
        if order != self._order:
            self._order = order
            count, _, when = order.partition(":")
            self._kill = (self._boundary + int(count), when) if order else None

    def _may_kill(self) -> bool:
        once, order = self._plan.once, self._plan.order
        return (once is None or not os.path.exists(once)) and (order is None or os.path.exists(order))

    def _die(self) -> NoReturn:
        if self._plan.once is not None:
            _real["close"](_real["open"](self._plan.once, os.O_WRONLY | os.O_CREAT, 0o666))
        if self._plan.order is not None:
            _real["unlink"](self._plan.order)
        os.kill(os.getpid(), signal.SIGKILL)
        while True:
            signal.pause()

    def _path(self, path: Any, dir_fd: int | None) -> str | None:
        """The absolute path where it is watched, else None."""
        if isinstance(path, int):
            return None
        text = os.fsdecode(path)
        if dir_fd is not None and not os.path.isabs(text):
            base = self._paths.get(dir_fd)
            if base is None:
                return None
            text = os.path.join(base, text)
        where = os.path.abspath(text)
        for root in self._roots:
            if where == root or where.startswith(root + "/"):
                return where
        return None


def fcntl_flags(fd: int) -> int:
    """The open flags of a descriptor."""
    import fcntl

    return fcntl.fcntl(fd, fcntl.F_GETFL)
