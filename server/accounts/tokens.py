"""Secrets that people and browsers hold: session tokens and one-time links. Only their SHA-256 is stored."""

from __future__ import annotations

import hashlib
import secrets

from server.core.ids import UserId, user_tag


def session_token(user_id: UserId) -> str:
    """A fresh session token, `<tag>.<secret>`: the tag leads to the user's cached sessions, the secret is 256 bits."""
    return f"{user_tag(user_id)}.{secrets.token_urlsafe(32)}"


def link_token() -> str:
    """A fresh token of a one-time link, 256 bits."""
    return secrets.token_urlsafe(32)


def token_hash(token: str) -> bytes:
    """What is stored of a token. 256 random bits need no slow hash."""
    return hashlib.sha256(token.encode()).digest()
