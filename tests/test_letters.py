"""Letters: one a cause, in the reader's language and zone, telling what they must and nothing of an illness."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any
from typing import cast as typed
from urllib.parse import urlsplit
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from icalendar import Calendar
from redis.asyncio import Redis

from server.core.ids import ConsultationId, DoctorId, UserId
from server.core.models import Nothing
from server.core.settings import Settings
from server.notifications import Content, Meeting, calendar_file, inbox
from tests.conftest import PASSWORD
from tests.house import Cast, Client, House, open_house_of, working
from tests.outside import posting

ALL_DONE = (
    "select 1 where not exists (select 1 from deliveries where done_at is null)"
    " and not exists (select 1 from outbox where relayed_at is null)"
)


async def letters(house: House, cause: str) -> list[Content]:
    """What was written for a cause (a pattern of SQL's `like`), oldest first."""
    rows = await house.until("select id from notifications where cause like $1 order by id", cause)
    database = house.server.database
    opened = await database.read(lambda tx: inbox(tx, Nothing(), cipher=database.cipher), source="test")
    contents = {letter.id: letter.content for letter in opened}
    return [contents[row["id"]] for row in rows]


async def letter(house: House, cause: str) -> Content:
    """The one letter of a cause."""
    [only] = await letters(house, cause)
    return only


def event_of(content: Content) -> tuple[str, Any]:
    """The method and the event of a letter's calendar file."""
    [file] = content.attachments
    calendar = typed("Any", Calendar.from_ical(file.content))
    [event] = calendar.walk("VEVENT")
    method = str(calendar["METHOD"])
    assert f"method={method}" in file.content_type
    return method, event


def start_of(consultation: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(consultation["start_time"])


async def test_registering_sends_a_link_whose_page_uses_nothing_up(house: House) -> None:
    stranger = house.stranger()
    email = f"{uuid4().hex}@example.org"
    answer = await stranger.post(
        "/auth/register", key=None, email=email, password="a kettle of green tea", name="Kamala"
    )
    assert answer.status == 202
    mail = await letter(house, "registered:%:mail")
    assert mail.to == email
    link = re.search(r"http\S+/verify\?token=(\S+)", mail.text)
    assert link is not None
    assert link[0].startswith(house.settings.public_url)
    path = urlsplit(link[0])
    for _ in range(2):
        page = await stranger.call("GET", f"//{path.path}?{path.query}".replace("///", "//"))
        assert page.status == 200
    verified = "select email_verified_at from users order by created_at desc limit 1"
    assert await house.value(verified) is None
    assert (await stranger.post("/auth/verify", key=None, token=link[1])).status == 200
    assert await house.value(verified) is not None
    assert (await stranger.post("/auth/verify", key=None, token=link[1])).status >= 400


async def test_a_calendar_follows_its_consultation_from_booking_to_cancellation(cast: Cast) -> None:
    house = cast.house
    first, second = await cast.slots_of(cast.dr_rao, 2)
    booked = (await cast.asha.post("/consultations", slot_id=first["id"])).json
    method, event = event_of(await letter(house, "confirmed:%:mail"))
    uid = str(event["UID"])
    assert (method, event["SEQUENCE"], event["DTSTART"].dt) == ("REQUEST", 0, start_of(first))
    assert event["DTEND"].dt == datetime.fromisoformat(first["end_time"])

    moved = await cast.asha.post(f"/consultations/{booked['id']}/reschedule", slot_id=second["id"])
    assert moved.status == 200, moved.text
    method, event = event_of(await letter(house, "moved:%:mail"))
    assert (method, event["SEQUENCE"], event["DTSTART"].dt) == ("REQUEST", 1, start_of(second))
    assert str(event["UID"]) == uid

    assert (await cast.asha.post(f"/consultations/{booked['id']}/cancel")).status == 200
    method, event = event_of(await letter(house, "cancelled:%:mail"))
    assert (method, event["SEQUENCE"], str(event["STATUS"])) == ("CANCEL", 2, "CANCELLED")
    assert str(event["UID"]) == uid


@pytest.mark.parametrize(
    ("zone", "change"),
    [
        ("Europe/London", "2027-03-28T01:00"),
        ("Europe/London", "2027-10-31T01:00"),
        ("America/New_York", "2027-03-14T07:00"),
        ("America/New_York", "2027-11-07T06:00"),
        ("Australia/Lord_Howe", "2027-04-03T15:00"),
    ],
)
@pytest.mark.parametrize("minutes", [-60, -10, 0, 10, 60])
def test_the_file_names_the_instant_on_both_sides_of_a_clock_change(zone: str, change: str, minutes: int) -> None:
    instant = datetime.fromisoformat(change).replace(tzinfo=UTC) + timedelta(minutes=minutes)
    local = instant.astimezone(ZoneInfo(zone))
    meeting = Meeting(
        consultation_id=ConsultationId(uuid4()),
        patient_user_id=UserId(uuid4()),
        doctor_id=DoctorId(uuid4()),
        doctor_name="Dr. Rao",
        doctor_user_id=UserId(uuid4()),
        start_time=local,
        end_time=(instant + timedelta(minutes=20)).astimezone(ZoneInfo(zone)),
        sequence=0,
        link="https://example.org/c/1",
        ended_as=None,
        amount_minor=0,
        currency="INR",
        refund_minor=0,
        expires_at=None,
        payment_status="captured",
    )
    file = calendar_file(
        meeting,
        method="request",
        organizer="Amrutam <a@example.org>",
        attendee="b@example.org",
        language="en",
        now=instant,
    )
    [event] = typed("Any", Calendar.from_ical(file)).walk("VEVENT")
    assert (event["DTSTART"].dt, event["DTEND"].dt) == (instant, instant + timedelta(minutes=20))
    assert f"DTSTART:{instant:%Y%m%dT%H%M%SZ}".encode() in file


async def test_a_letter_is_in_its_readers_language_and_names_their_zone(cast: Cast) -> None:
    answer = await cast.asha.patch("/me", language="hi", time_zone="Europe/London", phone="+919876543210")
    assert answer.status == 200, answer.text
    booked = await cast.confirmed(cast.asha, cast.dr_rao)
    mail = await letter(cast.house, "confirmed:%:mail")
    assert "परामर्श" in mail.subject
    assert mail.headers["Content-Language"] == "hi"
    local = start_of(booked).astimezone(ZoneInfo("Europe/London"))
    for text in (mail.subject, mail.text):
        assert f"{local:%H:%M}" in text
        assert "Europe/London" in text
        assert f" {local.day} " in text
    sms = await letter(cast.house, "confirmed:%:sms")
    assert sms.to == "+919876543210"
    assert f"{local:%H:%M}" in sms.text
    _, event = event_of(mail)
    assert event["DTSTART"].dt == start_of(booked)


async def test_no_letter_tells_what_somebody_is_ill_with(cast: Cast) -> None:
    house = cast.house
    await cast.asha.patch("/me", phone="+919876543210")
    [specialty] = {
        row["specialty"]
        for row in await house.sql("select specialty from doctors where id = $1", cast.dr_sen.me["doctor_id"])
    }
    booked = await cast.confirmed(cast.asha, cast.dr_sen, reason="canary-5e1f a rash that itches")
    await letters(house, "confirmed:%:mail")
    await remind_now(house, booked, "1h")
    await letters(house, "reminder:%:mail")
    await house.until(ALL_DONE)
    answer = await cast.asha.post(f"/consultations/{booked['id']}/cancel")
    assert answer.status == 200, answer.text
    await letters(house, "cancelled:%:mail")
    await letters(house, "refunded:%:mail")
    for content in await letters(house, "%"):
        files = b"".join(file.content for file in content.attachments).decode()
        told = f"{content.subject}\n{content.text}\n{content.html}\n{files}"
        assert specialty.lower() not in told.lower()
        assert "canary" not in told
        assert "rash" not in told


async def test_what_a_patient_comes_for_is_nowhere_in_the_clear(cast: Cast, settings: Settings) -> None:
    house = cast.house
    await cast.confirmed(cast.asha, cast.dr_sen, reason="canary-77b0 something private")
    await letters(house, "confirmed:%:mail")
    await house.until(ALL_DONE)
    tables = await house.sql(
        "select format('%I.%I', schemaname, tablename) as name from pg_tables"
        " where schemaname not in ('pg_catalog', 'information_schema')"
    )
    assert len(tables) > 20
    for table in tables:
        # A row as text shows bytea in hex.
        found = f"select count(*) from {table['name']} t where t::text ilike '%canary%' or t::text like $1"
        assert await house.value(found, f"%{b'canary'.hex()}%") == 0, table["name"]
    told = "select count(*) from outbox t where t::text ilike '%booked%'"
    assert await house.value(told) > 0  # this way of looking finds what is there
    async with Redis.from_url(settings.redis_url.get_secret_value()) as redis:  # pyright: ignore[reportUnknownMemberType]
        assert not [key for key in await everything(typed("Any", redis)) if b"canary" in key]
    shown = await house.stranger().get("//dev/inbox.json")
    assert shown.status == 200
    assert "canary" not in shown.text
    assert "canary" not in (await house.stranger().get("//dev/inbox")).text


async def everything(redis: Any) -> list[bytes]:
    """Every key of Redis with all that it holds (its commands are typed for both worlds at once)."""
    read: dict[bytes, tuple[str, tuple[int, ...]]] = {
        b"string": ("get", ()),
        b"list": ("lrange", (0, -1)),
        b"hash": ("hgetall", ()),
        b"set": ("smembers", ()),
        b"zset": ("zrange", (0, -1)),
        b"stream": ("xrange", ()),
    }
    found: list[bytes] = []
    async for key in redis.scan_iter():
        kind = await redis.type(key)
        if kind != b"none":
            command, rest = read[kind]
            found.append(key + repr(await getattr(redis, command)(key, *rest)).encode())
    return found


async def remind_now(house: House, consultation: dict[str, Any], kind: str) -> None:
    """Bring a consultation so near that this reminder has just become due, and no other."""
    ahead = {"24h": timedelta(hours=24), "1h": timedelta(hours=1), "10min": timedelta(minutes=10)}
    await house.until("select 1 from reminders where consultation_id = $1 and kind = $2", consultation["id"], kind)
    start = datetime.now(UTC) + ahead[kind] - timedelta(seconds=1)  # noqa: TID251 - a test's own clock
    await house.sql(
        "update consultations set start_time = $2, end_time = $2::timestamptz + interval '20 minutes' where id = $1",
        consultation["id"],
        start,
    )
    await house.sql(
        "update reminders set due_at = $3 where consultation_id = $1 and kind = $2",
        consultation["id"],
        kind,
        start - ahead[kind],
    )


async def coming(house: House, consultation: dict[str, Any]) -> dict[str, datetime]:
    """The reminders that will go out, once they are planned."""
    await house.until(ALL_DONE)
    rows = await house.sql(
        "select kind, due_at from reminders where consultation_id = $1 and sent_at is null and dropped_at is null",
        consultation["id"],
    )
    return {row["kind"]: row["due_at"] for row in rows}


@pytest.mark.parametrize(
    ("hours", "kinds"),
    [(25.0, {"24h", "1h", "10min"}), (3.0, {"1h", "10min"}), (0.5, {"10min"}), (0.1, set[str]())],
)
async def test_reminders_that_are_past_at_booking_are_skipped(cast: Cast, hours: float, kinds: set[str]) -> None:
    house = cast.house
    booked = await cast.booked(cast.asha, cast.dr_sen)
    start = datetime.now(UTC) + timedelta(hours=hours)  # noqa: TID251 - a test's own clock
    await house.sql(
        "update consultations set start_time = $2, end_time = $2::timestamptz + interval '20 minutes' where id = $1",
        booked["id"],
        start,
    )
    await cast.pay(booked)
    await letters(house, "confirmed:%:mail")
    planned = await coming(house, booked)
    assert set(planned) == kinds
    for kind, ahead in (("24h", 24 * 60), ("1h", 60), ("10min", 10)):
        assert planned.get(kind, start - timedelta(minutes=ahead)) == start - timedelta(minutes=ahead)


async def test_a_reminder_is_sent_once_by_two_workers(cast: Cast, settings: Settings) -> None:
    house = cast.house
    await cast.asha.patch("/me", phone="+919876543210")
    booked = await cast.confirmed(cast.asha, cast.dr_rao)
    await coming(house, booked)
    async with working(settings):
        await remind_now(house, booked, "1h")
        mail = await letter(house, "reminder:%:mail")
        sms = await letter(house, "reminder:%:sms")
        await house.until("select 1 from reminders where kind = '1h' and sent_at is not null")
        # The same row once more, as after a lost commit: its cause has its letter already.
        await house.sql("update reminders set sent_at = null where kind = '1h'")
        await house.until("select 1 from reminders where kind = '1h' and sent_at is not null")
        await house.until(ALL_DONE)
    assert await house.value("select count(*) from notifications where cause like 'reminder:%'") == 2
    for text in (mail.text, sms.text):
        assert "(IST)" in text


async def test_a_reminder_comes_by_the_ways_its_reader_wants(cast: Cast) -> None:
    house = cast.house
    answer = await cast.asha.patch("/me", phone="+919876543210", reminders={"mail": False, "sms": True})
    assert answer.status == 200, answer.text
    booked = await cast.confirmed(cast.asha, cast.dr_rao)
    await letter(house, "confirmed:%:mail")
    await coming(house, booked)
    await remind_now(house, booked, "1h")
    await letter(house, "reminder:%:sms")
    assert await house.value("select count(*) from notifications where cause like 'reminder:%:mail'") == 0


async def test_a_cancelled_consultation_reminds_nobody(cast: Cast) -> None:
    house = cast.house
    booked = await cast.confirmed(cast.asha, cast.dr_rao)
    await coming(house, booked)
    assert (await cast.asha.post(f"/consultations/{booked['id']}/cancel")).status == 200
    await letter(house, "cancelled:%:mail")
    assert await coming(house, booked) == {}
    # And one that the step was too late for: the tick itself looks at the consultation.
    await house.sql("update reminders set dropped_at = null, due_at = now() where kind = '1h'")
    await house.until("select 1 from reminders where kind = '1h' and dropped_at is not null")
    assert await house.value("select count(*) from notifications where cause like 'reminder:%'") == 0


async def test_a_moved_consultation_is_reminded_of_at_its_new_time(cast: Cast) -> None:
    house = cast.house
    first, *_, last = await cast.slots_of(cast.dr_rao, 30)
    booked = (await cast.asha.post("/consultations", slot_id=first["id"])).json
    await coming(house, booked)
    moved = await cast.asha.post(f"/consultations/{booked['id']}/reschedule", slot_id=last["id"])
    assert moved.status == 200, moved.text
    await letter(house, "moved:%:mail")
    planned = await coming(house, booked)
    assert planned["1h"] == start_of(last) - timedelta(hours=1)
    # Due by its old time, when the step had not run yet: it moves, and says nothing.
    await house.sql("update reminders set due_at = now() where kind = '1h'")
    await house.until("select 1 from reminders where kind = '1h' and due_at = $1", start_of(last) - timedelta(hours=1))
    assert await house.value("select count(*) from notifications where cause like 'reminder:%'") == 0


@dataclass
class Post:
    """A mail server that keeps what it is given; it refuses as many mails as it is told to."""

    refuse: int = 0
    refused: int = 0
    mails: list[EmailMessage] = field(default_factory=list[EmailMessage])

    async def handle_DATA(self, server: object, session: object, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        if self.refused < self.refuse:
            self.refused += 1
            return "451 try again later"
        self.mails.append(message_from_bytes(envelope.content, policy=default))
        return "250 taken"


async def asha_in_hindi(house: House) -> tuple[Cast, Client]:
    cast = await Cast.sign_in(house, PASSWORD)
    assert (await cast.asha.patch("/me", language="hi")).status == 200
    return cast, cast.asha


async def test_a_mail_server_gets_the_mail_and_the_part_that_calendars_act_on(
    settings: Settings, owner_url: str
) -> None:
    post = Post()
    async with posting(settings, post) as mailing, open_house_of(mailing, owner_url) as house:
        cast, asha = await asha_in_hindi(house)
        booked = await cast.confirmed(asha, cast.dr_rao)
        await house.until("select 1 from notifications where state = 'sent' and cause like 'confirmed:%'")
        await house.until(ALL_DONE)
    [mail] = post.mails
    assert "परामर्श" in mail["Subject"]
    assert mail["To"] == "patient1@example.org"
    assert mail["Auto-Submitted"] == "auto-generated"
    text = mail.get_body(("plain",))
    assert text is not None
    assert "(IST)" in text.get_content()
    [part] = [part for part in mail.walk() if part.get_content_type() == "text/calendar"]
    assert part.get_param("method") == "REQUEST"
    assert part.get_filename() == "consultation.ics"
    [event] = typed("Any", Calendar.from_ical(typed("bytes", part.get_payload(decode=True)))).walk("VEVENT")
    assert event["DTSTART"].dt == start_of(booked)
    assert str(event["SUMMARY"]).startswith("वीडियो परामर्श")


async def test_a_mail_server_that_refuses_is_asked_again_and_gets_it_once(settings: Settings, owner_url: str) -> None:
    post = Post(refuse=1)
    async with posting(settings, post) as mailing, open_house_of(mailing, owner_url) as house:
        cast, asha = await asha_in_hindi(house)
        await cast.confirmed(asha, cast.dr_rao)
        waiting = (
            "select n.error from dispatches d join notifications n using (id) where d.tries = 1 and n.state = 'queued'"
        )
        [row] = await house.until(waiting)
        assert "451" in row["error"]
        assert post.mails == []
        await house.sql("update dispatches set due_at = now() where tries = 1")
        await house.until("select 1 from notifications where state = 'sent' and cause like 'confirmed:%'")
        await house.until(ALL_DONE)
    assert (post.refused, len(post.mails)) == (1, 1)
    assert post.mails[0]["Message-ID"]
