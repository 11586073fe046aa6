"""Identity with the stock clients on a running cloud: a user's programs, what ends them, and what commands list."""

import json
import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.demo.cloud import Cloud
from tests.demo.narration import Narrator
from tests.demo.shell import SCRIPTS, Shell

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]

RULES = [
    {"service": "volumev3", "method": "GET", "path": "/v3/*/volumes/**"},
    {"service": "block-storage", "method": "GET", "path": "/v3/{project_id}/volumes/{volume_id}"},
]


class Terminals:
    """Shells of the cloud's users, and of programs with application credentials."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.admin, self.demo = self.shell(cloud.user("admin")), self.shell(cloud.user("demo"))

    def shell(self, environment: dict[str, str]) -> Shell:
        return Shell(Narrator(), environment, self.cloud.state)

    def user(self, name: str, password: str, project: str) -> Shell:
        changed = {"OS_USERNAME": name, "OS_PASSWORD": password, "OS_PROJECT_NAME": project}
        return self.shell({**self.cloud.user("demo"), **changed})

    def program(self, credential: dict[str, Any]) -> Shell:
        """With nothing but the credential, as one exports it."""
        base = self.cloud.user("demo")
        return self.shell(
            {
                "OS_AUTH_TYPE": "v3applicationcredential",
                "OS_AUTH_URL": base["OS_AUTH_URL"],
                "OS_REGION_NAME": base["OS_REGION_NAME"],
                "OS_IDENTITY_API_VERSION": "3",
                "OS_APPLICATION_CREDENTIAL_ID": credential["ID"],
                "OS_APPLICATION_CREDENTIAL_SECRET": credential["Secret"],
            }
        )


@pytest.fixture(scope="module")
def terminals() -> Iterator[Terminals]:
    with tempfile.TemporaryDirectory(prefix="pumice-identity-") as directory:
        cloud = Cloud(Path(directory))
        try:
            cloud.start()
            yield Terminals(cloud)
        finally:
            cloud.close()


def answer(shell: Shell, line: str) -> Any:
    """What a command answers in JSON."""
    return json.loads(shell.run(f"{line} -f json", quiet=True))


def answers(shell: Shell, *lines: str) -> list[Any]:
    """What several commands answer, run in one process (without the word openstack)."""
    said = shell.run(f"python {SCRIPTS / 'commands.py'} {shlex.join(lines)}", shown="\n     $ ".join(lines))
    found: list[Any] = json.loads(said.splitlines()[-1])
    return found


def column(found: list[dict[str, Any]], name: str) -> list[str]:
    return sorted(str(row[name]) for row in found)


def test_a_program_works_with_an_application_credential_until_its_user_may_not(terminals: Terminals) -> None:
    admin = terminals.admin
    answers(
        admin,
        "project create team --description 'A team'",
        "user create tina --project team --password first",
        "role add --user tina --project team member",
    )
    tina = terminals.user("tina", "first", "team")
    made = answer(tina, "openstack application credential create pipeline --description CI")
    program = terminals.program(made)

    auth_url, region = program.environment["OS_AUTH_URL"], program.environment["OS_REGION_NAME"]
    told = json.loads(tina.script("as_program.py", auth_url, region, made["ID"], made["Secret"], "by-sdk"))
    assert told == {"project_id": made["Project ID"], "credentials": ["pipeline"]}
    program.run("openstack volume create --size 1 by-program")
    assert "unrestricted" in program.run("openstack application credential create another", fails=True)

    token = tina.run("openstack token issue -f value -c id").strip()
    tina.run("openstack user password set --original-password first --password second")
    with_token = terminals.shell(
        {
            "OS_AUTH_TYPE": "token",
            "OS_TOKEN": token,
            "OS_AUTH_URL": auth_url,
            "OS_IDENTITY_API_VERSION": "3",
            "OS_PROJECT_ID": made["Project ID"],
        }
    )
    with_token.run("openstack volume list", fails=True)
    tina.run("openstack volume list", fails=True)
    assert column(answer(program, "openstack volume list"), "Name") == ["by-program"]

    admin.run("openstack user set tina --disable")
    assert "HTTP 401" in program.run("openstack volume list", fails=True)
    admin.run("openstack user set tina --enable --password third")
    program.run("openstack volume delete by-program")
    answers(admin, "role remove --user tina --project team member", "role add --user tina --project team reader")
    assert "HTTP 401" in program.run("openstack volume list", fails=True)
    tina = terminals.user("tina", "third", "team")
    assert answer(tina, "openstack application credential list") == []


def test_access_rules_limit_what_a_program_asks(terminals: Terminals) -> None:
    demo = terminals.demo
    rules = shlex.quote(json.dumps(RULES))
    made = answer(demo, f"openstack application credential create limited --access-rules {rules}")
    assert [rule["path"] for rule in made["Access Rules"]] == [rule["path"] for rule in RULES]
    program = terminals.program(made)
    program.run("openstack volume list")
    for line in ("volume create --size 1 no", "server list", "image list"):
        assert "access rules" in program.run(f"openstack {line}", fails=True)

    ids = column(answer(demo, "openstack access rule list"), "ID")
    assert len(ids) == 2
    assert "is used" in demo.run(f"openstack access rule delete {ids[0]}", fails=True)
    shown, _ = answers(demo, f"access rule show {ids[0]} -f json", "application credential delete limited")
    assert shown["Method"] == "GET"
    assert "HTTP 401" in program.run("openstack volume list", fails=True)
    assert answers(demo, f"access rule delete {' '.join(ids)}", "access rule list -f json")[1] == []


def test_a_program_may_choose_its_secret_and_go_by_its_name(terminals: Terminals) -> None:
    demo = terminals.demo
    line = "openstack application credential create named --secret 'chosen by hand' --role reader"
    made = answer(demo, f"{line} --unrestricted --expiration 2031-02-03T04:05:06")
    assert (made["Unrestricted"], made["Expires At"]) == (True, "2031-02-03T04:05:06.000000")
    environment = terminals.program(made).environment
    del environment["OS_APPLICATION_CREDENTIAL_ID"]
    by_name = terminals.shell(
        {
            **environment,
            "OS_APPLICATION_CREDENTIAL_NAME": "named",
            "OS_USERNAME": "demo",
            "OS_USER_DOMAIN_NAME": "Default",
        }
    )
    assert "403" in by_name.run("openstack volume create --size 1 no", fails=True)
    project_id, shown, *_ = answers(
        by_name,
        "token issue -f value -c project_id",
        "application credential show named -f json",
        "application credential create made-by-it",
        "application credential delete made-by-it named",
    )
    assert project_id.strip() == made["Project ID"]
    assert [role["name"] for role in shown["Roles"]] == ["reader"]
    by_name.run("openstack token issue", fails=True)


def test_what_commands_list(terminals: Terminals) -> None:
    types = ["block-storage", "compute", "identity", "image", "metering", "volumev3"]
    assigned = "role assignment list --names -f json"
    services, endpoints, one, groups, users, direct, effective, system, domain = answers(
        terminals.admin,
        "service list -f json",
        "endpoint list -f json",
        "endpoint list --service keystone --interface public -f json",
        "group list -f json",
        "user list --project demo -f json",
        f"{assigned} --user demo --project demo",
        f"{assigned} --user demo --effective",
        f"{assigned} --system all",
        f"{assigned} --domain Default",
    )
    assert column(services, "Type") == types
    assert (len(endpoints), len(one), groups) == (3 * len(types), 1, [])
    assert column(users, "Name") == ["admin", "demo"]
    assert column(direct, "Role") == ["member"]
    assert column(effective, "Role") == ["member", "reader"]
    assert column(system, "User") == column(domain, "User") == ["admin@Default"]
    catalogue, regions, projects = answers(
        terminals.demo, "catalog list -f json", "region list -f json", "project list --my-projects -f json"
    )
    assert column(catalogue, "Type") == types
    assert column(regions, "Region") == ["RegionOne"]
    assert column(projects, "Name") == ["demo"]


def test_a_domain_and_a_project_come_and_go(terminals: Terminals) -> None:
    admin = terminals.admin
    *_, shown, listed, _ = answers(
        admin,
        "domain create lab --description Lab",
        "project create --domain lab --tag one --tag two bench",
        "project set --domain lab --description Bench --tag three bench",
        "project set --domain lab --remove-tag one bench",
        "project show --domain lab bench -f json",
        "project list --tags two,three -f json",
        "project delete --domain lab bench",
    )
    assert (shown["description"], shown["tags"]) == ("Bench", ["three", "two"])
    assert column(listed, "Name") == ["bench"]
    admin.run("openstack domain delete lab", fails=True)
    _, shown, _ = answers(
        admin,
        "domain set lab --disable --name laboratory",
        "domain show laboratory -f json",
        "domain delete laboratory",
    )
    assert shown["enabled"] is False
    given = admin.run("openstack token issue -f value -c id").strip()
    admin.run(f"openstack token revoke {given}")
    assert "404" in admin.run(f"openstack token revoke {given}", fails=True)
