"""A server's log: lines to read, or one JSON object a line."""

from __future__ import annotations

import json
import logging
import os
import sys
from contextvars import ContextVar
from datetime import datetime, timezone
from typing import Literal

LogFormat = Literal["text", "json"]

REQUEST: ContextVar[str] = ContextVar("REQUEST", default="")  # the id of the request at work
access = logging.getLogger("galr.search.serve.access")


class JsonLines(logging.Formatter):
    """A record as a JSON object: time, level, logger, process, message, and ``extra["fields"]``.

    ``request`` is the id that the answer's header ``x-request-id`` has as well.
    """

    def format(self, record: logging.LogRecord) -> str:
        """One line, without line breaks inside."""
        told: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(),
            "level": record.levelname.lower(), "logger": record.name,
            "process": record.process, "message": record.getMessage(),
        }  # fmt: skip
        if request := REQUEST.get():
            told["request"] = request
        told.update(getattr(record, "fields", {}))
        if record.exc_info:
            told["traceback"] = self.formatException(record.exc_info)
        return json.dumps(told, ensure_ascii=False, default=str)


def start_logging(kind: LogFormat) -> None:
    """Sends what this process logs to the standard error; requests only as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if kind == "json" else logging.Formatter("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=kind == "json")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    access.setLevel(logging.INFO if kind == "json" else logging.WARNING)


def new_request() -> str:
    """An id for a request, which its log lines are marked with from now on."""
    REQUEST.set(os.urandom(8).hex())
    return REQUEST.get()
