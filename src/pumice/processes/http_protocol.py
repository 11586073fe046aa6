"""HTTP/1.1 as uvicorn and httptools read it, with an end to what comes before a body.

httptools keeps whatever is sent until a request's headers are complete: without a limit one client could fill the
memory of the API process before anybody has asked who it is.
"""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LARGEST_HEAD = 1 << 17
"""Bytes of a request line and headers; a little more when they come in one piece."""


class BoundedHttpProtocol(HttpToolsProtocol):
    """One connection. Requests whose headers do not end are answered 400, and the connection is closed."""

    _head = -1
    """Bytes of the headers that are being read; negative: none are."""

    def on_message_begin(self) -> None:
        self._head = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._head = -1
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._head >= 0:
            self._head += len(data)
            if self._head > LARGEST_HEAD and not self.transport.is_closing():
                self.send_400_response(f"The request's headers are larger than {LARGEST_HEAD} bytes.")
