"""/v2/images/{id}/file: the bytes of an image, in and out, of any size, in constant memory.

Hashing, writing and reading run in the store's threads, a chunk at a time, so that neither the event loop nor the
database's threads wait for a disk; at most two chunks of a transfer are in memory.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from typing import ParamSpec, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from pumice.api.edge.route import Call, Route
from pumice.api.image.information import check_store
from pumice.caller import new_id
from pumice.db.engine import Database
from pumice.errors import BadRequest, PumiceError, UnsupportedMediaType, WrongState
from pumice.images import images, uploads
from pumice.images.model import READABLE
from pumice.images.store import CHUNK_BYTES, ImageStore, Reader, Upload

P = ParamSpec("P")
T = TypeVar("T")

_RANGE = re.compile(r"bytes=(?:([0-9]{1,18})-([0-9]{1,18})?|-([0-9]{1,18}))")


class RangeNotSatisfiable(PumiceError):
    """The range asked for is not in the data."""

    code = 416
    fault = "requestedRangeNotSatisfiable"


# ---- in


async def upload(call: Call, request: Request) -> Response:
    """PUT .../file. Whatever ends it (the client, a full disk, a cancellation), the image is queued again."""
    if call.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/octet-stream":
        raise UnsupportedMediaType("Send the data as application/octet-stream.")
    check_store(call)
    database, store = call.services.database, call.services.images
    image_id, upload_id = call.path["image_id"], new_id()
    image = await database.call_read(images.get_own, call.caller, image_id)
    await _in_store(store, store.expect, _length(call.headers))
    file = await _in_store(store, store.begin, image.id, upload_id)
    began = False
    try:
        try:
            saving = await database.call_write(uploads.begin, call.caller, image.id, upload_id)
        except WrongState:
            if not await database.call_write(uploads.recover, image.id, store):
                raise
            saving = await database.call_write(uploads.begin, call.caller, image.id, upload_id)
        began = True
        file.disk_format = saving.disk_format
        await _receive(request, store, file)
        stored = await _in_store(store, file.publish)
        await database.call_write(uploads.finish, call.caller, image.id, upload_id, stored)
    except BaseException as error:
        # Its own task, so that a cancellation (the server stops) does not cut the way back short.
        await asyncio.shield(asyncio.ensure_future(_give_up(database, store, file, upload_id if began else None)))
        if isinstance(error, ClientDisconnect):
            raise BadRequest("The data ended before the end that was announced; nothing of it was kept.") from None
        raise
    await _in_store(store, file.close)
    return Response(status_code=204)


def _length(headers: Mapping[str, str]) -> int | None:
    text = headers.get("content-length", "")
    return int(text[:20]) if text.isascii() and text.isdigit() else None


async def _receive(request: Request, store: ImageStore, file: Upload) -> None:
    """Write the body; the next chunk is collected while the one before is hashed and written."""
    writing: asyncio.Future[None] | None = None
    data = bytearray()
    try:
        async for part in request.stream():
            data += part
            if len(data) >= CHUNK_BYTES:
                if writing is not None:
                    await writing
                writing = asyncio.ensure_future(_in_store(store, file.write, data))
                data = bytearray()
        if writing is not None:
            await writing
            writing = None
        if data:
            await _in_store(store, file.write, data)
    finally:
        if writing is not None:
            await asyncio.wait([writing])
            if not writing.cancelled():
                writing.exception()  # looked at, so that asyncio does not report it a second time


async def _give_up(database: Database, store: ImageStore, file: Upload, upload_id: str | None) -> None:
    """Remove the bytes, put the row back, then give up the lock. Without a database the sweep puts the row back."""
    try:
        await _in_store(store, file.discard)
        if upload_id is not None:
            await database.call_write(uploads.abandon, file.image_id, upload_id)
    finally:
        await _in_store(store, file.close)


# ---- out


async def download(call: Call, request: Request) -> Response:
    """GET .../file, whole (200) or one range of it (206); 204 while there is no data."""
    database, store = call.services.database, call.services.images
    image = await database.call_read(images.readable, call.caller, call.path["image_id"])
    if image.status not in READABLE:
        return Response(status_code=204)
    reader = await _in_store(store, store.open, image.id)
    try:
        span = parse_range(call.headers.get("range"), reader.size)
    except BaseException:
        reader.close()
        raise
    start, end = span or (0, reader.size)
    headers = {"Content-Length": str(end - start), "Accept-Ranges": "bytes"}
    if span is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{reader.size}"
    elif image.checksum is not None:
        headers["Content-MD5"] = image.checksum
    return _Sending(store, reader, start, end, 200 if span is None else 206, headers)


def parse_range(text: str | None, size: int) -> tuple[int, int] | None:
    """(start, end) of the bytes asked for, end excluded; None: all. Raises RangeNotSatisfiable (also for several)."""
    if text is None:
        return None
    match = _RANGE.fullmatch(text.strip())
    if match is None:
        raise RangeNotSatisfiable(f"The range {text[:64]!r} is not understood; ask for one, like bytes=0-1023.")
    first, last, suffix = match.groups()
    if suffix is not None:
        start, end = max(0, size - int(suffix)), size
    else:
        start, end = int(first), size if last is None else min(size, int(last) + 1)
    if start >= end:
        raise RangeNotSatisfiable(f"The range {text[:64]!r} is not in the data, which has {size} bytes.")
    return start, end


class _Sending(StreamingResponse):
    """Sends a span of the reader's bytes and closes it, however the sending ends."""

    def __init__(
        self, store: ImageStore, reader: Reader, start: int, end: int, status: int, headers: Mapping[str, str]
    ) -> None:
        super().__init__(_chunks(store, reader, start, end), status, headers, "application/octet-stream")
        self._store = store
        self._reader = reader

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            # In a thread: a read of another thread may hold the reader for a moment.
            self._store.threads.submit(self._reader.close)


async def _chunks(store: ImageStore, reader: Reader, start: int, end: int) -> AsyncIterator[bytes]:
    while start < end:
        data = await _in_store(store, reader.read, start, min(CHUNK_BYTES, end - start))
        if not data:
            raise OSError("the data of the image is shorter than it was")
        start += len(data)
        yield data


async def _in_store(store: ImageStore, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    return await asyncio.wrap_future(store.threads.submit(function, *args, **kwargs))


ROUTES: tuple[Route, ...] = (
    Route("PUT", "/images/{image_id}/file", stream=upload, status=204, action="image:upload", name="files.upload"),
    Route("GET", "/images/{image_id}/file", stream=download, action="image:download", name="files.download"),
)
