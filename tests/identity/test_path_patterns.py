"""Patterns of access rules: what each matches, and that none of them is slow."""

import time

import pytest

from pumice.identity.access_rules import Asked, allowed
from pumice.identity.model import AccessRule
from pumice.identity.path_patterns import PathPattern

pytestmark = pytest.mark.fast


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        (
            "/v2.1/servers",
            ["/v2.1/servers"],
            ["/v2.1/servers/1", "/v2x1/servers", "/v2.1/server", "/v2.1/servers/", ""],
        ),
        ("/v3/*/volumes", ["/v3/p/volumes"], ["/v3//volumes", "/v3/p/q/volumes", "/v3/p/volumes/1", "/v3/volumes"]),
        ("/v3/{project_id}/volumes/{id}", ["/v3/p/volumes/1"], ["/v3/p/volumes", "/v3/p/volumes/1/action"]),
        ("/v3/**", ["/v3/", "/v3/a", "/v3/a/b"], ["/v3", "/v2/a"]),
        ("/v2/images/**/file", ["/v2/images/1/file", "/v2/images//file"], ["/v2/images/file"]),
        ("**", ["", "/", "/anything/at/all"], []),
        ("/a***b", ["/axb", "/ax/yb"], ["/ab", "/a/b"]),
        ("/volume-*-x", ["/volume-1-x", "/volume-1-x-x"], ["/volume--x", "/volume-1"]),
        ("/{a}{b}", ["/xy", "/xyz"], ["/x"]),
        ("/{open", ["/{open"], ["/x", "/open"]),
        ("/ü/[a-z]+.?", ["/ü/[a-z]+.?"], ["/ü/abc"]),
    ],
)
def test_what_a_pattern_matches(pattern: str, matching: list[str], other: list[str]) -> None:
    compiled = PathPattern(pattern)
    assert [path for path in matching if not compiled.matches(path)] == []
    assert [path for path in other if compiled.matches(path)] == []


@pytest.mark.parametrize("pattern", ["**a" * 80 + "b", "*a" * 120 + "b", "/" + "**/*" * 60 + "b", "{x}a" * 60 + "/b"])
def test_no_pattern_is_slow(pattern: str) -> None:
    path = "/" + "a" * 8_000
    begin = time.perf_counter()
    assert not PathPattern(pattern).matches(path)
    assert time.perf_counter() - begin < 1


def asked(segments: list[str] | None, method: str = "GET", face: str = "volume", project: str | None = "p") -> Asked:
    return Asked(face, method, {"volume": "v3", "compute": "v2.1"}.get(face, "v3"), project, segments)


def rule(path: str, method: str = "GET", service: str = "volumev3") -> tuple[AccessRule]:
    return (AccessRule("1", service, method, path),)


def test_service_method_and_path_must_all_be_right() -> None:
    volumes = rule("/v3/*/volumes")
    assert allowed(volumes, asked(["volumes"]))
    assert not allowed(volumes, asked(["volumes"], method="POST"))
    assert not allowed(volumes, asked(["volumes"], method="HEAD"))
    assert not allowed(volumes, asked(["volumes", "1"]))
    assert not allowed(volumes, asked(["volumes"], project=None))
    assert not allowed(volumes, asked(["volumes"], face="compute"))
    assert not allowed(rule("/v3/*/volumes", service="object-store"), asked(["volumes"]))


@pytest.mark.parametrize("service", ["volumev3", "block-storage", "block-store", "volume"])
def test_block_storage_goes_by_several_names(service: str) -> None:
    assert allowed(rule("/v3/*/volumes", service=service), asked(["volumes"]))


def test_the_path_may_be_written_with_the_face_before_it() -> None:
    assert allowed(rule("/volume/v3/*/volumes"), asked(["volumes"]))
    assert not allowed(rule("/compute/v3/*/volumes"), asked(["volumes"]))


def test_an_encoded_slash_is_no_border_between_segments() -> None:
    smuggled = asked(["volumes", "x/metadata"])
    assert smuggled.path() == "/v3/p/volumes/x%2Fmetadata"
    assert not allowed(rule("/v3/*/volumes/*/metadata"), smuggled)
    assert allowed(rule("/v3/*/volumes/*"), smuggled)


def test_a_request_of_which_nothing_is_known_is_not_allowed() -> None:
    everything = rule("/**")
    assert not allowed(everything, None)
    assert not allowed(everything, asked(None))
    assert allowed(everything, asked(["volumes"]))


def test_looking_at_ones_own_token_is_always_allowed() -> None:
    nothing = rule("/nothing")
    assert allowed(nothing, asked(["auth", "tokens"], face="identity", project=None))
    assert not allowed(nothing, asked(["auth", "tokens"], method="DELETE", face="identity", project=None))
