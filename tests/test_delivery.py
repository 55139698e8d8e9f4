"""Delivery: every event of a room once and in order, whatever happens to Redis, servers, clients and sessions."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
import secrets
from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest
from aiohttp import WSMsgType, web
from socketio.exceptions import ConnectionError as Refusal

from realtime import Realtime
from realtime.delivery.client import LiveClient, Refused
from realtime.delivery.connections import Socket
from realtime.delivery.limits import Bounds
from server.accounts import DatabaseSessions
from server.core.cipher import Cipher
from server.core.ids import DoctorId, SlotId, new_id
from server.core.models import Nothing
from server.core.publish import Publisher, room_channel
from server.core.tx import SYSTEM, Actor, Tx
from server.core.valkey import connect_redis
from server.scheduling import PublicSlot, SlotChanged, SlotStatus
from tests.conftest import PASSWORD, Services
from tests.house import Cast, Client, House, open_house_of
from tests.proxy import Pair, proxy_to


def live(client: Client, *, base: str | None = None) -> LiveClient:
    """A socket of somebody, from the address of their own."""
    return LiveClient(base or client.base, token=client.token, headers={"X-Forwarded-For": client.address})


def slots_of(doctor: Client) -> str:
    return f"slots:{doctor.me['doctor_id']}"


async def change_slots(house: House, room: str, count: int = 1, *, server: int = 0) -> None:
    """Events in a slots room, one transaction each."""
    doctor_id = DoctorId(UUID(room.partition(":")[2]))

    async def tell(tx: Tx, ask: Nothing) -> None:
        slot = PublicSlot(
            id=SlotId(new_id(tx.now)),
            doctor_id=doctor_id,
            start_time=tx.now,
            end_time=tx.now + timedelta(minutes=15),
            status=SlotStatus.BOOKED,
            version=1,
        )
        tx.emit(SlotChanged(doctor_id=doctor_id, slot=slot))

    run = house.servers[server].database.run(actor=SYSTEM)
    for _ in range(count):
        await run(tell, Nothing())


def numbers(events: list[dict[str, Any]]) -> list[int]:
    return [event["offset"] for event in events]


@contextlib.asynccontextmanager
async def raw_socket(base: str, **headers: str) -> AsyncGenerator[aiohttp.ClientWebSocketResponse]:
    """A bare WebSocket at the Engine.IO door, without any client library."""
    url = base.replace("http://", "ws://") + "/socket.io/?EIO=4&transport=websocket"
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(url, headers=headers, compress=15, max_msg_size=0) as ws,
    ):
        yield ws


async def test_a_booking_reaches_anonymous_watchers_of_every_server(two_servers: House) -> None:
    cast = await Cast.sign_in(two_servers, PASSWORD)
    room = slots_of(cast.dr_rao)
    stranger = two_servers.stranger()
    async with live(stranger) as here, live(stranger, base=two_servers.bases[1]) as there:
        one, other = await here.watch(room), await there.watch(room)
        consultation = await cast.booked(cast.asha, cast.dr_rao)
        await asyncio.gather(here.until(lambda: one.events), there.until(lambda: other.events))
        for watched in (one, other):
            [event] = watched.events
            assert event["type"] == "slot.changed"
            assert event["data"]["slot"]["id"] == consultation["slot_id"]
            assert event["data"]["slot"]["status"] == "BOOKED"
            assert event["room"] == room
            assert event["at"].endswith("Z")
            assert cast.asha.me["patient_id"] not in str(event)


async def test_what_was_missed_is_replayed_and_what_cannot_be_is_a_snapshot(house: House, cast: Cast) -> None:
    room = slots_of(cast.dr_rao)
    await change_slots(house, room, 5)
    head = await house.value("select seq from rooms where name = $1", room)
    async with live(house.stranger()) as client:
        answer = await client.call("subscribe", room=room, since=head - 3)
        assert numbers(answer["events"]) == [head - 2, head - 1, head]
        assert answer["offset"] == head
        assert set(answer["events"][0]) == {"room", "offset", "type", "data", "at"}
        assert (await client.call("subscribe", room=room, since=head))["events"] == []
        for since in (None, head + 1):
            answer = await client.call("subscribe", room=room, since=since)
            assert answer["offset"] == head
            assert answer["snapshot"]["slots"]
            assert "events" not in answer
    await house.sql("delete from room_events where room = $1 and number < $2", room, head)
    async with live(house.stranger()) as client:
        assert "snapshot" in await client.call("subscribe", room=room, since=head - 3)


async def test_a_snapshot_and_the_events_after_it_equal_a_fresh_snapshot(house: House, cast: Cast) -> None:
    room = slots_of(cast.dr_sen)
    async with live(house.stranger()) as client:
        watched = await client.watch(room)
        slots = {slot["id"]: slot for slot in watched.snapshot["slots"]}
        for patient in (cast.asha, cast.vik):
            await cast.booked(patient, cast.dr_sen)
        await client.until(lambda: len(watched.events) == 2)
        for event in watched.events:
            slots[event["data"]["slot"]["id"]] = event["data"]["slot"]
    async with live(house.stranger()) as client:
        fresh = await client.watch(room)
        assert {slot["id"]: slot for slot in fresh.snapshot["slots"]} == slots


async def test_without_redis_events_come_a_second_later_and_new_sockets_work(
    services: Services, two_servers: House
) -> None:
    cast = await Cast.sign_in(two_servers, PASSWORD)
    room = slots_of(cast.dr_rao)
    async with live(two_servers.stranger(), base=two_servers.bases[1]) as client:
        watched = await client.watch(room)
        await change_slots(two_servers, room, 2)
        await client.until(lambda: len(watched.events) == 2)
        await services.valkey.stop()
        try:
            await change_slots(two_servers, room, 3)
            await client.until(lambda: len(watched.events) == 5, seconds=3)
            async with live(two_servers.stranger()) as newcomer:
                assert (await newcomer.watch(room)).offset == watched.offset
        finally:
            await services.valkey.start()
        for _ in range(10):
            await change_slots(two_servers, room)
            await asyncio.sleep(0.2)
        await client.until(lambda: len(watched.events) == 15, seconds=3)
        assert numbers(watched.events) == list(range(watched.events[0]["offset"], watched.events[0]["offset"] + 15))


async def test_garbage_and_forgeries_on_the_channels_change_nothing(house: House, cast: Cast) -> None:
    room = slots_of(cast.dr_rao)
    async with live(house.stranger()) as client, connect_redis(house.settings) as redis:
        watched = await client.watch(room)
        start = watched.offset or 0
        forged = f'{{"o":{start + 1},"t":"slot.changed","at":"x","room":"{room}"}}\nP{{}}'.encode()
        for channel in (room_channel(room), "amrutam:control"):
            for message in (b"", b"x", secrets.token_bytes(200), bytes(16) + forged):
                await redis.execute_command("SPUBLISH", channel, message)  # pyright: ignore[reportUnknownMemberType]
        await change_slots(house, room, 2)
        await client.until(lambda: len(watched.events) == 2)
        assert numbers(watched.events) == [start + 1, start + 2]
        assert house.server.realtime.channels.garbage >= 8


async def test_a_database_that_went_back_makes_watchers_ask_again(house: House, cast: Cast) -> None:
    room = slots_of(cast.dr_rao)
    async with live(house.stranger()) as client:
        watched = await client.watch(room)
        await change_slots(house, room, 4)
        await client.until(lambda: len(watched.events) == 4)
        head = watched.offset or 0
        await house.sql("delete from room_events where room = $1 and number > $2", room, head - 2)
        await house.sql("update rooms set seq = $2 where name = $1", room, head - 2)
        await client.until(lambda: client.resyncs and watched.offset == head - 2)
        assert client.resyncs[0]["reason"] == "restored"
        await change_slots(house, room)
        await client.until(lambda: watched.offset == head - 1)


async def test_a_session_that_ends_takes_its_sockets_with_it(house: House, cast: Cast) -> None:
    room = f"user:{cast.asha.me['id']}"
    async with live(cast.asha) as client:
        await client.watch(room)
        began = asyncio.get_running_loop().time()
        assert (await cast.asha.post("/auth/logout", key=None)).status in (200, 204)
        await client.until(lambda: client.byes, seconds=2)
        assert client.byes[0] == {**client.byes[0], "code": "session-ended", "retry": False}
        assert asyncio.get_running_loop().time() - began < 1
        await client.until(lambda: not client.is_connected, seconds=2)


async def test_a_revoked_session_is_found_without_redis_too(services: Services, house: House, cast: Cast) -> None:
    async with live(cast.vik) as client:
        await client.watch(f"user:{cast.vik.me['id']}")
        await services.valkey.stop()
        try:
            await house.sql("update sessions set ended_at = now() where user_id = $1", cast.vik.me["id"])
            await client.until(lambda: client.byes, seconds=12)
        finally:
            await services.valkey.start()


async def test_rooms_are_for_whom_rest_lets_see_the_same(house: House, cast: Cast) -> None:
    consultation = await cast.confirmed(cast.asha, cast.dr_rao)
    of_consultation = f"consultation:{consultation['id']}"
    queue = f"queue:{cast.dr_rao.me['doctor_id']}"
    of_user = f"user:{cast.asha.me['id']}"
    may = {
        of_consultation: {"asha", "dr_rao"},
        queue: {"dr_rao"},
        of_user: {"asha"},
        "ops": {"mira"},
        slots_of(cast.dr_rao): {"asha", "vik", "dr_rao", "dr_sen", "mira"},
    }
    for name in ("asha", "vik", "dr_rao", "dr_sen", "mira"):
        async with live(getattr(cast, name)) as client:
            for room, allowed in may.items():
                if name in allowed:
                    await client.watch(room)
                    continue
                with pytest.raises(Refused) as refused:
                    await client.watch(room)
                assert refused.value.code == "not-found"
                assert refused.value.problem["request_id"]
            for nonsense in (f"queue:{uuid4()}", "queue", "nothing:1", f"slots:{str(uuid4()).upper()}", "ops:1"):
                with pytest.raises(Refused) as refused:
                    await client.watch(nonsense)
                assert refused.value.code in ("not-found", "invalid")
    for room in (of_consultation, queue, of_user, "ops"):
        async with live(house.stranger()) as client:
            with pytest.raises(Refused) as refused:
                await client.watch(room)
            assert refused.value.code == "unauthenticated"
            await client.until(lambda client=client: not client.is_connected, seconds=2)
            assert client.byes[0]["code"] == "unauthenticated"


async def test_every_command_refuses_whoever_has_no_business_there(house: House, cast: Cast) -> None:
    consultation = await cast.confirmed(cast.asha, cast.dr_rao)
    asks: dict[str, dict[str, object]] = {
        "waiting.check_in": {},
        "waiting.leave": {},
        "waiting.readiness": {"camera": "ok", "microphone": "ok", "speaker": "ok", "network": "ok"},
        "queue.call": {},
        "queue.skip": {},
        "queue.put_back": {},
        "queue.transfer": {"doctor_id": cast.dr_sen.me["doctor_id"]},
        "chat.send": {"client_id": "c1", "text": "hello"},
        "chat.typing": {},
        "chat.read": {"number": 1},
        "video.join": {"device": "tab1"},
    }
    table = {line.name for line in house.server.realtime.commands.table}
    elsewhere = {"subscribe", "unsubscribe", "queue.tell_delay", "queue.end_delay"} | {
        name for name in table if name.startswith("video.")
    }
    assert table <= set(asks) | elsewhere
    for person in (cast.vik, cast.dr_sen, cast.mira):
        async with live(person) as client:
            for name, fields in asks.items():
                with pytest.raises(Refused) as refused:
                    await client.call(name, consultation_id=consultation["id"], **fields)
                assert refused.value.code in ("not-found", "forbidden"), (name, refused.value.problem)
    for name, fields in asks.items():
        async with live(house.stranger()) as client:
            with pytest.raises(Refused) as refused:
                await client.call(name, consultation_id=consultation["id"], **fields)
            assert refused.value.code == "unauthenticated"


async def test_waiting_room_queue_chat_and_presence_tell_both_sides(house: House, cast: Cast) -> None:
    consultation = await cast.confirmed(cast.asha, cast.dr_rao)
    of = {"consultation_id": consultation["id"]}
    async with live(cast.asha) as asha, live(cast.dr_rao) as rao:
        queue = await rao.watch(f"queue:{cast.dr_rao.me['doctor_id']}")
        room = await asha.watch(f"consultation:{consultation['id']}")
        assert room.snapshot["consultation"]["id"] == consultation["id"]
        assert room.snapshot["messages"] == []
        place = await asha.call("waiting.check_in", **of)
        assert place["position"] == 1
        await rao.until(lambda: queue.events)
        entry = queue.events[-1]["data"]["entry"]
        assert entry["consultation_id"] == consultation["id"]
        assert entry["checked_in_at"]
        called = await rao.call("queue.call")
        assert called["consultation"]["called_at"]
        await asha.until(lambda: any(e["type"] == "consultation.changed" for e in room.events))
        mine = await rao.watch(f"consultation:{consultation['id']}")
        said = await asha.call("chat.send", client_id="m1", text="नमस्ते, doctor", **of)
        again = await asha.call("chat.send", client_id="m1", text="नमस्ते, doctor", **of)
        assert said["message"] == again["message"]
        await rao.until(lambda: any(e["type"] == "chat.message" for e in mine.events))
        [chat] = [e for e in mine.events if e["type"] == "chat.message"]
        assert chat["data"]["message"]["text"] == "नमस्ते, doctor"
        assert await rao.call("chat.read", number=1, **of)
        assert set(await rao.call("chat.typing", **of)) == {"ok", "at"}
        await asha.until(lambda: {"chat.typing", "chat.read"} <= {s["type"] for s in room.signals})
        here = {"type": "presence", "data": {"role": "DOCTOR", "present": True}}
        await asha.until(lambda: any(here.items() <= s.items() for s in room.signals))
        assert not any("offset" in s for s in room.signals)
        joined = await rao.call("video.join", device="tab1", **of)
        met = await asha.call("video.join", device="tab2", **of)
        assert [peer["role"] for peer in met["peers"]] == ["doctor"]
        offer = {"to": met["id"], "epoch": met["epoch"], "seq": 1, "description": {"type": "offer", "sdp": "v=0\r\n"}}
        await rao.call("video.describe", **offer)
        await asha.until(lambda: any(s["type"] == "video.describe" for s in room.signals))
        assert await rao.call("video.media", audio=True, video=False)
        await asha.until(lambda: any(s["type"] == "video.media" for s in room.signals))
        [shown] = [s["data"] for s in room.signals if s["type"] == "video.media"]
        assert shown["from"] == joined["id"]
        assert not any(s["type"] == "video.media" for s in mine.signals)
    row = await house.value("select status from consultations where id = $1", consultation["id"])
    assert row == "ACTIVE"


async def test_what_class_4_travels_redis_and_the_log_only_sealed(house: House, cast: Cast) -> None:
    consultation = await cast.confirmed(cast.asha, cast.dr_rao)
    room = f"consultation:{consultation['id']}"
    canary = "canary in a coal mine"
    redis: Any = connect_redis(house.settings)
    pubsub = redis.pubsub()
    await pubsub.ssubscribe(room_channel(room))
    async with live(cast.asha) as asha:
        await asha.call("chat.send", consultation_id=consultation["id"], client_id="c", text=canary)
    heard = b""
    async with asyncio.timeout(5):
        while b"chat.message" not in heard:
            message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=1)
            heard += bytes(message["data"]) if message else b""
    await pubsub.aclose()
    await redis.aclose()
    rows = await house.sql("select data from room_events where room = $1", room)
    rows += await house.sql("select payload as data from outbox")
    assert rows
    for text in (heard, *(row["data"] for row in rows)):
        assert canary.encode() not in text


async def test_a_cancelled_consultation_is_told_and_the_doctor_leaves_its_room(house: House, cast: Cast) -> None:
    consultation = await cast.confirmed(cast.asha, cast.dr_rao)
    room = f"consultation:{consultation['id']}"
    async with live(cast.asha) as asha, live(cast.dr_rao) as rao:
        mine, theirs = await asha.watch(room), await rao.watch(room)
        answer = await cast.dr_rao.post(f"/consultations/{consultation['id']}/cancel")
        assert answer.status == 200, answer.text
        await asha.until(
            lambda: any(e["data"].get("consultation", {}).get("status") == "CANCELLED" for e in mine.events), seconds=2
        )
        await rao.until(lambda: any(r["reason"] == "left" for r in rao.resyncs), seconds=2)
        assert theirs.events
        await rao.until(lambda: room not in rao.rooms, seconds=2)


async def test_the_handshake_refuses_foreign_origins_and_cookies_without_one(house: House, cast: Cast) -> None:
    cookie = "amrutam=" + cast.asha.token
    origin = house.settings.public_url
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "https://evil.example", "X-Forwarded-Host": "evil.example"},
        {"Cookie": cookie},
        {"Cookie": cookie, "Origin": "null"},
    ):
        with pytest.raises(Refusal):
            async with LiveClient(house.base, headers=headers):
                pass
    with pytest.raises(Refusal):
        async with LiveClient(house.base, token="00000000." + "a" * 43):
            pass
    async with LiveClient(house.base, headers={"Cookie": cookie, "Origin": origin}) as client:
        await client.watch(f"user:{cast.asha.me['id']}")
    async with LiveClient(house.base, headers={"Cookie": "amrutam=unknown", "Origin": origin}) as client:
        await client.watch(slots_of(cast.dr_rao))


async def test_a_client_that_begins_with_polling_is_told_what_to_set(house: House) -> None:
    async with aiohttp.ClientSession() as http:
        async with http.get(house.base + "/socket.io/?EIO=4&transport=polling") as response:
            text = await response.text()
        assert response.status == 200
        opened, refused = text.split("\x1e")
        assert opened.startswith('0{"sid":')
        assert refused.startswith('44{"message":')
        assert "websocket" in refused


async def test_a_socket_without_connect_is_closed_and_nothing_before_it_is_heard(house: House) -> None:
    async with raw_socket(house.base) as ws:
        assert ws.compress == 0
        await ws.receive_str()
        await ws.send_str('421["subscribe",{"room":"ops"}]')
        async with asyncio.timeout(12):
            message = await ws.receive()
        assert message.type in (WSMsgType.CLOSED, WSMsgType.CLOSE, WSMsgType.ERROR)


@pytest.mark.parametrize(
    "frame",
    [
        "45-[]",
        '451-["x",{"_placeholder":true,"num":0}]',
        b"\x00\x01",
        "40",
        "4",
        "49",
        "4{}",
        "42",
        '42/x,["a"]',
        "42[1]",
    ],
)
async def test_a_breach_of_protocol_ends_the_connection(house: House, frame: str | bytes) -> None:
    async with raw_socket(house.base) as ws:
        await ws.receive_str()
        await ws.send_str("40")
        assert (await ws.receive_str()).startswith("40{")
        await (ws.send_bytes(frame) if isinstance(frame, bytes) else ws.send_str(frame))
        async with asyncio.timeout(5):
            heard = [message async for message in ws]
        assert any("bye" in str(message.data) for message in heard)


async def test_bad_json_with_an_answer_is_answered(house: House) -> None:
    async with raw_socket(house.base) as ws:
        await ws.receive_str()
        await ws.send_str("40")
        await ws.receive_str()
        for number, payload in enumerate(['{"room":NaN}', '{"a":1,"a":2}']):
            await ws.send_str(f'42{number}["subscribe",{payload}]')
            answer = await ws.receive_str()
            assert answer.startswith(f"43{number}[")
            assert "/problems/malformed" in answer


async def test_a_frame_over_the_bound_closes_with_1009(house: House) -> None:
    async with raw_socket(house.base) as ws:
        await ws.receive_str()
        await ws.send_str("40")
        await ws.receive_str()
        await ws.send_str('42["x","' + "a" * 40_000 + '"]')
        async with asyncio.timeout(5):
            async for _ in ws:
                pass
        assert ws.close_code == 1009


async def test_too_many_events_are_refused_and_at_the_third_the_connection_ends(house: House, cast: Cast) -> None:
    async with live(cast.vik) as client:
        room = slots_of(cast.dr_rao)
        for _ in range(30):
            await client.call("unsubscribe", room=room)
        for _ in range(3):
            with pytest.raises(Refused) as refused:
                await client.call("unsubscribe", room=room)
            assert refused.value.code == "rate-limited"
        await client.until(lambda: client.byes, seconds=2)
        assert client.byes[0]["code"] == "rate-limited"
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(10):
            await stack.enter_async_context(live(cast.asha))
        with pytest.raises(Refusal):
            await stack.enter_async_context(live(cast.asha))


async def test_frames_written_straight_to_the_transport_mix_with_acknowledgements(house: House, cast: Cast) -> None:
    room = slots_of(cast.dr_rao)
    async with live(cast.mira) as client:
        watched = await client.watch(room)

        async def ask() -> None:
            for _ in range(15):
                assert "snapshot" in await client.call("subscribe", room=room)
                await asyncio.sleep(0.01)

        await asyncio.gather(change_slots(house, room, 200), ask())
        await client.until(lambda: len(watched.events) == 200)
        assert numbers(watched.events) == list(range(numbers(watched.events)[0], numbers(watched.events)[0] + 200))


async def test_a_client_that_does_not_read_costs_little_memory_and_is_told_to_ask_again(
    house: House, cast: Cast
) -> None:
    room = slots_of(cast.dr_rao)
    feeds = house.server.realtime.feeds
    async with raw_socket(house.base) as ws:
        await ws.receive_str()
        await ws.send_str("40")
        await ws.receive_str()
        await ws.send_str(f'420["subscribe",{{"room":"{room}"}}]')
        await ws.receive_str()
        [slow] = feeds.members(room)
        for _ in range(150):
            feeds.tell_here(room, "filler", {"x": "a" * 200_000}, [slow])
            await asyncio.sleep(0)
        assert slow.wire.backlog < 1_000_000
        assert _lags(slow)
        async with live(house.stranger()) as reader:
            watched = await reader.watch(room)
            await change_slots(house, room)
            await reader.until(lambda: watched.events)
        async with asyncio.timeout(10):
            # It may have caught up in between and fallen behind again: then it is told once more.
            while '"resync"' not in await ws.receive_str() or _lags(slow):
                pass


async def test_a_server_that_stops_says_bye_and_nobody_loses_an_event(services: Services) -> None:
    settings = services.settings_of(await services.new_database())
    owner = services.pg.url(
        services.owner, settings.database_url.get_secret_value().rpartition("/")[2].partition("?")[0]
    )
    async with open_house_of(settings, owner) as house:
        doctor = await house.log_in("doctor1@example.org", PASSWORD)
        async with contextlib.AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(live(house.stranger())) for _ in range(20)]
            for client in clients:
                await client.watch(slots_of(doctor))
            began = asyncio.get_running_loop().time()
            await house.server.realtime.drain()
            assert asyncio.get_running_loop().time() - began < 12
            for client in clients:
                await client.until(lambda client=client: client.byes, seconds=2)
                assert client.byes[0]["code"] == "shutdown"
                assert client.byes[0]["retry"] is True
                assert 0 <= client.byes[0]["after_ms"] <= 10_000
            assert len({client.byes[0]["after_ms"] for client in clients}) > 5


async def test_the_asyncapi_document_names_what_the_server_speaks(house: House) -> None:
    answer = await house.stranger().get("/asyncapi.json")
    assert answer.status == 200
    document = answer.json
    assert document["asyncapi"] == "3.0.0"
    assert {"slots", "queue", "consultation", "user", "ops", "calls"} <= set(document["channels"])
    assert {"slot.changed", "chat.message", "bye", "resync", "call.subscribe"} <= set(
        document["components"]["messages"]
    )
    referred = {part.split('"')[0] for part in answer.text.split('"#/')[1:]}
    for reference in referred:
        at: Any = document
        for part in reference.split("/"):
            at = at[part]


@contextlib.asynccontextmanager
async def hasty_server(house: House) -> AsyncGenerator[str]:
    """One more server, for sockets alone, whose patience is a second instead of a minute."""
    settings = house.settings
    cipher, redis = Cipher(settings), connect_redis(settings)
    bounds = Bounds(presence_seconds=0.5, grace_seconds=1, presence_lasts_seconds=1.5)

    async def find(token: str) -> Actor | None:
        digest = hashlib.sha256(token.encode()).digest()
        sessions = DatabaseSessions(settings)
        return await house.server.database.write(lambda tx: sessions.find(tx, digest))

    async with Publisher(redis, cipher) as publisher:
        sockets = Realtime(
            settings,
            database=house.server.database,
            redis=redis,
            publisher=publisher,
            cipher=cipher,
            find_actor=find,
            bounds=bounds,
        )
        app = web.Application()
        sockets.mount(app)
        await sockets.start()
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=2)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await sockets.drain()
            await runner.cleanup()
            await sockets.stop()
    await redis.aclose()


async def test_a_called_patient_whose_doctor_vanishes_waits_again_in_the_same_place(house: House, cast: Cast) -> None:
    consultation = await cast.confirmed(cast.asha, cast.dr_rao)
    of = {"consultation_id": consultation["id"]}
    room_name, queue = f"consultation:{consultation['id']}", f"queue:{cast.dr_rao.me['doctor_id']}"
    async with hasty_server(house) as base, live(cast.asha, base=base) as asha:
        room = await asha.watch(room_name)
        await asha.call("waiting.check_in", **of)
        checked_in = "select checked_in_at from consultations where id = $1"
        place = await house.value(checked_in, consultation["id"])

        def calls() -> list[object]:
            changes = [e["data"]["consultation"] for e in room.events if e["type"] == "consultation.changed"]
            return [change["called_at"] for change in changes]

        async with live(cast.dr_rao, base=base) as rao:
            await rao.watch(queue)
            await rao.call("queue.call")
            await asha.until(lambda: calls() and calls()[-1])
            with pytest.raises(TimeoutError):  # at the queue the doctor is still there
                await asha.until(lambda: not calls()[-1], seconds=4)
        await asha.until(lambda: not calls()[-1], seconds=10)
        assert await house.value(checked_in, consultation["id"]) == place


def _lags(socket: Socket) -> bool:
    return socket.slow_since is not None


async def test_a_client_without_a_server_leaves_no_connection_behind(house: House) -> None:
    """When none answers, and when it ends while it tries to come back."""
    left: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: left.append(str(context["message"])))

    tried = asyncio.Event()

    async def away() -> Pair:
        tried.set()
        raise ConnectionRefusedError

    async def tries_in_vain_until_its_end() -> None:
        async with proxy_to(house.base) as proxy, LiveClient(f"http://127.0.0.1:{proxy.port}"):
            proxy.reach = away
            await proxy.cut()
            await asyncio.wait_for(tried.wait(), 10)

    with pytest.raises(Refusal):
        async with LiveClient("http://127.0.0.1:1"):
            pass
    await tries_in_vain_until_its_end()
    gc.collect()
    assert left == []
