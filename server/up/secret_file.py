"""The secrets of a data folder: made at the first start, kept in `secrets.json` (0600), never made twice."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from server.up.folder import Folder, Refused

WORDS = "abcdefghjkmnpqrstuvwxyz23456789"  # nothing that looks like something else when it is read aloud


@dataclass(frozen=True)
class Secrets:
    """What the data of this folder was sealed and signed with."""

    secret: str
    key_encryption_key: str
    sandbox_secret: str
    demo_password: str
    app_password: str


def kept_secrets(folder: Folder) -> Secrets:
    """Read the folder's secrets, or make them when it is new.

    Raises Refused when they are gone or broken: what was sealed with them could not be read with new ones.
    """
    path = folder.path / "secrets.json"
    try:
        text = path.read_text()
    except FileNotFoundError:
        if folder.cluster.exists():
            raise Refused(f"{path} is gone, and without it the data beside it cannot be read: put it back.") from None
        return _make(path)
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror}.") from error
    try:
        found = json.loads(text)
        values = {field.name: found[field.name] for field in fields(Secrets)}
        if not all(isinstance(value, str) and value for value in values.values()):
            raise ValueError("a value is no text")
    except (ValueError, KeyError, TypeError):
        raise Refused(f"{path} is broken, and without it the data beside it cannot be read: put it back.") from None
    return Secrets(**values)


def write_whole(path: Path, text: str) -> None:
    """Put a file of ours (0600) in place such that a reader or a crash meets the old or the new one, never a half."""
    fresh = path.with_name(path.name + ".new")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _make(path: Path) -> Secrets:
    made = Secrets(
        secret=secrets.token_urlsafe(48),
        key_encryption_key=secrets.token_urlsafe(48),
        sandbox_secret=secrets.token_urlsafe(32),
        demo_password="-".join("".join(secrets.choice(WORDS) for _ in range(5)) for _ in range(3)),
        app_password=secrets.token_urlsafe(32),
    )
    write_whole(path, json.dumps(asdict(made), indent=2) + "\n")
    return made
