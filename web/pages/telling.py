"""By which ways a user is told what: the forms of the account page, and the worker that shows pushes."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated
from uuid import UUID

from pydantic import StringConstraints

from server.accounts import ChangeMe, Channels, Me, QuietHours, change_me, read_me, verify_again
from server.core.cipher import Cipher
from server.core.edge.bodies import build
from server.core.errors import Problem
from server.core.limits import MAILING
from server.core.models import Ask, Nothing
from server.core.privacy import Level
from server.core.routes import Document, Reply, Route, SeeOther, form, get, page, post, public, redirect, signed_in
from server.core.settings import Settings
from server.core.tx import Run, Tx
from server.notifications import DeviceAsk, list_devices, remove_device
from web.account_views import DeviceItem, TellingItem, TellingView

Mark = Annotated[str, StringConstraints(max_length=10), Level.INTERNAL]
WORKER = Path(__file__).parent.parent / "static" / "js" / "push-worker.js"
script = Reply("text", media_type="text/javascript")


class TellingForm(Ask):
    """The boxes that are ticked, and the quiet hours; both empty are none."""

    reminders_mail: Mark = ""
    reminders_sms: Mark = ""
    reminders_push: Mark = ""
    booking_mail: Mark = ""
    booking_sms: Mark = ""
    booking_push: Mark = ""
    account_sms: Mark = ""
    account_push: Mark = ""
    quiet_from: Mark = ""
    quiet_to: Mark = ""

    def change(self) -> dict[str, object]:
        """What is to be changed of the user; what is not right in it is found there."""
        quiet = {"from": self.quiet_from, "to": self.quiet_to} if self.quiet_from or self.quiet_to else None
        ways = {
            topic: {way: bool(getattr(self, f"{topic}_{way}")) for way in ("mail", "sms", "push")}
            for topic in ("reminders", "booking")
        }
        account = {"sms": bool(self.account_sms), "push": bool(self.account_push)}
        return {"channels": {**ways, "account": account}, "quiet_hours": quiet}


class DeviceForm(Ask):
    """One of one's own devices."""

    id: UUID


async def show_telling(tx: Tx, ask: Nothing, *, cipher: Cipher, settings: Settings) -> TellingView:
    """What is wanted now."""
    return await _view(tx, await read_me(tx, ask, cipher=cipher), settings)


async def change_telling(run: Run, ask: TellingForm, *, cipher: Cipher, settings: Settings) -> SeeOther | TellingView:
    """Save what is wanted."""
    try:
        await run(partial(change_me, cipher=cipher), build(ChangeMe, ask.change()))
    except Problem as problem:
        shown = await run.read(partial(show_telling, cipher=cipher, settings=settings), Nothing())
        return shown.refused(problem, quiet_from=ask.quiet_from, quiet_to=ask.quiet_to)
    return SeeOther(location="/account/telling", notice="saved")


async def remove_device_by_form(tx: Tx, ask: DeviceForm) -> SeeOther:
    """Tell the user on this device no more."""
    await remove_device(tx, DeviceAsk(id=ask.id))
    return SeeOther(location="/account/telling", notice="device-removed")


async def mail_again_by_form(tx: Tx, ask: Nothing) -> SeeOther:
    """Send the mail whose link shows that mails arrive."""
    await verify_again(tx, ask)
    return SeeOther(location="/account/telling", notice="mail-sent")


async def show_worker(run: Run, ask: Nothing) -> Document:
    """The script that shows pushes. It lies at the root, since a worker serves what lies beside and below it."""
    del run, ask
    return Document(content=WORKER.read_bytes(), media_type=script.media_type)


async def _view(tx: Tx, me: Me, settings: Settings) -> TellingView:
    devices = await list_devices(tx, Nothing(), settings=settings)
    return TellingView(
        email=me.email,
        phone=me.phone or "",
        undeliverable=me.email_undeliverable,
        topics=_topics(me.channels),
        quiet_from=_quiet(me.quiet_hours)[0],
        quiet_to=_quiet(me.quiet_hours)[1],
        time_zone=me.time_zone,
        push_key=devices.key,
        devices=[DeviceItem.model_validate(device) for device in devices.items],
    )


def _topics(channels: Channels) -> list[TellingItem]:
    return [
        TellingItem(topic="reminders", **channels.reminders.model_dump()),
        TellingItem(topic="booking", **channels.booking.model_dump()),
        TellingItem(topic="account", always_mail=True, **channels.account.model_dump()),
    ]


def _quiet(hours: QuietHours | None) -> tuple[str, str]:
    return (hours.from_wall, hours.to_wall) if hours is not None else ("", "")


def routes(settings: Settings, cipher: Cipher) -> list[Route]:
    """The page, its forms, and the worker's script."""
    telling = page("telling.html")
    with_both = {"cipher": cipher, "settings": settings}
    return [
        get("/account/telling", partial(show_telling, **with_both), access=signed_in, reply=telling),
        post("/account/telling", partial(change_telling, **with_both), access=signed_in, body=form, reply=telling),
        post(
            "/account/telling/mail",
            mail_again_by_form,
            access=signed_in,
            budget=MAILING,
            body=form,
            reply=redirect,
        ),
        post(
            "/account/telling/devices/{id}/remove",
            remove_device_by_form,
            access=signed_in,
            body=form,
            reply=redirect,
        ),
        get("/push-worker.js", show_worker, access=public, reply=script),
    ]
