"""Whose word counts for the client's address and our own URL: a trusted proxy's only, and what it can have said."""

from pathlib import Path

import pytest

from pumice.api.edge.headers import Headers
from pumice.api.edge.proxies import Proxies, Seen
from pumice.settings import Settings, SettingsError

pytestmark = pytest.mark.fast

PROXY, OTHER_PROXY, STRANGER = "10.0.0.7", "10.0.0.8", "192.0.2.1"


def seen(peer: str, said: dict[str, str], **settings: object) -> Seen:
    """How a request is taken that comes from `peer` with these headers."""
    chosen = Settings(**{"trusted_proxies": ["10.0.0.0/24", "::1"], **settings})  # type: ignore[arg-type]
    raw = [(name.lower().encode(), text.encode("latin-1")) for name, text in {"Host": "inner:8776", **said}.items()]
    return Proxies(chosen).seen({"type": "http", "scheme": "http", "client": (peer, 1)}, Headers(raw))


SAID = {
    "X-Forwarded-For": "203.0.113.9",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "cloud.example",
    "X-Forwarded-Prefix": "/pumice/",
}


def test_a_trusted_proxy_is_believed() -> None:
    assert seen(PROXY, SAID) == Seen("203.0.113.9", "https://cloud.example/pumice", "/pumice")
    assert seen("::ffff:10.0.0.7", SAID).client == "203.0.113.9"


def test_anybody_else_is_not() -> None:
    for stranger in (STRANGER, "10.0.1.7", "::2", "not an address"):
        assert seen(stranger, SAID) == Seen(stranger, "http://inner:8776", "")
    assert seen(PROXY, SAID, trusted_proxies=[]) == Seen(PROXY, "http://inner:8776", "")


def test_a_client_cannot_speak_through_the_proxy() -> None:
    forged = {"X-Forwarded-For": f"10.0.0.66, {STRANGER}", "Forwarded": "for=198.51.100.1;host=evil.example"}
    assert seen(PROXY, forged) == Seen(STRANGER, "http://inner:8776", "")


def test_two_proxies_in_a_row() -> None:
    said = {
        "X-Forwarded-For": f"198.51.100.66, 203.0.113.9, {OTHER_PROXY}",
        "X-Forwarded-Proto": "http, https, http",
        "X-Forwarded-Host": "forged.example, cloud.example, inner.example",
    }
    assert seen(PROXY, said) == Seen("203.0.113.9", "https://cloud.example", "")
    replaced = {**said, "X-Forwarded-Proto": "https", "X-Forwarded-Host": "cloud.example"}
    assert seen(PROXY, replaced) == Seen("203.0.113.9", "https://cloud.example", "")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("for=203.0.113.9;proto=https;host=cloud.example", Seen("203.0.113.9", "https://cloud.example", "")),
        ('For="[2001:db8::1]:4711"; Proto=HTTPS', Seen("2001:db8::1", "https://inner:8776", "")),
        (f"for=203.0.113.9;host=cloud.example, for={OTHER_PROXY}", Seen("203.0.113.9", "http://cloud.example", "")),
        ('for="open, for=203.0.113.9;proto=https', Seen("203.0.113.9", "https://inner:8776", "")),
        ("for=_hidden", Seen("_hidden", "http://inner:8776", "")),
        ("nonsense", Seen(PROXY, "http://inner:8776", "")),
    ],
)
def test_the_standard_header(header: str, expected: Seen) -> None:
    assert seen(PROXY, {"Forwarded": header, **SAID}, proxy_headers="forwarded") == expected


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("X-Forwarded-Proto", "javascript"),
        ("X-Forwarded-Host", 'cloud.example/"><script>'),
        ("X-Forwarded-Host", "user@cloud.example"),
        ("X-Forwarded-Prefix", "//evil.example"),
        ("X-Forwarded-Prefix", "/../x"),
        ("X-Forwarded-Prefix", "/a?b"),
        ("Host", "a b\xff"),
    ],
)
def test_words_that_make_no_url_are_passed_over(name: str, word: str) -> None:
    expected = "http://127.0.0.1:8776" if name == "Host" else "http://inner:8776"
    assert seen(PROXY, {name: word}) == Seen(PROXY, expected, "")


def test_a_long_list_costs_little() -> None:
    assert seen(PROXY, {"X-Forwarded-For": "203.0.113.9," + "10.0.0.8," * 5000 + "10.0.0.8"}).client == OTHER_PROXY


def test_the_public_url_counts_before_everything() -> None:
    found = seen(PROXY, SAID, public_url="https://fixed.example/below/")
    assert found == Seen("203.0.113.9", "https://fixed.example/below", "/below")


@pytest.mark.parametrize("wrong", ["10.0.0.0/33", "proxy.example", "10.0.0.7/24"])
def test_a_proxy_that_is_no_address_is_refused(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(SettingsError, match="give an address or a network"):
        Settings.load(tmp_path, {"PUMICE_TRUSTED_PROXIES": f'["{wrong}"]'})
