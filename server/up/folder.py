"""The data folder: where it lies, whom it belongs to, and the account that the embedded services run as."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# A socket's path is at most 107 bytes on Linux and 103 on macOS, the name of the socket included.
SOCKET_PATH_BYTES = 100
LONGEST_SOCKET = "/.s.PGSQL.5432.lock"
# asyncpg splits hosts at commas, and a quote or a line end has no place in a list of PostgreSQL's.
AWKWARD_IN_A_SOCKET_PATH = re.compile(r"[,\"'\\\n\r]")
OURS = ("secrets.json", "up.lock", "up.json", "postgres", "sockets", "logs", "programs", "tls")


class Refused(Exception):
    """The start ends here. The message is the sentence that a person reads."""


@dataclass(frozen=True)
class Account:
    """Whom a service runs as, when not as ourselves."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Folder:
    """A data folder that is ready for use. As root the folder is root's, and what a service writes is `account`'s."""

    path: Path
    account: Account | None

    @property
    def cluster(self) -> Path:
        """PostgreSQL's files."""
        return self.path / "postgres"

    @property
    def logs(self) -> Path:
        """What the children say."""
        return self.path / "logs"

    def owner(self) -> int:
        """The uid that owns what the services write."""
        return self.account.uid if self.account else os.geteuid()

    def for_services(self, path: Path) -> Path:
        """Make a folder that only the services' account enters."""
        path.mkdir(mode=0o700, exist_ok=True)
        self.give(path)
        return path

    def give(self, path: Path) -> None:
        """Hand a path of ours to the services' account."""
        if self.account is not None:
            os.chown(path, self.account.uid, self.account.gid)


def default_folder(environ: Mapping[str, str]) -> Path:
    """Where data lies when nobody says: /var/lib/amrutam for root, else in the person's own data folder."""
    if os.geteuid() == 0:
        return Path("/var/lib/amrutam")
    home = environ.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir
    if not os.access(home, os.W_OK | os.X_OK):
        raise Refused(f"The home folder {home} cannot be written to: name a folder for the data with --data.")
    if sys.platform == "darwin":
        return Path(home) / "Library" / "Application Support" / "amrutam"
    return Path(environ.get("XDG_DATA_HOME") or Path(home) / ".local" / "share") / "amrutam"


def open_folder(path: Path) -> Folder:
    """Make the folder, or take the one that is there. Changes the permissions of this folder and of no other.

    Raises Refused for a folder of somebody else's, with other things in it, or out of the services' reach.
    """
    path = Path(os.path.abspath(path))
    account = _service_account()
    _check_that_services_reach(account, next(there for there in path.parents if there.exists()), path)
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_that_it_is_ours(path, account)
        # The services pass through root's folder to their own; everybody else finds each of its parts closed.
        path.chmod(0o711 if account else 0o700)
        (path / "logs").mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise Refused(f"The data folder {path} cannot be used: {error.strerror}.") from error
    _check_that_services_reach(account, path, path)
    return Folder(path, account)


def socket_folder(folder: Folder) -> Path:
    """A 0700 folder for sockets: in the data folder, or a fresh short one when that path cannot hold a socket."""
    usual = folder.path / "sockets"
    if len(os.fsencode(f"{usual}{LONGEST_SOCKET}")) <= SOCKET_PATH_BYTES and not AWKWARD_IN_A_SOCKET_PATH.search(
        str(usual)
    ):
        return folder.for_services(usual)
    short = Path(tempfile.mkdtemp(prefix="amrutam-", dir="/tmp"))  # fresh, 0700, and short everywhere
    folder.give(short)
    return short


def leave_sockets(folder: Folder, sockets: Path) -> None:
    """Take a short folder for sockets away again; the usual one stays."""
    if sockets.parent != folder.path:
        shutil.rmtree(sockets, ignore_errors=True)


def _service_account() -> Account | None:
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        raise Refused("PostgreSQL does not run as root, and there is no account nobody here to run it as.") from None
    return Account(entry.pw_uid, entry.pw_gid)


def _check_that_it_is_ours(path: Path, account: Account | None) -> None:
    found = path.stat()
    if found.st_uid != os.geteuid():
        raise Refused(f"The data folder {path} belongs to {_name(found.st_uid)}: start as {_name(found.st_uid)}.")
    inside = set(os.listdir(path))
    if inside and not inside & set(OURS):
        raise Refused(f"The folder {path} holds other things: name a new or empty folder with --data.")
    cluster = path / "postgres"
    if cluster.exists():
        due = account.uid if account else os.geteuid()
        if cluster.stat().st_uid != due:
            raise Refused(f"{cluster} belongs to {_name(cluster.stat().st_uid)} and not to {_name(due)}.")
        if not stat.S_ISDIR(cluster.stat().st_mode):
            raise Refused(f"{cluster} is no folder.")


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _check_that_services_reach(account: Account | None, there: Path, path: Path) -> None:
    if account is None:
        return
    tried = subprocess.run(  # noqa: S603 - our own list of arguments
        ["/bin/sh", "-c", 'cd -- "$1"', "sh", str(there)],
        user=account.uid,
        group=account.gid,
        extra_groups=[],
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    if tried.returncode != 0:
        raise Refused(
            f"The data folder {path} lies in a folder that is closed to the account nobody, which the services"
            " run as when root starts them: name another one with --data, or start as an ordinary user."
        )
