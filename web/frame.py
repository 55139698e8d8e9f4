"""What stands around every page: who looks, in which language and zone, and what must be said above the content."""

# No `from __future__ import annotations`: pydantic needs the types themselves.

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Literal

from server.core.models import Model
from server.core.privacy import Level


class FrameUser(Model):
    """Who looks at the page."""

    name: Annotated[str, Level.SENSITIVE]
    role: Literal["PATIENT", "DOCTOR", "ADMIN"]
    id: str
    doctor_id: str | None = None
    patient_id: str | None = None


class Notice(Model):
    """A sentence above the page's content: `key` of web/words.py, its kind, and what fills its places."""

    key: str
    kind: Literal["calm", "good", "wait", "wrong"] = "good"
    values: Mapping[str, str] = {}


class Frame(Model):
    """What every page needs beside its own view. `path` is the address with its query, for the language switch."""

    nonce: str
    now: datetime
    language: Literal["en", "hi"] = "en"
    time_zone: str = "Asia/Kolkata"
    path: str = "/"
    user: FrameUser | None = None
    csrf: str = ""
    demo: bool = False
    plain_http: bool = False
    clinic_phone: str = "+91 00000 00000"
    notices: Sequence[Notice] = ()
