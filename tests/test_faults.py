"""What survives: real processes killed, services emptied and gone, while people book. Nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from email import message_from_string
from email.policy import default
from pathlib import Path
from uuid import uuid4

import aiohttp
import asyncpg
import pytest
from pydantic import SecretStr

from server.app import open_server
from server.core.settings import Settings
from tests.conftest import Services
from tests.house import Answer, Client, House
from tests.processes import Program, amrutam, program, ready, served

pytestmark = pytest.mark.chaos

OPEN_WORK = (
    "select (select count(*) from deliveries where done_at is null)"
    " + (select count(*) from outbox where relayed_at is null)"
)
FREE_SLOTS = """
    select s.id from availability_slots s join doctors d on d.id = s.doctor_id
     where s.status = 'AVAILABLE' and s.start_time > now() + interval '26 hours' and (d.fee_minor = 0 or not $2)
     order by s.start_time, s.id limit $1
"""
AGAIN = (aiohttp.ClientError, asyncio.TimeoutError, OSError)


@dataclass
class Town:
    """Real processes on the test's services, people who book, and what they were told."""

    house: House
    server: Program
    worker: Program
    people: list[Client]
    told: Counter[int] = field(default_factory=Counter[int])
    booked: dict[str, str] = field(default_factory=dict[str, str])
    """Consultation by idempotency key, as acknowledged."""

    async def book(self, person: Client, slot_id: str, *, seconds: float = 60) -> Answer:
        """Book until it is answered for good, always under the same key."""
        key = uuid4().hex
        async with asyncio.timeout(seconds):
            while True:
                answer = await self.ask(person, slot_id, key)
                if answer is not None and answer.status in (200, 201):
                    assert self.booked.setdefault(key, answer.json["id"]) == answer.json["id"]
                    return answer
                # The wait is the client's politeness, not a wait for anything of ours.
                await asyncio.sleep(0.1)

    async def ask(self, person: Client, slot_id: str, key: str) -> Answer | None:
        """One try; None when the connection broke. Anything but an answer or a plea to come again is a failure."""
        try:
            answer = await person.post("/consultations", key=key, slot_id=slot_id)
        except AGAIN:
            return None
        self.told[answer.status] += 1
        if answer.status not in (200, 201):
            assert answer.status == 503 or answer.code in ("in-flight", "busy"), answer.text
            assert answer.headers["Content-Type"].startswith("application/problem+json")
            assert int(answer.headers["Retry-After"]) >= 1
        return answer

    async def book_all(self, people: list[Client], *, free: bool = True) -> None:
        """Each of these books a slot of their own."""
        slots = [str(row["id"]) for row in await self.house.sql(FREE_SLOTS, len(people), free)]
        assert len(slots) == len(people)
        answers = await asyncio.gather(*(self.book(*pair) for pair in zip(people, slots, strict=True)))
        assert all(answer.json["slot_id"] in slots for answer in answers)

    async def settle(self, *, seconds: float = 45) -> None:
        """Wait until no work is open; leases of what was killed end now and not in a minute."""
        async with asyncio.timeout(seconds):
            while await self.house.value(OPEN_WORK):  # noqa: ASYNC110 - the thing is in the database
                await asyncio.sleep(0.1)

    async def end_leases(self) -> None:
        """What a killed worker held is due now, as it would be a minute later."""
        await self.house.sql("update deliveries set due_at = now() where done_at is null")

    async def assert_whole(self) -> None:
        """Every booking acknowledged is there, once, with all that follows from it, once."""
        value = self.house.value
        count = len(self.booked)
        ids = list(self.booked.values())
        assert len(set(ids)) == count
        assert await value("select count(*) from consultations where id = any($1::uuid[])", ids) == count
        assert await value("select count(*) from consultations") == count
        twice = "select count(*) from (select slot_id from consultations group by slot_id having count(*) > 1) t"
        assert await value(twice) == 0
        booked = (
            "select count(*) from availability_slots s join consultations c on c.id = s.consultation_id"
            " and c.slot_id = s.id where s.status = 'BOOKED'"
        )
        assert await value(booked) == count
        assert await value("select count(*) from availability_slots where status = 'BOOKED'") == count
        assert await value("select count(distinct consultation_id) from payments") == count
        assert await value("select count(*) from payments") == count
        assert await value("select count(*) from outbox where name = 'consultation.booked'") == count
        trail = "select count(distinct row_id) from audit_logs where table_name = 'consultations' and action = 'insert'"
        assert await value(trail) == count
        assert await value("select count(*) from deliveries where done_at is null") == 0
        confirmed = await value("select count(*) from consultations where confirmed_at is not null")
        mails = "select count(*) from notifications where cause like 'confirmed:%:mail' and state = 'sent'"
        assert await value(mails) == confirmed
        # Slots begin more than a day ahead: each of the three reminders is still to come, and each is there once.
        rows = await self.house.sql("select kind, count(*) from reminders where dropped_at is null group by kind")
        assert {row["kind"]: row["count"] for row in rows} == dict.fromkeys(("24h", "1h", "10min"), confirmed)


@contextlib.asynccontextmanager
async def town_of(settings: Settings, owner_url: str, folder: Path, *, people: int) -> AsyncGenerator[Town]:
    """A server and a worker as processes, and signed-in patients."""
    async with (
        served(settings, log=folder / "server.log") as (server, base),
        program(settings, "worker", log=folder / "worker.log") as worker,
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(20),
        ) as http,
    ):
        house = House(settings, [], [base], http, owner_url)
        async with open_server(settings) as here:  # only to make the patients
            house.servers.append(here)
            crowd = await house.crowd(people)
        house.servers.clear()
        await house.until("select 1 from steps where step = 'notices.send'", seconds=60)
        yield Town(house, server, worker, crowd)


@pytest.fixture
async def town(settings: Settings, owner_url: str, tmp_path: Path) -> AsyncIterator[Town]:
    """Forty people."""
    async with town_of(settings, owner_url, tmp_path, people=40) as opened:
        yield opened


async def test_a_server_killed_while_forty_book_loses_and_doubles_nothing(town: Town) -> None:
    booking = asyncio.create_task(town.book_all(town.people))
    for acknowledged in (4, 14):
        async with asyncio.timeout(60):
            while len(town.booked) < acknowledged:  # noqa: ASYNC110 - the thing is what the others were told
                await asyncio.sleep(0.005)
        assert not booking.done()
        await town.server.kill()
        await town.server.start()
    await booking
    assert len(town.booked) == 40
    assert set(town.told) <= {200, 201, 409, 503}
    await town.settle()
    await town.assert_whole()


async def test_a_worker_killed_in_the_middle_of_a_step_does_it_once(town: Town) -> None:
    house = town.house
    holding = await asyncpg.connect(house.owner_url)
    try:
        held = holding.transaction()
        await held.start()
        await holding.execute("lock table reminders in share mode")  # the step's insert waits here
        await town.book_all(town.people[:3])
        await house.until(
            "select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like '%insert into reminders%'"
            " and datname = current_database()"
        )
        await town.worker.kill()
        await held.rollback()
    finally:
        await holding.close()
    await town.worker.start()
    await town.end_leases()
    await town.settle()
    await town.assert_whole()


@dataclass
class SlowPost:
    """A mail server that says nothing at first: whoever sends is in the middle of it."""

    knocked: asyncio.Event = field(default_factory=asyncio.Event)
    mails: list[str] = field(default_factory=list[str])
    silent: bool = True

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.knocked.set()
        try:
            if self.silent:
                await reader.read()  # until they are gone
                return
            writer.write(b"220 post\r\n")
            while line := await reader.readline():
                word = line.strip().upper()
                if word == b"DATA":
                    writer.write(b"354 go on\r\n")
                    mail = await reader.readuntil(b"\r\n.\r\n")
                    self.mails.append(mail.decode())
                elif word == b"QUIT":
                    writer.write(b"221 bye\r\n")
                    return
                writer.write(b"250 ok\r\n")
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()


async def test_a_worker_killed_while_it_mails_sends_it_after_all(
    settings: Settings, owner_url: str, tmp_path: Path
) -> None:
    post = SlowPost()
    listening = await asyncio.start_server(post.answer, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    mailing = settings.model_copy(update={"smtp_url": SecretStr(f"smtp://127.0.0.1:{port}")})
    try:
        async with town_of(mailing, owner_url, tmp_path, people=1) as town:
            await town.book_all(town.people)
            async with asyncio.timeout(30):
                await post.knocked.wait()
            await town.worker.kill()
            post.silent = False
            await town.worker.start()
            await town.end_leases()
            await town.settle()
            await town.assert_whole()
            # Killed before a reminder is due, and back after it was.
            await town.worker.kill()
            [consultation_id] = town.booked.values()
            await town.house.sql(
                "update consultations set start_time = now() + $2, end_time = now() + $2 + interval '20 minutes'"
                " where id = $1",
                consultation_id,
                timedelta(minutes=9),
            )
            await town.house.sql("update reminders set due_at = now() - interval '1 minute' where kind = '10min'")
            await town.worker.start()
            await town.house.until("select 1 from reminders where sent_at is not null", seconds=30)
            await town.settle()
    finally:
        listening.close()
    assert subjects(post.mails, "Your consultation on") == 1
    assert subjects(post.mails, "Reminder: your consultation") == 1
    assert len(post.mails) == 2


def subjects(mails: list[str], words: str) -> int:
    """How many mails have a subject that begins with these words."""
    return sum(str(message_from_string(mail, policy=default)["Subject"]).strip().startswith(words) for mail in mails)


async def test_valkey_emptied_and_then_gone_while_people_book(town: Town, services: Services) -> None:
    people = town.people
    await town.book_all(people[:8])
    await services.forget()
    await town.book_all(people[8:16], free=False)
    await services.valkey.kill()
    try:
        loop = asyncio.get_running_loop()
        back = loop.time() + 10
        for some in (people[16:22], people[22:28]):
            await town.book_all(some)
        await town.settle()
        assert await town.house.value("select count(*) from deliveries where done_at is not null") > 0
        await asyncio.sleep(max(0.0, back - loop.time()))  # how long it is away is the fault itself
        await town.book_all(people[28:32], free=False)
    finally:
        await services.valkey.start()
    await town.book_all(people[32:])
    assert set(town.told) <= {200, 201, 409, 503}
    await town.settle()
    await town.assert_whole()


async def test_postgresql_restarted_while_people_book_costs_only_pleas_to_come_again(
    town: Town, services: Services
) -> None:
    booking = asyncio.create_task(town.book_all(town.people))
    async with asyncio.timeout(60):
        while len(town.booked) < 5:  # noqa: ASYNC110 - the thing is what the others were told
            await asyncio.sleep(0.005)
    assert not booking.done()
    await services.pg.kill()
    await services.pg.start()
    await booking
    assert len(town.booked) == 40
    assert set(town.told) <= {200, 201, 409, 503}
    await town.end_leases()
    await town.settle()
    await town.assert_whole()


@contextlib.asynccontextmanager
async def sockets(base: str, count: int) -> AsyncGenerator[list[aiohttp.ClientWebSocketResponse]]:
    """Connected sockets."""
    async with contextlib.AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        url = base.replace("http://", "ws://") + "/socket.io/?EIO=4&transport=websocket"
        opened = [await stack.enter_async_context(http.ws_connect(url, autoclose=False)) for _ in range(count)]
        for ws in opened:
            assert (await ws.receive_str()).startswith("0{")
            await ws.send_str("40")
            assert (await ws.receive_str()).startswith("40{")
        yield opened


async def said_bye(ws: aiohttp.ClientWebSocketResponse) -> str:
    """The goodbye of a server that ends."""
    while True:
        message = await ws.receive()
        assert message.type is aiohttp.WSMsgType.TEXT, message
        if message.data.startswith('42["bye"'):
            return message.data


async def half_a_request(base: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A request whose body does not end."""
    host, _, port = base.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n"
        b'{"email": '
    )
    await writer.drain()
    return reader, writer


def serving_alone(settings: Settings) -> tuple[Settings, str]:
    """Settings with a free port of their own, and the address."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    return settings.model_copy(update={"port": port}), f"http://127.0.0.1:{port}"


async def test_a_server_that_is_told_to_end_says_goodbye_and_ends(settings: Settings, tmp_path: Path) -> None:
    alone, base = serving_alone(settings)
    async with program(alone, "serve", log=tmp_path / "server.log") as server:
        await ready(base, server)
        code, out, said = await amrutam(alone, "serve")  # a second one on its port
        assert (code, out) == (2, "")
        assert said.startswith("amrutam: ")
        assert f"127.0.0.1:{alone.port}" in said
        assert len(said.splitlines()) == 1, said

        async with sockets(base, 50) as opened, aiohttp.ClientSession() as idle:
            async with idle.get(f"{base}/healthz") as answer:
                assert answer.status == 200
                await answer.read()  # and the connection stays
            _, writer = await half_a_request(base)
            assert server.process is not None
            began = asyncio.get_running_loop().time()
            server.process.send_signal(signal.SIGTERM)
            byes = await asyncio.gather(*(said_bye(ws) for ws in opened[:49]))
            assert all('"after_ms"' in bye for bye in byes)
            # Forty-nine go; the last one never answers.
            await asyncio.gather(*(ws.close() for ws in opened[:49]))
            assert await server.ended(seconds=15) == 0
            assert asyncio.get_running_loop().time() - began < 15
            writer.close()
    assert "Traceback" not in server.said


async def test_a_second_signal_ends_a_server_at_once(settings: Settings, tmp_path: Path) -> None:
    alone, base = serving_alone(settings)
    async with program(alone, "serve", log=tmp_path / "server.log") as server:
        await ready(base, server)
        async with sockets(base, 1) as [silent]:
            assert server.process is not None
            server.process.send_signal(signal.SIGTERM)
            await said_bye(silent)  # and no answer to it: the server waits
            assert await server.end(seconds=3) == -signal.SIGTERM


async def test_a_worker_that_is_told_to_end_ends(settings: Settings, owner_url: str, tmp_path: Path) -> None:
    async with program(settings, "worker", log=tmp_path / "worker.log") as worker:
        house = House(settings, [], [], None, owner_url)  # pyright: ignore[reportArgumentType] - nobody knocks over HTTP
        await house.until("select 1 from steps where step = 'notices.send'", seconds=60)
        assert await worker.end(seconds=15) == 0
    assert "Traceback" not in worker.said
