"""Files in the chat: by what they hold, upright and bare, sealed, scanned, and for those alone who may read along."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from PIL import ExifTags, Image

from server.consultations import FolderStore
from server.consultations.file_kinds import CleanFile, FileRefused, clean_file, safe_name
from server.consultations.object_store import PIECE, open_pieces, seal_pieces
from server.core.cipher import Unreadable
from server.core.settings import Settings
from tests.conftest import PASSWORD, Services
from tests.house import Answer, Cast, Client, House, open_house_of
from tests.test_field import live

PDF = b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\n%%EOF\n"
EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"


def a_photo(format_: str = "JPEG", *, sideways: bool = False, size: tuple[int, int] = (60, 30)) -> bytes:
    """Red above, blue below; a phone that was held sideways stores it turned, with a mark and where it was taken."""
    picture = Image.new("RGB", size, "red")
    picture.paste("blue", (0, size[1] // 2, size[0], size[1]))
    exif = Image.Exif()
    if sideways:
        picture = picture.transpose(Image.Transpose.ROTATE_90)
        exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.Make] = "Camera of Asha"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    out = io.BytesIO()
    picture.save(out, format_, exif=exif)
    return out.getvalue()


class Clamd:
    """A scanner as clamd speaks, that finds the test virus."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.is_away = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One INSTREAM."""
        assert await reader.readuntil(b"\0") == b"zINSTREAM\0"
        content = b""
        while size := int.from_bytes(await reader.readexactly(4), "big"):
            content += await reader.readexactly(size)
        self.heard.append(content)
        if not self.is_away:
            writer.write(b"stream: Eicar-Test-Signature FOUND\0" if EICAR in content else b"stream: OK\0")
        writer.close()


@pytest.fixture
async def clamd() -> AsyncIterator[tuple[Clamd, str]]:
    """The scanner and its address."""
    scanner = Clamd()
    server = await asyncio.start_server(scanner.serve, "127.0.0.1", 0)
    async with server:
        yield scanner, f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@contextlib.asynccontextmanager
async def a_house(services: Services, folder: Path, **settings: object) -> AsyncGenerator[Cast]:
    """A house that keeps files."""
    await services.forget()
    name = await services.new_database()
    wanted: Settings = services.settings_of(name, attachments_dir=folder, **settings)
    async with open_house_of(wanted, services.pg.url(services.owner, name)) as house:
        yield await Cast.sign_in(house, PASSWORD)


async def send(
    client: Client, consultation: dict[str, Any], content: bytes, name: str = "photo.jpg", kind: str = "image/jpeg"
) -> Answer:
    """Send a file into the chat."""
    form = aiohttp.FormData(quote_fields=False)  # as browsers do
    form.add_field("file", content, filename=name, content_type=kind)
    headers = {"X-Forwarded-For": client.address}
    if client.token:
        headers["Authorization"] = f"Bearer {client.token}"
    url = f"{client.base}/api/v1/consultations/{consultation['id']}/attachments"
    async with client.http.post(url, data=form, headers=headers) as response:
        return Answer(response.status, response.headers, await response.read())


async def checked(house: House, attachment: dict[str, Any]) -> str:
    """What the worker found."""
    query = "select state from attachments where id = $1 and state <> 'pending'"
    return str((await house.until(query, attachment["id"]))[0]["state"])


async def test_a_file_is_sent_checked_told_and_read_by_both_sides_alone(services: Services, tmp_path: Path) -> None:
    async with a_house(services, tmp_path / "files") as cast:
        consultation = await cast.confirmed(cast.asha, cast.dr_rao)
        room = f"consultation:{consultation['id']}"
        async with live(cast.dr_rao) as rao:
            watched = await rao.watch(room)
            sent = await send(cast.asha, consultation, a_photo(sideways=True), "रिपोर्ट खून 🩸.jpg")
            assert sent.status == 201, sent.text
            assert sent.json["state"] == "pending"
            assert sent.json["name"] == "रिपोर्ट खून 🩸.jpg"
            said = await cast.asha.post(
                f"/consultations/{consultation['id']}/messages",
                client_id="f1",
                text="My arm",
                attachment_id=sent.json["id"],
            )
            assert said.status == 201, said.text
            assert said.json["attachment"]["name"] == sent.json["name"]
            await rao.until(lambda: {"chat.message", "attachment.changed"} <= {e["type"] for e in watched.events})
        path = f"/consultations/{consultation['id']}/attachments/{sent.json['id']}"
        assert await checked(cast.house, sent.json) == "clean"
        for client in (cast.asha, cast.dr_rao):
            got = await client.get(path)
            assert got.status == 200
            assert got.headers["Content-Type"] == "image/jpeg"
            assert got.headers["X-Content-Type-Options"] == "nosniff"
            assert got.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
            assert got.headers["Cache-Control"] == "no-store"
            assert f"filename*=UTF-8''{quote('रिपोर्ट खून 🩸.jpg')}" in got.headers["Content-Disposition"]
            assert got.headers["Content-Disposition"].startswith("attachment;")
            picture = Image.open(io.BytesIO(got.raw))
            assert picture.size == (60, 30)  # upright (P2)
            assert picture.getpixel((30, 5))[0] > 200  # pyright: ignore[reportOptionalSubscript, reportIndexIssue]
            assert not picture.getexif()
            assert b"Asha" not in got.raw
        for client, status in ((cast.vik, 404), (cast.dr_sen, 404), (cast.mira, 403), (cast.house.stranger(), 401)):
            assert (await client.get(path)).status == status
            assert (await send(client, consultation, a_photo())).status == status
        listed = (await cast.dr_rao.get(f"/consultations/{consultation['id']}/attachments")).json["items"]
        assert [item["id"] for item in listed] == [sent.json["id"]]
        messages = (await cast.dr_rao.get(f"/consultations/{consultation['id']}/messages")).json["items"]
        assert messages[0]["attachment"]["state"] == "clean"
        [stored] = [file for file in (tmp_path / "files").rglob("*") if file.is_file()]
        assert b"JFIF" not in stored.read_bytes()
        assert stored.stat().st_mode & 0o077 == 0


async def test_what_the_scanner_finds_is_gone_and_an_absent_scanner_lets_nothing_through(
    services: Services, tmp_path: Path, clamd: tuple[Clamd, str]
) -> None:
    scanner, url = clamd
    async with a_house(services, tmp_path, clamd_url=url) as cast:
        consultation = await cast.confirmed(cast.asha, cast.dr_rao)
        bad = (await send(cast.asha, consultation, PDF.replace(b"endobj", EICAR), "a.pdf", "application/pdf")).json
        assert await checked(cast.house, bad) == "blocked"
        path = f"/consultations/{consultation['id']}/attachments"
        assert (await cast.asha.get(f"{path}/{bad['id']}")).code == "not-checked"
        assert not [file for file in tmp_path.rglob("*") if file.is_file()]
        scanner.is_away = True
        later = (await send(cast.asha, consultation, PDF, "b.pdf", "application/pdf")).json
        await cast.house.until("select 1 where $1::int > 1", len(scanner.heard) + 1)
        assert (await cast.dr_rao.get(f"{path}/{later['id']}")).code == "not-checked"
        scanner.is_away = False
        await cast.house.sql("update deliveries set due_at = now() where done_at is null")
        assert await checked(cast.house, later) == "clean"
        assert (await cast.dr_rao.get(f"{path}/{later['id']}")).raw == PDF
        assert scanner.heard[-1] == PDF


async def test_what_is_no_picture_too_big_or_too_much_is_refused(services: Services, tmp_path: Path) -> None:
    async with a_house(services, tmp_path, limit_factor=100) as cast:
        consultation = await cast.confirmed(cast.asha, cast.dr_rao)
        for content, name, kind, status in (
            (b"<html><script>alert(1)</script>", "a.html", "text/html", 422),
            (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "a.svg", "image/svg+xml", 422),
            (b"PK\x03\x04" + bytes(100), "a.zip", "application/zip", 422),
            (PDF, "invoice.exe", "application/pdf", 422),
            (a_photo(), "photo.jpg", "application/pdf", 422),
            (a_photo()[:200], "photo.jpg", "image/jpeg", 422),
            (b"", "photo.jpg", "image/jpeg", 422),
            (b"\x00\x00\x00\x18ftypheic" + bytes(50), "photo.heic", "image/heic", 422),
            (b"\xff\xd8\xff" + bytes(10_100_000), "photo.jpg", "image/jpeg", 413),
        ):
            answer = await send(cast.asha, consultation, content, name, kind)
            assert answer.status == status, (name, answer.text)
        assert await cast.house.value("select count(*) from attachments") == 0
        path = f"/consultations/{consultation['id']}/attachments"
        for raw, kind, status in (
            (b"{}", "application/json", 415),
            (b"rubbish", "multipart/form-data", 400),
            (b"rubbish", "multipart/form-data; boundary=x", 400),
            (b"--x\r\n\r\n\r\n--x--\r\n", "multipart/form-data; boundary=x", 400),
            (b"--x\r\nContent-Disposition: a\x04b\x00\r\n\r\n1\r\n--x--\r\n", "multipart/form-data; boundary=x", 400),
            (
                b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--\r\n',
                "multipart/form-data; boundary=x",
                422,
            ),
        ):
            answer = await cast.asha.call("POST", path, raw=raw, headers={"Content-Type": kind})
            assert answer.status == status, (raw, answer.text)
        small = a_photo(size=(4, 4))
        answers = await asyncio.gather(*(send(cast.asha, consultation, small) for _ in range(22)))
        assert sorted(answer.status for answer in answers) == [201] * 20 + [409] * 2
        assert await cast.house.value("select count(*) from attachments") == 20
        assert len([file for file in tmp_path.rglob("*") if file.is_file()]) == 20


async def test_without_a_folder_nothing_can_be_sent(cast: Cast) -> None:
    consultation = await cast.confirmed(cast.asha, cast.dr_rao)
    answer = await send(cast.asha, consultation, a_photo())
    assert (answer.status, answer.code) == (503, "no-files")


async def test_a_page_without_script_sends_a_file_with_its_form_and_no_other_site_does(
    services: Services, tmp_path: Path
) -> None:
    async with a_house(services, tmp_path) as cast:
        consultation = await cast.confirmed(cast.asha, cast.dr_rao)
        cookie = {"Cookie": f"amrutam={cast.asha.token}", "X-Forwarded-For": cast.asha.address}
        stranger = cast.house.stranger()
        csrf = (await stranger.call("GET", "/me", headers=cookie)).headers["X-CSRF-Token"]
        origin = {"Origin": cast.house.settings.public_url}
        for token, headers, status in (
            ("", origin, 403),
            (csrf, {}, 403),
            (csrf, {"Origin": "https://evil.example"}, 403),
            (csrf, origin, 303),
        ):
            form = aiohttp.FormData()
            form.add_field("csrf_token", token)
            form.add_field("file", PDF, filename="report.pdf", content_type="application/pdf")
            url = f"{cast.asha.base}/consultations/{consultation['id']}/attachments"
            async with cast.house.http.post(url, data=form, headers=cookie | headers, allow_redirects=False) as answer:
                assert answer.status == status, await answer.text()
        messages = (await cast.dr_rao.get(f"/consultations/{consultation['id']}/messages")).json["items"]
        assert [message["attachment"]["name"] for message in messages] == ["report.pdf"]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\asha\\x-ray.png", "x-ray.png"),
        ("bill\u202egpj.exe", "billgpj.exe"),
        ("a\r\nSet-Cookie: x=1.pdf", "aSet-Cookie x=1.pdf"),
        ("", "file"),
        (" .. ", "file"),
        ("ख" * 300 + ".pdf", "ख" * 114 + ".pdf"),
        ("résumé 日本語.pdf", "résumé 日本語.pdf"),
    ],
)
def test_names_keep_their_letters_and_lose_what_acts(given: str, kept: str) -> None:
    assert safe_name(given) == kept


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_pictures_are_drawn_anew_upright_and_bare(format_: str) -> None:
    kept = clean_file("photo", "", a_photo(format_, sideways=True))
    picture = Image.open(io.BytesIO(kept.content))
    assert picture.size == (60, 30)
    assert picture.convert("RGB").getpixel((30, 25))[2] > 200  # pyright: ignore[reportOptionalSubscript, reportIndexIssue]
    assert not picture.getexif()
    assert b"Camera of Asha" not in kept.content
    assert kept.name == {"JPEG": "photo.jpg", "PNG": "photo.png", "WEBP": "photo.webp"}[format_]


def test_a_bomb_of_pixels_and_a_pdf_with_a_program_are_refused() -> None:
    out = io.BytesIO()
    Image.new("1", (9000, 9000)).save(out, "PNG")
    for content in (out.getvalue(), PDF.replace(b"/Catalog", b"/Catalog /OpenAction << /S /JavaScript >>")):
        with pytest.raises(FileRefused):
            clean_file("a", "", content)
    assert clean_file("a", "", PDF) == CleanFile("a.pdf", "application/pdf", PDF)


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 3 * PIECE + 7])
def test_what_was_cut_swapped_or_renamed_does_not_open(size: int) -> None:
    key, content = bytes(range(32)), bytes(n % 251 for n in range(size))
    sealed = seal_pieces(key, "a" * 32, content)
    assert open_pieces(key, "a" * 32, sealed) == content
    whole = PIECE + 16
    wrongs = [sealed[:-1], sealed + b"x", b"\x02" + sealed[1:], sealed[:1]]
    if size > PIECE:
        wrongs += [sealed[: 1 + whole], sealed[:1] + sealed[1 + whole :] + sealed[1 : 1 + whole]]
    for wrong in wrongs:
        with pytest.raises(Unreadable):
            open_pieces(key, "a" * 32, wrong)
    with pytest.raises(Unreadable):
        open_pieces(key, "b" * 32, sealed)


async def test_a_folder_keeps_and_forgets_and_takes_no_path_for_a_name(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    name = "0123456789abcdef" * 2
    await store.put(name, b"one")
    await store.put(name, b"two")
    assert await store.get(name) == b"two"
    await store.drop(name)
    await store.drop(name)
    with pytest.raises(FileNotFoundError):
        await store.get(name)
    for wrong in ("../../etc/passwd", "", "ABCDEF" * 6, name + "\n"):
        with pytest.raises(ValueError, match="no name"):
            await store.get(wrong)
