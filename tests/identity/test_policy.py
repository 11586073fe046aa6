"""The table of rules: what each kind of caller may do, and what is said of rules that cannot be used."""

from pathlib import Path

import pytest

from pumice.api.faces import faces
from pumice.caller import Caller
from pumice.errors import Forbidden
from pumice.identity.policy import RULES, Policy, PolicyError, uncovered

pytestmark = pytest.mark.fast


def caller(*roles: str, project: str | None = "p", system: bool = False, service: bool = False) -> Caller:
    return Caller(
        request_id="r",
        user_id="u",
        project_id=project,
        roles=frozenset(roles),
        system_scope=system,
        has_service_token=service,
    )


def allowed(action: str, *roles: str, project: str | None = "p", system: bool = False) -> bool:
    return Policy().allows(action, caller(*roles, project=project, system=system), {})


def test_every_action_of_every_route_has_a_rule() -> None:
    actions = {route.action for face in faces() for route in face.routes if route.action}
    assert uncovered(Policy(), actions) == []
    assert len(actions) > 100


def test_only_documents_need_no_right_of_their_own() -> None:
    bare = [route.path for face in faces() for route in face.routes if not route.action and not route.public]
    assert [path for path in bare if not path.startswith(("/schemas/", "/info/"))] == []


@pytest.mark.parametrize(
    ("action", "reader", "member", "service", "admin"),
    [
        ("volume:get", True, True, True, True),
        ("volume:create", False, True, False, True),
        ("volume:attachment_delete", False, True, True, True),
        ("volume_extension:services:index", False, False, False, True),
        ("compute:servers:show", True, True, True, True),
        ("compute:servers:delete", False, True, False, True),
        ("compute:flavors:create", False, False, False, True),
        ("volume:freeze_host", False, False, False, True),
        ("image:deactivate", False, True, False, True),
        ("identity:create_user", False, False, False, True),
        ("identity:list_roles", True, True, True, True),
    ],
)
def test_roles(action: str, reader: bool, member: bool, service: bool, admin: bool) -> None:
    assert allowed(action, "reader") is reader
    assert allowed(action, "member", "reader") is member
    assert allowed(action, "service") is service
    assert allowed(action, "admin", "member", "reader") is admin
    assert allowed(action) is (action == "identity:list_roles")


def test_who_makes_something_needs_a_project() -> None:
    for action in ("volume:create", "volume:create_snapshot", "compute:servers:create", "image:create"):
        assert not allowed(action, "admin", "member", project=None, system=True)
    assert allowed("volume:delete", "admin", project=None, system=True)


def test_own_things() -> None:
    policy, somebody = Policy(), caller("member", "reader")
    assert policy.allows("identity:get_user", somebody, {"user_id": "u"})
    assert not policy.allows("identity:get_user", somebody, {"user_id": "other"})
    assert policy.allows("identity:get_project", somebody, {"project_id": "p"})
    assert not policy.allows("identity:get_project", caller(project=None), {})


def test_the_longest_pattern_counts() -> None:
    assert Policy().text("volume:attachment_get_all") == RULES["volume:attachment_get*"]
    assert Policy().text("volume:attachment_update") == RULES["volume:attachment_*"]


@pytest.mark.parametrize(
    ("action", "needed"),
    [
        ("volume_extension:type_create", "needs: role:admin."),
        ("volume:attachment_update", "needs: (role:admin or (role:member and project)) or role:service."),
    ],
)
def test_a_refusal_says_what_would_be_needed(action: str, needed: str) -> None:
    with pytest.raises(Forbidden) as refused:
        Policy().enforce(action, caller("nobody"), {})
    assert needed in refused.value.message


def test_a_file_replaces_single_rules(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text('"volume:create" = "role:admin or (role:creator and not role:reader)"\n')
    policy = Policy.load(path)
    assert policy.allows("volume:create", caller("creator"), {})
    assert not policy.allows("volume:create", caller("creator", "reader"), {})
    assert policy.allows("volume:delete", caller("member"), {})
    with pytest.raises(Forbidden, match=r"volume:create .*\(role:creator"):
        policy.enforce("volume:create", caller("member"), {})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('"volume:create" = "role:admin or"', "ends too early"),
        ('"volume:create" = "(role:admin"', "closing parenthesis"),
        ('"volume:create" = "role:admin role:member"', "not understood at 'role:member'"),
        ('"volume:create" = "everybody"', "knows no 'everybody'"),
        ('"volume:create" = "@nobody"', "refers to '@nobody', which is not there"),
        ('"@member" = "@reader or @member"', "refers to itself"),
        ('"volume:create" = "role:admin; drop"', "not understood"),
        ('"volume:create" = 7', "must be a text"),
        ("nonsense", "cannot be read"),
    ],
)
def test_a_rule_that_cannot_be_used_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(text)
    with pytest.raises(PolicyError) as refused:
        Policy.load(path)
    assert said in str(refused.value)
