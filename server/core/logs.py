"""Logs: one JSON line an event, with allowed fields only; nothing of class 3 or 4 (SECURITY D6)."""

from __future__ import annotations

import logging
import re
import sys
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from server.core.settings import Settings

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
# What `extra` may say. Everything else is dropped: a new field is a decision.
ALLOWED = frozenset(
    (
        "request_id",
        "path",
        "error",
        "messages",
        "event_id",
        "step",
        "tries",
        "slot_id",
        "consultation_id",
        "payment_id",
        "session_id",
        "user_id",
        "doctor_id",
        "room",
        "event",
        "status",
        "seconds",
        "count",
        "process",
        "port",
        "reason",
        "address",
        "setting",
        "url",
        "state",
        "made",
        "code",
    )
)
_BREAKS = re.compile(r"[\r\n\x1b]+")
MOST_OF_A_TRACEBACK = 10_000


class Allowed(logging.Filter):
    """Drops fields that are not on the list, and keeps one event on one line."""

    def filter(self, record: logging.LogRecord) -> bool:
        for name in list(vars(record)):
            if name not in _STANDARD and name not in ALLOWED:
                delattr(record, name)
        if isinstance(record.msg, str):
            record.msg = _BREAKS.sub(" ", record.msg)
        return True


class Bounded(JsonFormatter):
    """Keeps both ends of a traceback that is too long: an error may have megabytes to say."""

    def formatException(self, ei: Any) -> str:  # noqa: N802 - the name is logging's
        text = str(super().formatException(ei))
        half = MOST_OF_A_TRACEBACK // 2
        return text if len(text) <= MOST_OF_A_TRACEBACK else f"{text[:half]}\n[...]\n{text[-half:]}"


def set_up_logs(settings: Settings) -> None:
    """Send the process' log to stderr. Libraries that log what clients send stay silent below ERROR."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Bounded("{asctime}{levelname}{name}{message}", style="{", rename_fields={"asctime": "at"}))
    handler.addFilter(Allowed())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    for noisy in ("socketio", "engineio", "aiohttp.access", "aiohttp.server", "taskiq", "aioice", "aiortc"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
