"""The site: what the edge is given to render pages with, and the frame around each of them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import cast

from pydantic import BaseModel

from server.accounts import Person, person
from server.core.cipher import Cipher
from server.core.clock import Clock
from server.core.edge import Call
from server.core.errors import Problem
from server.core.ids import UserId
from server.core.settings import Settings
from server.core.tx import Tx
from server.scheduling import PublicSlot
from web.frame import Frame, FrameUser, Notice
from web.rendering import Pages
from web.views import ProblemView, SlotItem
from web.words import NOTICES

WORTH_SAYING_SECONDS = 20


class Site:
    """Renders views and problems for the edge."""

    def __init__(self, settings: Settings, cipher: Cipher, clock: Clock) -> None:
        self._settings = settings
        self._cipher = cipher
        self._clock = clock
        self._pages = Pages()

    async def render(self, call: Call, template: str, view: object) -> str:
        """The HTML of a page."""
        assert isinstance(view, BaseModel)
        return self._pages.render(template, view, await self._frame(call))

    async def problem(self, call: Call, problem: Problem) -> str:
        """The HTML of a refusal. It must render even when the database is away: then without the reader's name."""
        alternatives = cast("list[PublicSlot]", problem.extra.get("alternatives") or [])
        view = ProblemView(
            code=problem.code,
            status=problem.status,
            title=problem.title,
            detail=problem.detail,
            request_id=call.request_id,
            retry_at=self._retry_at(problem),
            alternatives=[SlotItem.model_validate(slot) for slot in alternatives],
        )
        try:
            frame = await self._frame(call)
        except Problem:
            frame = self._bare_frame(call, None)
        return self._pages.render("error.html", view, frame)

    def _retry_at(self, problem: Problem) -> datetime | None:
        """The minute from which it may be tried again; a wait of seconds needs no clock."""
        seconds = problem.retry_after_seconds
        if seconds is None or seconds < WORTH_SAYING_SECONDS:
            return None
        at = self._clock() + timedelta(seconds=seconds)
        return at.replace(second=0, microsecond=0) + timedelta(minutes=1)  # the page says minutes: never too early

    async def _frame(self, call: Call) -> Frame:
        user_id = call.actor.user_id
        if user_id is None or call.run is None:
            return self._bare_frame(call, None)

        async def whose(tx: Tx, ask: UserId) -> Person:
            return await person(tx, ask, self._cipher)

        return self._bare_frame(call, await call.run.read(whose, user_id))

    def _bare_frame(self, call: Call, reader: Person | None) -> Frame:
        actor = call.actor
        user = None
        if reader is not None and actor.role is not None:
            user = FrameUser(
                name=reader.name,
                role=actor.role.value,  # pyright: ignore[reportArgumentType] - sessions have the three roles only
                id=str(actor.user_id),
                doctor_id=str(actor.doctor_id) if actor.doctor_id else None,
                patient_id=str(actor.patient_id) if actor.patient_id else None,
            )
        return Frame(
            nonce=call.nonce,
            now=self._clock(),
            language="hi" if call.language == "hi" else "en",
            time_zone=actor.time_zone,
            path=call.path,
            user=user,
            csrf=call.csrf_token,
            demo=self._settings.demo,
            plain_http=not self._settings.secure_cookies,
            clinic_phone=self._settings.clinic_phone,
            notices=_notices(call.notice, reader),
        )


def _notices(key: str | None, reader: Person | None) -> list[Notice]:
    found = [Notice(key=key)] if key is not None and key in NOTICES else []
    if reader is not None and reader.undeliverable:
        found.append(Notice(key="address-undeliverable", kind="wrong"))
    return found
