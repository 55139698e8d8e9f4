"""The rules around a booking: what cancelling costs, moving, limits, walking in, follow-ups, no-shows."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from server.booking import BookSlot, CancelBooking, book_slot, cancel_booking
from server.booking.terms import steps
from server.consultations import Consultation
from server.core.clock import utc_now
from server.core.ids import PatientId, SlotId
from server.core.settings import Settings
from server.core.tx import Actor, Role, Tx
from server.scheduling import Span, first_gap
from tests.conftest import PASSWORD, Services
from tests.house import Cast, Client, House, open_house_of

STRICT = {"cancel_full_hours": 24, "cancel_partial_hours": 2, "cancel_partial_percent": 50}


@pytest.fixture
async def strict(services: Services) -> AsyncIterator[Cast]:
    """A house where cancelling late costs something."""
    await services.forget()
    settings = services.settings_of(await services.new_database(), **STRICT)
    owner_url = services.pg.url(services.owner, urlsplit(settings.database_url.get_secret_value()).path.lstrip("/"))
    async with open_house_of(settings, owner_url) as house:
        yield await Cast.sign_in(house, PASSWORD)


async def begins_in(cast: Cast, booked: dict[str, Any], hours: float) -> None:
    """Let a consultation and its slot begin in so many hours."""
    sql = "update {} set start_time = now() + $2 * interval '1 hour', end_time = now() + ($2 + 0.2) * interval '1 hour'"
    # The slot goes where its doctor has nothing.
    await cast.house.sql("delete from availability_slots where status = 'AVAILABLE'")
    await cast.house.sql(sql.format("availability_slots") + " where consultation_id = $1", booked["id"], hours)
    await cast.house.sql(sql.format("consultations") + " where id = $1", booked["id"], hours)


async def refunded(cast: Cast, booked: dict[str, Any]) -> int:
    """What the ledger gave back, once all steps are through."""
    await cast.house.until(
        "select 1 where not exists (select 1 from outbox where relayed_at is null)"
        " and not exists (select 1 from deliveries where done_at is null)"
    )
    back = await cast.house.value(
        "select coalesce(sum(amount_minor), 0) from payment_entries where payment_id = $1 and kind = 'refunded'",
        booked["payment"]["id"],
    )
    return int(back)


@pytest.mark.parametrize(("hours", "rule", "percent"), [(30, "full", 100), (5, "partial", 50), (1, "none", 0)])
async def test_what_comes_back_is_said_before_and_kept_to(strict: Cast, hours: float, rule: str, percent: int) -> None:
    booked = await strict.confirmed(strict.asha, strict.dr_sen)
    await begins_in(strict, booked, hours)
    fee = booked["payment"]["amount"]
    said = (await strict.asha.get(f"/consultations/{booked['id']}/cancellation")).json
    assert (said["rule"], said["refund_minor"]) == (rule, -(-fee * percent // 100))
    assert said["currency"] == booked["payment"]["currency"]
    if rule == "none":
        assert said["until"] is None
    else:
        ends = datetime.fromisoformat(said["until"])
        assert abs(ends - utc_now() - timedelta(hours=hours - (24 if rule == "full" else 2))) < timedelta(minutes=1)
    doctors = (await strict.dr_sen.get(f"/consultations/{booked['id']}/cancellation")).json
    assert (doctors["rule"], doctors["refund_minor"]) == ("full", fee)
    answers = await asyncio.gather(*(strict.asha.post(f"/consultations/{booked['id']}/cancel") for _ in range(2)))
    assert Counter(answer.status for answer in answers) == {200: 1, 409: 1}
    assert await refunded(strict, booked) == said["refund_minor"]


async def test_a_doctors_cancellation_gives_all_back_however_late(strict: Cast) -> None:
    booked = await strict.confirmed(strict.asha, strict.dr_sen)
    await begins_in(strict, booked, 0.5)
    assert (await strict.dr_sen.post(f"/consultations/{booked['id']}/cancel")).status == 200
    assert await refunded(strict, booked) == booked["payment"]["amount"]


async def test_who_waits_for_a_late_doctor_gets_all_back(strict: Cast) -> None:
    booked = await strict.confirmed(strict.asha, strict.dr_sen)
    assert (await strict.asha.post(f"/consultations/{booked['id']}/check-in", key=None)).status == 200
    await begins_in(strict, booked, -0.1)
    said = (await strict.asha.get(f"/consultations/{booked['id']}/cancellation")).json
    assert (said["rule"], said["refund_minor"]) == ("full", booked["payment"]["amount"])


async def test_nobody_moves_out_of_the_terms_to_cancel_for_all(strict: Cast) -> None:
    booked = await strict.confirmed(strict.asha, strict.dr_sen)
    late = await strict.slots_of(strict.dr_sen, 1, from_hours=60)
    hours = -1 + (datetime.fromisoformat(booked["start_time"]) - utc_now()) / timedelta(hours=1)
    assert hours < 24
    moved = await strict.asha.post(f"/consultations/{booked['id']}/reschedule", slot_id=late[0]["id"])
    assert moved.status == 200, moved.text
    said = (await strict.asha.get(f"/consultations/{booked['id']}/cancellation")).json
    assert said["rule"] in ("partial", "none")
    assert said["refund_minor"] < booked["payment"]["amount"]


async def test_nothing_paid_is_nothing_lost(cast: Cast) -> None:
    for doctor in (cast.dr_rao, cast.dr_sen):
        booked = await cast.booked(cast.asha, doctor)
        said = (await cast.asha.get(f"/consultations/{booked['id']}/cancellation")).json
        assert (said["rule"], said["refund_minor"]) == ("nothing-paid", 0)
        assert (await cast.asha.post(f"/consultations/{booked['id']}/cancel")).status == 200


def test_the_steps_of_the_terms() -> None:
    settings = Settings(**STRICT)  # pyright: ignore[reportArgumentType]
    now = utc_now()
    hour = timedelta(hours=1)

    def at(ahead: float, most: int = 100) -> tuple[int, float | None]:
        percent, until = steps(now, now + ahead * hour, most, settings)
        return percent, (until - now) / hour if until else None

    assert at(24) == (100, 0)
    assert at(23.9) == (50, pytest.approx(21.9))
    assert at(2) == (50, 0)
    assert at(1.9) == (0, None)
    assert at(48, most=50) == (50, 46)
    assert at(48, most=0) == (0, None)
    demo = Settings(demo=True)
    assert steps(now, now + hour, 100, demo) == (100, now + hour)
    assert steps(now, now - hour, 100, demo) == (0, None)


async def test_a_move_is_one_event_pair_and_keeps_the_payment(cast: Cast) -> None:
    booked = await cast.confirmed(cast.asha, cast.dr_sen)
    [other] = await cast.slots_of(cast.dr_sen, from_hours=5)
    before = await cast.house.value("select count(*) from outbox")
    moved = await cast.asha.post(f"/consultations/{booked['id']}/reschedule", slot_id=other["id"])
    assert moved.status == 200
    assert moved.json["payment"] == booked["payment"]
    rows = await cast.house.sql("select name from outbox order by id offset $1", before)
    told = Counter(row["name"] for row in rows)
    assert (told["slot.changed"], told["consultation.moved"], told["consultation.changed"]) == (2, 1, 1)


async def test_moving_is_refused_with_a_reason_of_its_own(cast: Cast) -> None:
    booked = await cast.confirmed(cast.asha, cast.dr_rao)
    [mine, others] = await cast.slots_of(cast.dr_rao, 2, from_hours=4)
    [sens] = await cast.slots_of(cast.dr_sen, from_hours=6)
    assert (await cast.vik.post("/consultations", slot_id=others["id"])).status == 201
    path = f"/consultations/{booked['id']}/reschedule"

    async def code(slot_id: str) -> tuple[int, str]:
        answer = await cast.asha.post(path, slot_id=slot_id)
        return answer.status, answer.code

    assert await code(sens["id"]) == (409, "other-doctor")
    assert await code(others["id"]) == (409, "slot-taken")
    assert await code("00000000-0000-7000-8000-000000000000") == (404, "not-found")
    await cast.house.sql(
        "update availability_slots set start_time = now() - interval '3 years', end_time = now() - interval '3 years'"
        " + interval '10 minutes' where id = $1",
        mine["id"],
    )
    assert await code(mine["id"]) == (409, "slot-passed")
    assert (await cast.asha.post(f"/consultations/{booked['id']}/cancel")).status == 200
    assert (await code(mine["id"]))[1] == "not-to-be-moved"
    assert (await cast.asha.post(f"/consultations/{booked['id']}/cancel")).status == 409


async def test_parallel_bookings_do_not_pass_the_daily_limit(cast: Cast) -> None:
    settings = cast.house.settings.model_copy(update={"daily_limit": 2})
    database = cast.house.server.database
    [row] = await cast.house.sql("select id, n, user_id from patients where id = $1", cast.asha.me["patient_id"])
    patient_id = PatientId(row["id"])
    actor = Actor(role=Role.PATIENT, user_id=row["user_id"], patient_id=patient_id, patient_n=row["n"])

    async def once(tx: Tx, slot_id: str) -> Consultation:
        ask = BookSlot(slot_id=SlotId(UUID(slot_id)))
        return await book_slot(tx, ask, cipher=database.cipher, settings=settings)

    slots = await cast.slots_of(cast.dr_rao, 8)
    done = await asyncio.gather(
        *(database.write(lambda tx, id_=slot["id"]: once(tx, id_), actor=actor, at_once=True) for slot in slots),
        return_exceptions=True,
    )
    assert Counter(type(one).__name__ for one in done) == {"Consultation": 2, "DailyLimit": 6}


async def walk_ins(doctor: Client) -> str:
    """The doctor sees people who come without an appointment, where it is morning now: the day has room."""
    doctor_id = str(doctor.me["doctor_id"])
    ahead = (6 - utc_now().hour + 12) % 24 - 12
    day = {"from": "00:00", "to": "24:00"}
    answer = await doctor.put(
        f"/doctors/{doctor_id}/hours",
        time_zone=f"Etc/GMT{-ahead:+d}",  # the other way round, as POSIX has it
        slot_minutes=15,
        buffer_minutes=0,
        weekly=[{"weekday": weekday, **day} for weekday in range(1, 8)],
    )
    assert answer.status == 200, answer.text
    answer = await doctor.patch(f"/doctors/{doctor_id}", walk_ins=True)
    assert answer.status == 200, answer.text
    assert answer.json["walk_ins"] is True
    return doctor_id


async def test_who_walks_in_sits_in_the_waiting_room(cast: Cast) -> None:
    doctor_id = str(cast.dr_rao.me["doctor_id"])
    closed = await cast.asha.post(f"/doctors/{doctor_id}/walk-in")
    assert (closed.status, closed.code) == (409, "no-walk-ins")
    await walk_ins(cast.dr_rao)
    came = await cast.asha.post(f"/doctors/{doctor_id}/walk-in", reason="A rash")
    assert came.status == 201, came.text
    assert came.json["confirmed_at"] is not None
    assert came.json["checked_in_at"] is not None
    begins = datetime.fromisoformat(came.json["start_time"])
    assert timedelta() < begins - utc_now() < timedelta(hours=2)
    again = await cast.asha.post(f"/doctors/{doctor_id}/walk-in")
    assert (again.status, again.json["id"]) == (200, came.json["id"])
    second = await cast.vik.post(f"/doctors/{doctor_id}/walk-in")
    assert second.status == 201, second.text
    assert second.json["start_time"] > came.json["start_time"]
    place = (await cast.vik.get(f"/consultations/{second.json['id']}/waiting")).json
    assert place["position"] == 2
    called = await cast.dr_rao.post(f"/consultations/{came.json['id']}/call", key=None)
    assert called.status == 200, called.text
    assert "rash" not in str(await cast.house.sql("select * from audit_logs"))


async def test_a_paid_walk_in_is_checked_in_by_its_payment(cast: Cast) -> None:
    doctor_id = await walk_ins(cast.dr_sen)
    came = await cast.asha.post(f"/doctors/{doctor_id}/walk-in")
    assert came.status == 201, came.text
    assert (came.json["confirmed_at"], came.json["checked_in_at"]) == (None, None)
    await cast.pay(came.json)
    await cast.house.until("select 1 from consultations where id = $1 and checked_in_at is not null", came.json["id"])


async def test_of_many_who_walk_in_at_once_each_has_a_time_of_their_own(cast: Cast) -> None:
    doctor_id = await walk_ins(cast.dr_rao)
    people = await cast.house.crowd(12)
    answers = await asyncio.gather(*(person.post(f"/doctors/{doctor_id}/walk-in") for person in people))
    came = [answer.json for answer in answers if answer.status == 201]
    # How many times are left depends on the hour.
    assert came
    assert {answer.code for answer in answers if answer.status != 201} <= {"doctor-busy"}
    assert len({held["slot_id"] for held in came}) == len(came)
    waiting = "select count(*) from consultations where checked_in_at is not null"
    assert await cast.house.value(waiting) == len(came)


async def test_a_day_without_room_takes_nobody_in(cast: Cast) -> None:
    doctor_id = await walk_ins(cast.dr_rao)
    now = utc_now()
    away = {"from": now.isoformat(), "to": (now + timedelta(days=2)).isoformat()}
    assert (await cast.dr_rao.call("POST", f"/doctors/{doctor_id}/leave", away)).status == 201
    came = await cast.asha.post(f"/doctors/{doctor_id}/walk-in")
    assert (came.status, came.code) == (409, "doctor-busy")


def test_the_first_gap_that_is_long_enough() -> None:
    def at(minute: int) -> datetime:
        return datetime(2027, 3, 1, 9, tzinfo=UTC) + timedelta(minutes=minute)

    quarter = timedelta(minutes=15)
    hours = [Span(at(0), at(60)), Span(at(120), at(180))]
    taken = [Span(at(10), at(25)), Span(at(35), at(50))]
    assert first_gap(hours, taken, at(0), quarter) == Span(at(120), at(135))
    assert first_gap(hours, taken, at(0), timedelta(minutes=10)) == Span(at(0), at(10))
    assert first_gap(hours, [], at(7), quarter) == Span(at(7), at(22))
    assert first_gap(hours, [Span(at(120), at(170))], at(50), quarter) is None


async def met(cast: Cast, doctor: Client) -> dict[str, Any]:
    """A consultation of Asha's that is over."""
    booked = await cast.confirmed(cast.asha, doctor)
    assert (await cast.asha.post(f"/consultations/{booked['id']}/check-in", key=None)).status == 200
    for act in ("call", "start", "complete"):
        assert (await doctor.post(f"/consultations/{booked['id']}/{act}", key=None)).status == 200
    return booked


async def test_a_doctor_books_the_next_time_in_a_slot_of_their_own(cast: Cast) -> None:
    before = await met(cast, cast.dr_sen)
    [slot] = await cast.slots_of(cast.dr_sen, from_hours=30)
    path = f"/consultations/{before['id']}/follow-up"
    assert (await cast.asha.post(path, slot_id=slot["id"])).status == 403
    assert (await cast.dr_rao.post(path, slot_id=slot["id"])).status == 404
    for wrong in ({}, {"slot_id": slot["id"], "start_time": slot["start_time"]}):
        assert (await cast.dr_sen.post(path, **wrong)).json["errors"][0]["code"] == "one-of"
    booked = await cast.dr_sen.post(path, slot_id=slot["id"])
    assert booked.status == 201, booked.text
    assert (booked.json["patient_id"], booked.json["confirmed_at"]) == (before["patient_id"], None)
    kept = datetime.fromisoformat(booked.json["payment"]["expires_at"]) - utc_now()
    assert timedelta(hours=23) < kept <= timedelta(hours=24)
    await cast.house.until("select 1 from notifications where cause = $1", f"follow-up:{booked.json['id']}:mail")
    await cast.pay(booked.json)
    await cast.house.until("select 1 from consultations where id = $1 and confirmed_at is not null", booked.json["id"])
    assert (await cast.vik.post("/consultations", slot_id=slot["id"])).code == "slot-taken"


async def test_a_follow_up_free_of_charge_at_a_time_of_the_doctors_choice(cast: Cast) -> None:
    before = await met(cast, cast.dr_sen)
    night = datetime.now(ZoneInfo("Asia/Kolkata")).replace(hour=4, minute=7, second=0, microsecond=0)  # noqa: TID251
    start = (night + timedelta(days=3)).isoformat()
    path = f"/consultations/{before['id']}/follow-up"
    booked = await cast.dr_sen.post(path, start_time=start, free_of_charge=True)
    assert booked.status == 201, booked.text
    assert booked.json["confirmed_at"] is not None
    assert booked.json["payment"]["amount"] == 0
    assert datetime.fromisoformat(booked.json["start_time"]) == datetime.fromisoformat(start)
    again = await cast.dr_sen.post(path, start_time=start, free_of_charge=True)
    assert (again.status, again.code) == (409, "doctor-busy")
    past = await cast.dr_sen.post(path, start_time=(night - timedelta(days=3)).isoformat())
    assert past.json["errors"][0]["field"] == "start_time"
    row = await cast.house.sql("select follow_up_of from consultations where id = $1", booked.json["id"])
    assert str(row[0]["follow_up_of"]) == before["id"]


async def test_nothing_follows_from_what_has_not_begun(cast: Cast) -> None:
    booked = await cast.confirmed(cast.asha, cast.dr_rao)
    [slot] = await cast.slots_of(cast.dr_rao, from_hours=30)
    answer = await cast.dr_rao.post(f"/consultations/{booked['id']}/follow-up", slot_id=slot["id"])
    assert (answer.status, answer.code) == (409, "wrong-status")


async def test_a_no_show_keeps_the_money_and_can_be_opened_again(strict: Cast) -> None:
    booked = await strict.confirmed(strict.asha, strict.dr_sen)
    path = f"/consultations/{booked['id']}"
    early = await strict.dr_sen.post(f"{path}/no-show", key=None)
    assert (early.status, early.code) == (409, "too-early")
    await begins_in(strict, booked, -0.1)
    gone = await strict.dr_sen.post(f"{path}/no-show", key=None)
    assert (gone.status, gone.json["ended_as"]) == (200, "no_show")
    assert await refunded(strict, booked) == 0
    back = await strict.dr_sen.post(f"{path}/reopen", key=None)
    assert (back.status, back.json["status"]) == (200, "PENDING")
    assert (await strict.asha.post(f"{path}/check-in", key=None)).status == 200
    still = await strict.dr_sen.post(f"{path}/no-show", key=None)
    assert (still.status, still.code) == (409, "checked-in")


async def test_the_house_itself_cancels_with_all_back(house: House) -> None:
    cast = await Cast.sign_in(house, PASSWORD)
    booked = await cast.confirmed(cast.asha, cast.dr_sen)
    database = house.server.database

    async def cancel(tx: Tx) -> None:
        ask = CancelBooking.model_validate({"id": booked["id"]}, strict=False)
        await cancel_booking(tx, ask, cipher=database.cipher, settings=house.settings)

    await database.write(cancel)
    assert await refunded(cast, booked) == booked["payment"]["amount"]
