"""What a file really is, by its content, and the picture drawn anew: upright, without place, camera or thumbnail."""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from server.core.errors import FieldError, Invalid

MOST_PIXELS = 40_000_000
NAME_LENGTH = 120
JPEG_QUALITY = 90
PDF = "application/pdf"
# The picture formats that are taken, by the name that the decoder has for them.
FORMATS: Mapping[str, str] = {"image/jpeg": "JPEG", "image/png": "PNG", "image/webp": "WEBP"}
ENDINGS: Mapping[str, tuple[str, ...]] = {
    PDF: (".pdf",),
    "image/jpeg": (".jpg", ".jpeg", ".jfif"),
    "image/png": (".png",),
    "image/webp": (".webp",),
}
_HEIC = re.compile(rb"....ftyp(heic|heix|hevc|heim|heis|mif1|msf1)", re.DOTALL)
# What can start a program, hold other files or fetch something: no paper of a clinic needs it.
_PDF_ACTS = re.compile(rb"/(JavaScript|JS|Launch|EmbeddedFiles?|RichMedia|XFA)\b")
_UNSAFE = re.compile('[\x00-\x1f\x7f-\x9f\u2028\u2029\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff/\\\\:*?"<>|]')


@dataclass(frozen=True, slots=True)
class CleanFile:
    """A file as it is kept."""

    name: str
    content_type: str
    content: bytes


class FileRefused(Invalid):
    """Only PDF, JPEG, PNG and WebP are taken, by what the file holds and not by its name."""

    code = "file-refused"
    title = "This file cannot be sent here."


def clean_file(name: str, declared: str, content: bytes) -> CleanFile:
    """The file as it may be kept. Content, ending and declared type must agree; pictures are drawn anew.

    Slow: call it in a thread. Raises FileRefused with the field error `heic`, `kind`, `mismatch`, `active`, `pixels`
    or `broken`.
    """
    kind = _kind(content)
    name = safe_name(name)
    _, dot, ending = name.rpartition(".")
    said = declared.partition(";")[0].strip().lower()
    if dot and f".{ending.lower()}" not in ENDINGS[kind] and ending.isalnum() and len(ending) <= 5:
        raise _refusal("mismatch", "The name says another kind of file than it holds.")
    if said not in ("", "application/octet-stream", kind) and not (said == "image/jpg" and kind == "image/jpeg"):
        raise _refusal("mismatch", "The browser says another kind of file than it holds.")
    if not dot or f".{ending.lower()}" not in ENDINGS[kind]:
        name = f"{name}{ENDINGS[kind][0]}"
    if kind == PDF:
        if _PDF_ACTS.search(content):
            raise _refusal("active", "This PDF holds programs or other files.")
        return CleanFile(name, kind, content)
    return CleanFile(name, kind, _drawn_anew(content, kind))


def safe_name(name: str) -> str:
    """A name without folders, controls and marks that reorder text, of at most 120 characters, its ending kept."""
    base = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    base = _UNSAFE.sub("", base.encode("utf-8", "ignore").decode()).strip(" .")
    if not base:
        return "file"
    stem, dot, ending = base.rpartition(".")
    if dot and len(ending) <= 5:
        return f"{stem[: NAME_LENGTH - 6]}.{ending}"
    return base[:NAME_LENGTH]


def _kind(content: bytes) -> str:
    if content.startswith(b"%PDF-") and b"%%EOF" in content[-2048:]:
        return PDF
    if content.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    if _HEIC.match(content):
        raise _refusal("heic", "Pictures in HEIC cannot be shown everywhere: send it as JPEG.")
    raise _refusal("kind", "Only PDF, JPEG, PNG and WebP can be sent.")


def _drawn_anew(content: bytes, kind: str) -> bytes:
    try:
        with Image.open(io.BytesIO(content), formats=(FORMATS[kind],)) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise _refusal("pixels", f"At most {MOST_PIXELS // 1_000_000} megapixels.")
            profile = picture.info.get("icc_profile")
            upright = ImageOps.exif_transpose(picture)
            mode = "RGBA" if kind != "image/jpeg" and upright.has_transparency_data else "RGB"
            plain = _as_everywhere(upright, profile).convert(mode)
            # A new picture: nothing but the pixels goes along.
            fresh = Image.new(mode, plain.size)
            fresh.paste(plain)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError, EOFError):
        raise _refusal("broken", "This picture cannot be read.") from None
    out = io.BytesIO()
    if kind == "image/png":
        fresh.save(out, "PNG", optimize=False)
    else:
        fresh.save(out, FORMATS[kind], quality=JPEG_QUALITY)
    return out.getvalue()


def _as_everywhere(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """The colours as every screen shows them: skin on a phone's wide gamut must not turn pale."""
    if not profile or picture.mode not in ("RGB", "RGBA"):
        return picture
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        untyped: Any = ImageCms
        every = cast("ImageCms.ImageCmsProfile", untyped.createProfile("sRGB"))
        turned = ImageCms.profileToProfile(picture, own, every)
    except (ImageCms.PyCMSError, OSError):
        return picture
    return turned or picture


def _refusal(code: str, message: str) -> FileRefused:
    return FileRefused(message, errors=[FieldError(field="file", code=code, message=message)])
