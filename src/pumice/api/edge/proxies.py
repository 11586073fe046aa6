"""What a trusted proxy says of a request: who asked, and by which URL. What anybody else says of it is not even read.

    proxies = Proxies(settings)
    client, root, prefix = proxies.seen(scope, headers)

A proxy is trusted by the address its connection comes from (`trusted_proxies`: addresses and networks). Then exactly
one family of headers is read (`proxy_headers`): X-Forwarded-For, -Proto, -Host and -Prefix, or Forwarded (RFC 7239).
A proxy passes on what it does not set itself, so a family that the proxy does not know would be the client's own word.

Each proxy adds its word at the end: from there we walk back over the proxies that we trust. The first address that is
none of them is the client; what stands before it the client may have made up.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

import msgspec
from starlette.types import Scope

from pumice.api.edge.headers import Headers
from pumice.settings import Settings

_MOST_HOPS = 32
_HOST = re.compile(r"(?:[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,253})|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?\Z")
_PREFIX = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*){1,16}\Z")
_PAIR = re.compile(r"\s*([A-Za-z-]{1,32})=(?:\"([^\"\\]{0,300})\"|([^\s\"\\]{0,300}))\s*")


class Seen(msgspec.Struct, frozen=True):
    """Who asked, and how this cloud was addressed."""

    client: str
    root: str
    """`https://cloud.example/prefix`, without a slash at its end."""
    prefix: str
    """`/prefix` or empty: where our paths begin below the host."""


class _Hop(msgspec.Struct, frozen=True):
    """What one proxy said of the connection that it took."""

    client: str = ""
    scheme: str = ""
    host: str = ""
    prefix: str = ""


class Proxies:
    """Reads requests as the settings say."""

    def __init__(self, settings: Settings) -> None:
        self._networks = tuple(ip_network(text) for text in settings.trusted_proxies)
        self._forwarded = settings.proxy_headers == "forwarded"
        self._public = settings.public_url.rstrip("/")
        self._public_prefix = "/".join(["", *self._public.split("/")[3:]])
        self._bind = settings.bind
        self._trusts = lru_cache(1024)(self._in_networks)

    def seen(self, scope: Scope, headers: Headers) -> Seen:
        """Never fails: words that make no sense are passed over."""
        peer = scope.get("client")
        client = str(peer[0]) if peer else ""
        hop = self._outermost(headers) if self._networks and self._trusts(client) else _Hop()
        client = hop.client or client
        if self._public:
            return Seen(client, self._public, self._public_prefix)
        scheme = hop.scheme or scope.get("scheme", "http")
        return Seen(
            client, f"{scheme}://{hop.host or _host(headers.get('host')) or self._bind}{hop.prefix}", hop.prefix
        )

    def _outermost(self, headers: Headers) -> _Hop:
        """The word of the trusted proxy that the client itself reached."""
        hops = _forwarded(headers) if self._forwarded else _x_forwarded(headers)
        said = _Hop()
        for hop in hops:
            said = hop
            if hop.client and not self._trusts(hop.client):
                break
        return said

    def _in_networks(self, address: str) -> bool:
        try:
            found = ip_address(address)
        except ValueError:
            return False
        if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        return any(found in network for network in self._networks)


def _x_forwarded(headers: Headers) -> Iterator[_Hop]:
    """From the nearest proxy outwards. A proxy that replaces -Proto or -Host leaves one value, which counts for all."""
    clients = _values(headers.get("x-forwarded-for"))
    schemes = _values(headers.get("x-forwarded-proto"))
    hosts = _values(headers.get("x-forwarded-host"))
    prefixes = _values(headers.get("x-forwarded-prefix"))
    for index in range(max(1, len(clients))):
        yield _Hop(
            _address(clients[index]) if clients else "",
            _scheme(_at(schemes, index)),
            _host(_at(hosts, index)),
            _prefix(_at(prefixes, index)),
        )


def _values(header: str | None) -> list[str]:
    """The words of a list, the last first, and not more than anybody needs."""
    return [word.strip() for word in header.rsplit(",", _MOST_HOPS)[::-1][:_MOST_HOPS]] if header else []


def _at(words: list[str], index: int) -> str:
    return words[min(index, len(words) - 1)] if words else ""


def _forwarded(headers: Headers) -> Iterator[_Hop]:
    """From the nearest proxy outwards, up to the first element that is malformed: what proxies write has no comma in
    its quotes, so a client that left one open spoils its own words only."""
    for word in _values(headers.get("forwarded")):
        pairs = [_PAIR.fullmatch(part) for part in word.split(";")]
        said = {pair[1].lower(): pair[2] if pair[3] is None else pair[3] for pair in pairs if pair is not None}
        if len(said) < len(pairs):
            return
        yield _Hop(_address(said.get("for", "")), _scheme(said.get("proto", "")), _host(said.get("host", "")))


def _address(word: str) -> str:
    """An address without its port, in its shortest form; another word (`unknown`, `_hidden`) as it is, cut."""
    bare = word
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        return str(ip_address(bare))
    except ValueError:
        return word[:64]


def _scheme(word: str) -> str:
    return word.lower() if word.lower() in ("http", "https") else ""


def _host(word: str | None) -> str:
    """A host with or without a port; empty for what cannot stand in a URL there."""
    return word if word and _HOST.match(word) else ""


def _prefix(word: str) -> str:
    word = word.rstrip("/")
    return word if _PREFIX.match(word) else ""
