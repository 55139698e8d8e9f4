"""For each room: a snapshot, and then every event since, equals a fresh snapshot, whatever people have done."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from realtime.delivery.client import LiveClient, Watched
from tests.conftest import PASSWORD, Services
from tests.house import Cast, Client, House, open_house_of

PATIENTS_ACTS = ("check-in", "leave", "cancel", "readiness", "messages", "reschedule")
DOCTORS_ACTS = (
    "call", "skip", "put-back", "start", "complete", "no-show", "reopen", "cancel", "messages", "notice", "no notice",
)  # fmt: skip
ACTS = st.one_of(
    st.tuples(st.just("book"), st.integers(0, 1)),
    st.tuples(st.sampled_from([f"patient {act}" for act in PATIENTS_ACTS]), st.integers(0, 3)),
    st.tuples(st.sampled_from([f"doctor {act}" for act in DOCTORS_ACTS]), st.integers(0, 3)),
)
BODIES: Mapping[str, dict[str, object]] = {
    "messages": {"text": "नमस्ते"},
    "readiness": {"camera": "ok", "microphone": "ok", "speaker": "none", "network": "limited"},
    "notice": {"minutes": 15},
}


def slots_of(snapshot: Mapping[str, Any], events: list[dict[str, Any]]) -> object:
    """A doctor's slots by id, but for those that begin too soon to be told of twice."""
    soon = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()  # noqa: TID251 - a test's own clock
    slots = {slot["id"]: slot for slot in snapshot["slots"]}
    for event in events:
        if event["type"] == "slot.changed":
            slots[event["data"]["slot"]["id"]] = event["data"]["slot"]
    return {id_: slot for id_, slot in slots.items() if slot["start_time"] > soon}


def queue_of(snapshot: Mapping[str, Any], events: list[dict[str, Any]]) -> object:
    """A queue's entries by consultation, and what is told to all who wait."""
    entries = {entry["consultation_id"]: entry for entry in snapshot["entries"]}
    notice = snapshot["notice"]
    for event in events:
        if event["type"] == "queue.changed":
            entry = event["data"]["entry"]
            entries.pop(entry["consultation_id"], None)
            if entry["listed"]:
                entries[entry["consultation_id"]] = entry
        elif event["type"] == "queue.notice":
            notice = event["data"]["notice"]
    # Whose turn it is follows from the others; each watcher counts for itself.
    return notice, {id_: {**entry, "position": None} for id_, entry in entries.items()}


def consultation_of(snapshot: Mapping[str, Any], events: list[dict[str, Any]]) -> object:
    """A consultation and its chat."""
    consultation, messages = snapshot["consultation"], list(snapshot["messages"])
    for event in events:
        if event["type"] == "consultation.changed":
            consultation = event["data"]["consultation"]
        elif event["type"] == "chat.message":
            messages.append(event["data"]["message"])
    return consultation, messages


def notices_of(snapshot: Mapping[str, Any], events: list[dict[str, Any]]) -> object:
    """What stands in a person's own room."""
    return snapshot["notices"] + [event["data"] for event in events if event["type"] == "notice"]


SHOWN = {"slots": slots_of, "queue": queue_of, "consultation": consultation_of, "user": notices_of}


def shown(watched: Watched) -> object:
    """What a watcher of a room has on its page."""
    return SHOWN[watched.room.partition(":")[0]](watched.snapshot, watched.events)


@dataclass
class Play:
    """One doctor, two patients, and their pages."""

    cast: Cast
    pages: dict[str, LiveClient] = field(default_factory=dict[str, LiveClient])
    booked: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])

    @property
    def patients(self) -> tuple[Client, Client]:
        return self.cast.asha, self.cast.vik

    async def act(self, what: str, number: int) -> None:
        """Do it, if it is allowed."""
        cast = self.cast
        if what == "book":
            [slot] = await cast.slots_of(cast.dr_rao)
            answer = await self.patients[number].post("/consultations", slot_id=slot["id"])
            if answer.status == 201:
                self.booked.append((number, answer.json["id"]))
                await self.pages[f"patient{number}"].watch(f"consultation:{answer.json['id']}")
            return
        who, _, verb = what.partition(" ")
        if verb in ("notice", "no notice"):
            method = "PUT" if verb == "notice" else "DELETE"
            answer = await cast.dr_rao.call(method, "/queue/notice", BODIES["notice"] if verb == "notice" else None)
        elif self.booked:
            patient, id_ = self.booked[number % len(self.booked)]
            client = self.patients[patient] if who == "patient" else cast.dr_rao
            body = dict(BODIES.get(verb, {}))
            if verb == "messages":
                body["client_id"] = f"{len(self.booked)}-{number}-{who}"
            if verb == "reschedule":
                body["slot_id"] = (await cast.slots_of(cast.dr_rao))[0]["id"]
            key = {"Idempotency-Key": uuid4().hex}
            method = "PUT" if verb == "readiness" else "POST"
            answer = await client.call(method, f"/consultations/{id_}/{verb}", body, headers=key)
        else:
            return
        assert answer.status < 500, answer.text
        assert answer.status not in (404, 405) or who == "doctor", (what, answer.text)


@contextlib.asynccontextmanager
async def page(client: Client) -> AsyncGenerator[LiveClient]:
    """An open page of somebody."""
    async with LiveClient(client.base, token=client.token, headers={"X-Forwarded-For": client.address}) as live:
        yield live


async def perform(house: House, cast: Cast, acts: list[tuple[str, int]]) -> None:
    """Play, and compare every page with one that is opened afterwards."""
    people = {"doctor": cast.dr_rao, "patient0": cast.asha, "patient1": cast.vik}
    async with contextlib.AsyncExitStack() as stack:
        pages = {name: await stack.enter_async_context(page(who)) for name, who in people.items()}
        doctor_id = cast.dr_rao.me["doctor_id"]
        await pages["doctor"].watch(f"queue:{doctor_id}")
        for name, who in people.items():
            await pages[name].watch(f"slots:{doctor_id}")
            await pages[name].watch(f"user:{who.me['id']}")
        play = Play(cast, pages)
        for what, number in acts:
            await play.act(what, number)
        for name, live in pages.items():
            async with page(people[name]) as later:
                for watched in list(live.rooms.values()):
                    fresh = await later.watch(watched.room)
                    await live.until(lambda old=watched, new=fresh: (old.offset or 0) >= (new.offset or 0), seconds=5)
                    await later.until(lambda old=watched, new=fresh: (new.offset or 0) >= (old.offset or 0), seconds=5)
                    assert live.resyncs == []
                    assert shown(watched) == shown(fresh), watched.room
        for _, id_ in play.booked:  # the day's queue is left as it was found
            await cast.dr_rao.post(f"/consultations/{id_}/cancel")


def test_a_snapshot_and_every_event_since_equal_a_fresh_snapshot(services: Services) -> None:
    with asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()

        async def open_house() -> tuple[House, Cast]:
            await services.forget()
            of_house = services.settings_of(await services.new_database(), limit_factor=100)
            name = urlsplit(of_house.database_url.get_secret_value()).path.lstrip("/")
            house = await stack.enter_async_context(open_house_of(of_house, services.pg.url(services.owner, name)))
            return house, await Cast.sign_in(house, PASSWORD)

        house, cast = runner.run(open_house())

        @settings(
            max_examples=8, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        )  # fmt: skip
        @given(st.lists(ACTS, min_size=6, max_size=16))
        def plays(acts: list[tuple[str, int]]) -> None:
            runner.run(perform(house, cast, [("book", 0), ("book", 1), *acts]))

        try:
            plays()
        finally:
            runner.run(stack.aclose())
