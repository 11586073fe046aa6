"""The request's headers, and what a trusted proxy says in them."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from starlette.types import Scope

from pumice.settings import Settings


class Headers(Mapping[str, str]):
    """Headers by lower-case name; the last of several with one name. Texts are Latin-1, as on the wire."""

    __slots__ = ("_raw",)

    def __init__(self, raw: Iterable[tuple[bytes, bytes]]) -> None:
        self._raw = dict(raw)

    def __getitem__(self, name: str) -> str:
        return self._raw[name.lower().encode("latin-1")].decode("latin-1")

    def get(self, name: str, default: Any = None) -> Any:
        found = self._raw.get(name.encode())
        return default if found is None else found.decode("latin-1")

    def __iter__(self) -> Iterator[str]:
        return (name.decode("latin-1") for name in self._raw)

    def __len__(self) -> int:
        return len(self._raw)


def client_of(scope: Scope, headers: Headers, trusted: frozenset[str]) -> str:
    """The client's address; behind a trusted proxy the last one that the proxy itself did not make up."""
    client = scope.get("client")
    address = client[0] if client else ""
    if trusted and address in trusted:
        for hop in reversed((headers.get("x-forwarded-for") or "").split(",")):
            hop = hop.strip()
            if hop and hop not in trusted:
                return hop[:64]
    return str(address)


def root_of(scope: Scope, headers: Headers, trusted: frozenset[str], settings: Settings) -> str:
    """The public URL, without a slash at its end."""
    if settings.public_url:
        return settings.public_url.rstrip("/")
    scheme, host = scope.get("scheme", "http"), headers.get("host") or settings.bind
    client = scope.get("client")
    if trusted and client and client[0] in trusted:
        scheme = _one_of(headers.get("x-forwarded-proto"), ("http", "https"), scheme)
        host = (headers.get("x-forwarded-host") or host).split(",")[-1].strip()
    return f"{scheme}://{host}"


def _one_of(text: str | None, allowed: tuple[str, ...], default: str) -> str:
    return text if text in allowed else default
