"""A PostgreSQL of somebody else's: the owner's address becomes the application's."""

from __future__ import annotations

from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

import asyncpg

from server.core.migrate import migrations, pending, scram_verifier
from server.up.folder import Refused

APPLICATION = "amrutam_app"


def as_application(owner_url: str, password: str) -> str:
    """The same database, asked as amrutam_app with this password."""
    parts = urlsplit(owner_url)
    hosts = parts.netloc.rpartition("@")[2]
    query = [(name, value) for name, value in parse_qsl(parts.query) if name not in ("user", "password")]
    netloc = f"{APPLICATION}:{quote(password, safe='')}@{hosts}"
    return urlunsplit((parts.scheme, netloc, parts.path, urlencode(query), ""))


def is_application(url: str) -> bool:
    """Whether an address already is the application's."""
    parts = urlsplit(url)
    return APPLICATION in (
        unquote(parts.username or ""),
        *(value for name, value in parse_qsl(parts.query) if name == "user"),
    )


def password_of_application(url: str) -> str | None:
    """The password in the application's own address, None for another's or without one."""
    parts = urlsplit(url)
    if not is_application(url):
        return None
    written = [value for name, value in parse_qsl(parts.query) if name == "password"]
    return unquote(parts.password) if parts.password else (written[0] if written else None)


async def check_schema(app_url: str) -> None:
    """See that nothing is missing, where nobody told us the owner. Raises Refused."""
    try:
        conn = await asyncpg.connect(app_url, timeout=10)
        try:
            missing = await pending(conn, migrations())
        finally:
            await conn.close()
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise Refused(f"AMRUTAM_DATABASE_URL: {error}.") from error
    if missing:
        raise Refused(
            f"The database lacks {missing[0]}, and AMRUTAM_DATABASE_URL names {APPLICATION}, which owns nothing:"
            " set AMRUTAM_MIGRATE_URL to the owner's address."
        )


async def let_application_in(owner_url: str, app_url: str, password: str) -> bool:
    """See that amrutam_app gets in with this password; give it to the role when it does not. Tells whether it did.

    Raises Refused when the owner may not, or the server does not answer.
    """
    try:
        await (await asyncpg.connect(app_url, timeout=10)).close()
        return False
    except (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError):
        pass  # made by somebody else, with another password: that is mended below
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise Refused(f"AMRUTAM_DATABASE_URL: {APPLICATION} does not get in: {error}.") from error
    owner = await asyncpg.connect(owner_url, timeout=10)
    try:
        await owner.execute(f"alter role {APPLICATION} login password '{scram_verifier(password)}'")
        await (await asyncpg.connect(app_url, timeout=10)).close()
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise Refused(
            f"AMRUTAM_DATABASE_URL: {APPLICATION} does not get in ({error}): set AMRUTAM_MIGRATE_URL to the owner's"
            " address and AMRUTAM_DATABASE_URL to the application's."
        ) from error
    finally:
        await owner.close()
    return True
