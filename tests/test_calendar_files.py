"""Calendar files: what calendars honour (RFC 5545, RFC 5546), the page's equal to the mail's, and nothing told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from typing import cast as typed
from uuid import uuid4

import pytest
from icalendar import Calendar

import server.notifications
from server.accounts import ChangeMe, change_me
from server.booking import (
    BookSlot,
    CancelBooking,
    Reschedule,
    Transfer,
    book_slot,
    cancel_booking,
    reschedule,
    transfer,
)
from server.core.ids import ConsultationId, DoctorId, UserId
from server.core.models import Nothing
from server.core.tx import Actor, Role
from server.notifications import Meeting, calendar_file, calendar_of, inbox
from tests.clinic import World
from tests.conftest import Services
from tests.house import Cast
from tests.test_field import as_page
from tests.test_letters import ALL_DONE, event_of, letter

LETTERS = Path(server.notifications.__file__).parent / "letters"
START = datetime(2027, 3, 28, 4, 30, tzinfo=UTC)


def file_of(
    *, attendee: str = "asha@example.org", link: str = "https://example.org/c/1", language: str = "hi"
) -> bytes:
    """A file of a consultation that might be anybody's."""
    meeting = Meeting(
        consultation_id=ConsultationId(uuid4()),
        patient_user_id=UserId(uuid4()),
        doctor_id=DoctorId(uuid4()),
        doctor_name="Dr. Canary Rao",
        doctor_user_id=UserId(uuid4()),
        start_time=START,
        end_time=START + timedelta(minutes=20),
        sequence=3,
        link=link,
        ended_as=None,
        amount_minor=50000,
        refund_minor=0,
        currency="INR",
        expires_at=None,
        payment_status="captured",
    )
    organizer = "Amrutam <appointments@example.org>"
    return calendar_file(
        meeting, method="request", organizer=organizer, attendee=attendee, language=language, now=START
    )


def unfolded(file: bytes) -> list[str]:
    """The lines as they were before they were folded; each folded one is at most 75 octets of whole letters."""
    lines: list[str] = []
    assert file.endswith(b"\r\n")
    for line in file.removesuffix(b"\r\n").split(b"\r\n"):
        assert len(line) <= 75, line
        assert b"\n" not in line
        assert b"\r" not in line
        text = line.decode()  # raises where a letter is cut in two
        if text.startswith(" "):
            lines[-1] += text[1:]
        else:
            lines.append(text)
    return lines


@pytest.mark.parametrize("long", ["आशा", "क्षत्रिय", "a", "🩺", "é"])
def test_lines_are_folded_by_octets_and_never_within_a_letter(long: str) -> None:
    """At every length around the edge, where one octet more or less decides."""
    for count in [*range(1, 40), 80]:
        name = (long * count)[: count * 2]
        for attendee in (f"{name}@example.org", f"x{name}@example.org", f"xy{name}@example.org"):
            lines = unfolded(file_of(attendee=attendee))
            assert f"ATTENDEE:mailto:{attendee}" in lines
            assert "SUMMARY:वीडियो परामर्श" in lines
        link = f"https://example.org/{name}"
        lines = unfolded(file_of(link=link))
        assert f"URL:{link}" in lines
        assert f"LOCATION:{link}" in lines


@pytest.mark.parametrize("language", ["en", "hi"])
def test_a_file_tells_the_time_and_where_and_nothing_else(language: str) -> None:
    file = file_of(language=language)
    told = (
        "PRODID VERSION METHOD UID DTSTAMP SEQUENCE DTSTART DTEND SUMMARY URL LOCATION STATUS CLASS ORGANIZER ATTENDEE"
    )
    names = {line.partition(":")[0].partition(";")[0] for line in unfolded(file)}
    assert names == {"BEGIN", "END", *told.split()}
    assert b"Canary" not in file
    assert b"CLASS:PRIVATE" in file


def head_of(template: Path) -> str:
    """The lines that lock screens, lists of mails and telephones show."""
    return template.read_text().partition("\n\n")[0]


@pytest.mark.parametrize(
    "template", sorted(LETTERS.glob("*/*.txt")), ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_what_a_lock_screen_shows_names_neither_a_doctor_nor_what_it_is_about(template: Path) -> None:
    """Doctors are known for what they treat. A meeting has no specialty and no reason that a letter could name."""
    head = head_of(template)
    assert "name" not in head  # neither the doctor's nor the reader's
    assert {"specialty", "reason"}.isdisjoint(Meeting.model_fields)
    other = "hi" if template.parent.name == "en" else "en"
    twin = head_of(LETTERS / other / template.name)
    assert ("\nShort: " in head) == ("\nShort: " in twin)


async def test_the_pages_file_is_the_mails(cast: Cast) -> None:
    """R5: confirmed, moved and cancelled; to the byte, in the reader's language of then."""
    house, asha = cast.house, cast.asha
    assert (await asha.patch("/me", language="hi")).status == 200
    first, second = await cast.slots_of(cast.dr_rao, 2)
    booked = (await asha.post("/consultations", slot_id=first["id"])).json

    async def the_same(cause: str) -> Any:
        mail = await letter(house, cause)
        await house.until(ALL_DONE)
        answer = await asha.call("GET", f"//consultations/{booked['id']}/calendar.ics", headers=as_page(asha))
        assert answer.status == 200, answer.text
        assert answer.headers["Content-Type"].startswith("text/calendar")
        assert answer.raw == mail.attachments[0].content
        return event_of(mail)

    method, event = await the_same("confirmed:%:mail")
    assert (method, str(event["SUMMARY"])) == ("REQUEST", "वीडियो परामर्श")
    assert (await asha.patch("/me", language="en")).status == 200
    assert (await the_same("confirmed:%:mail"))[1]["SUMMARY"] == event["SUMMARY"]
    assert (await asha.post(f"/consultations/{booked['id']}/reschedule", slot_id=second["id"])).status == 200
    assert (await the_same("moved:%:mail"))[0] == "REQUEST"
    assert (await asha.post(f"/consultations/{booked['id']}/cancel")).status == 200
    assert (await the_same("cancelled:%:mail"))[0] == "CANCEL"
    for other in (cast.vik, cast.dr_rao, house.stranger()):
        path = f"//consultations/{booked['id']}/calendar.ics"
        refused = await other.call("GET", path, headers=as_page(other) if other.token else {})
        assert refused.status in (303, 401, 403, 404), refused.text


@pytest.fixture
async def world(services: Services) -> AsyncIterator[World]:
    """A clinic whose clock goes where it is told."""
    async with World.opened(services) as opened:
        yield opened


async def files(world: World) -> list[tuple[str, Any]]:
    """Method and event of each mail's file, by their numbers."""
    opened = await world.database.read(lambda tx: inbox(tx, Nothing(), cipher=world.database.cipher))
    found = [event_of(letter.content) for letter in opened if letter.content.attachments]
    return sorted(found, key=lambda pair: pair[1]["SEQUENCE"])


async def test_uid_stays_and_sequence_and_stamp_never_go_back_though_the_clock_does(world: World) -> None:
    """Booked, moved twice, handed on and cancelled, by machines whose clocks differ."""
    asha, cipher, settings = world.patients[0], world.database.cipher, world.settings
    with_both = {"cipher": cipher, "settings": settings}
    booking = partial(book_slot, ask=BookSlot(slot_id=world.slots[0]), **with_both)
    held = await world.act(asha, booking, at_once=True)
    assert held is not None
    other = world.doctors[1].doctor_id
    assert other is not None
    acts: list[tuple[Actor, Any]] = [
        (asha, partial(reschedule, ask=Reschedule(id=held.id, slot_id=world.slots[1]), **with_both)),
        (asha, partial(reschedule, ask=Reschedule(id=held.id, slot_id=world.slots[2]), **with_both)),
        (Actor(Role.ADMIN), partial(transfer, ask=Transfer(id=held.id, doctor_id=other), **with_both)),
        (asha, partial(cancel_booking, ask=CancelBooking(id=held.id), **with_both)),
    ]
    await world.work()
    for seconds, (actor, act) in zip((-40, 0.3, -3, 1), acts, strict=True):
        world.now += timedelta(seconds=seconds)
        assert await world.act(actor, act) is not None
        await world.work()
    found = await files(world)
    assert [method for method, _ in found] == ["REQUEST"] * 4 + ["CANCEL"]
    assert [event["SEQUENCE"] for _, event in found] == [0, 1, 2, 3, 4]
    assert {str(event["UID"]) for _, event in found} == {f"{held.id}@amrutam"}
    assert {str(event["ORGANIZER"]) for _, event in found} == {str(found[0][1]["ORGANIZER"])}
    stamps = [event["DTSTAMP"].dt for _, event in found]
    assert stamps == sorted(stamps)
    assert found[-1][1]["DTSTART"].dt == found[-2][1]["DTSTART"].dt
    text = await world.database.read(partial(calendar_of, consultation_id=held.id, **with_both))
    [now] = typed("Any", Calendar.from_ical(text)).walk("VEVENT")
    assert (now["SEQUENCE"], now["DTSTAMP"].dt) == (4, stamps[-1])


async def test_what_is_cancelled_before_its_confirmation_is_written_is_not_confirmed_after(world: World) -> None:
    """Booked, moved and cancelled while no worker worked: one letter, and no file that puts it into a calendar."""
    asha = world.patients[0]
    with_both = {"cipher": world.database.cipher, "settings": world.settings}
    held = await world.act(asha, partial(book_slot, ask=BookSlot(slot_id=world.slots[0]), **with_both), at_once=True)
    assert held is not None
    moving = partial(reschedule, ask=Reschedule(id=held.id, slot_id=world.slots[1]), **with_both)
    assert await world.act(asha, moving) is not None
    assert await world.act(asha, partial(cancel_booking, ask=CancelBooking(id=held.id), **with_both)) is not None
    await world.work()
    assert [(method, event["SEQUENCE"]) for method, event in await files(world)] == [("CANCEL", 2)]


async def test_who_takes_no_mail_of_bookings_finds_the_file_on_the_page(world: World) -> None:
    asha = world.patients[0]
    with_both = {"cipher": world.database.cipher, "settings": world.settings}
    wish = ChangeMe.model_validate({"phone": "+919876543210", "channels": {"booking": {"mail": False}}})
    assert await world.act(asha, partial(change_me, ask=wish, cipher=world.database.cipher)) is not None
    held = await world.act(asha, partial(book_slot, ask=BookSlot(slot_id=world.slots[0]), **with_both), at_once=True)
    assert held is not None
    await world.work()
    assert await files(world) == []
    text = await world.database.read(partial(calendar_of, consultation_id=held.id, **with_both))
    [event] = typed("Any", Calendar.from_ical(text)).walk("VEVENT")
    assert (event["SEQUENCE"], event["DTSTART"].dt) == (0, held.start_time)
