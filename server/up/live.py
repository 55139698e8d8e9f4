"""One `up` a data folder: a lock that ends with its holder, and a note of who runs and where."""

from __future__ import annotations

import fcntl
import json
import os
import signal
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import cast

from server.core.settings import PREFIX
from server.up.child import Mark, mark
from server.up.folder import Folder, Refused
from server.up.secret_file import write_whole

TOLD = "settings.json"


class Live:
    """Holds a data folder. The kernel lets go of the lock when this process ends, however it ends."""

    def __init__(self, folder: Folder) -> None:
        """Take the folder. Raises Refused, with the address of the one that runs, when it is taken."""
        self._note = folder.path / "up.json"
        self._told = folder.path / TOLD
        self._lock = os.open(folder.path / "up.lock", os.O_RDWR | os.O_CREAT, 0o600)
        self.address = ""
        self._children: dict[str, Mark] = {}
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            address = _read(self._note).get("address")
            where = f"at {address}" if address else "and is starting"
            raise Refused(f"Amrutam already runs on {folder.path}, {where}.") from None
        except OSError as error:
            os.close(self._lock)
            raise Refused(f"The data folder {folder.path} cannot be locked: {error.strerror}.") from error

    def end_orphans(self) -> list[str]:
        """End what a killed `up` left running, known by pid and start; returns the names. Services are not among it:
        PostgreSQL is ended by its own rules.
        """
        ended: list[str] = []
        children = _read(self._note).get("children")
        for name, entry in cast("dict[str, object]", children).items() if isinstance(children, dict) else ():
            match entry:
                case {"pid": int(pid), "started": str(started)} if name != "PostgreSQL":
                    if mark(pid) == Mark(pid, started):
                        os.kill(pid, signal.SIGKILL)
                        ended.append(name)
                case _:
                    continue
        return ended

    def at(self, address: str) -> None:
        """Note the address that a second `up` is to be told."""
        self.address = address
        self._write()

    def told(self, environ: Mapping[str, str]) -> None:
        """Note the settings that the children were given, for the commands that want the same."""
        settings = {name: value for name, value in environ.items() if name.startswith(PREFIX)}
        write_whole(self._told, json.dumps(settings))

    def started(self, name: str, pid: int) -> None:
        """Note a child."""
        if (found := mark(pid)) is not None:
            self._children[name] = found
            self._write()

    def release(self) -> None:
        """Let go, leaving no address behind."""
        self.address = ""
        self._children.clear()
        self._write()
        self._told.unlink(missing_ok=True)
        os.close(self._lock)

    def _write(self) -> None:
        children = {name: asdict(child) for name, child in self._children.items()}
        write_whole(self._note, json.dumps({"pid": os.getpid(), "address": self.address, "children": children}))


def told_to_children(path: Path) -> dict[str, str]:
    """The settings of the `up` that runs on a folder. Raises FileNotFoundError when none does."""
    told: object = json.loads((path / TOLD).read_text())
    return {str(name): str(value) for name, value in cast("dict[str, object]", told).items()}


def _read(note: Path) -> Mapping[str, object]:
    """What the last `up` noted. Empty or broken it says nothing: it only helps, the lock decides."""
    try:
        found: object = json.loads(note.read_text())
    except (OSError, ValueError):
        return {}
    return cast("dict[str, object]", found) if isinstance(found, dict) else {}
