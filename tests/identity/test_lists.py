"""What the commands of the clients list: the catalogue, assignments with their filters, groups, tags of projects."""

from typing import Any

import httpx
import pytest

from tests.api.cloud import ToyCloud

pytestmark = pytest.mark.real


class Reader:
    """Asks the identity face for lists, as the administrator."""

    def __init__(self, cloud: ToyCloud, token: dict[str, str]) -> None:
        self.cloud, self.token = cloud, token

    def get(self, path: str, **params: str) -> httpx.Response:
        return self.cloud.http.get(f"/identity/v3{path}", headers=self.token, params=params)

    def list(self, plural: str, **params: str) -> list[dict[str, Any]]:
        answer = self.get(f"/{plural}", **params)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()[plural]
        return found


@pytest.fixture
def reader(cloud: ToyCloud, admin: dict[str, str]) -> Reader:
    return Reader(cloud, admin)


def test_services_endpoints_and_regions_are_those_of_the_catalogue(cloud: ToyCloud, reader: Reader) -> None:
    catalogue = reader.get("/auth/catalog").json()["catalog"]
    services = {one["id"]: one for one in reader.list("services")}
    assert {one["id"]: (one["type"], one["name"]) for one in catalogue} == {
        identifier: (one["type"], one["name"]) for identifier, one in services.items()
    }
    endpoints = {one["id"]: one for one in reader.list("endpoints")}
    assert {point["id"] for one in catalogue for point in one["endpoints"]} == set(endpoints)
    assert all(one["service_id"] in services and one["enabled"] for one in endpoints.values())
    assert [one["id"] for one in reader.list("regions")] == ["RegionOne"]
    for plural, found in (("services", services), ("endpoints", endpoints), ("regions", {"RegionOne": None})):
        for identifier in found:
            assert reader.get(f"/{plural}/{identifier}").json()[plural[:-1]]["id"] == identifier
        assert reader.get(f"/{plural}/unknown").status_code == 404
        refused = cloud.http.post(f"/identity/v3/{plural}", headers=reader.token, json={plural[:-1]: {}})
        assert refused.status_code == 405


def test_services_and_endpoints_are_filtered(reader: Reader) -> None:
    (volume,) = reader.list("services", type="volumev3")
    assert reader.list("services", name="cinderv3") == [volume]
    (public,) = reader.list("endpoints", service_id=volume["id"], interface="public")
    assert public["url"].endswith("/volume/v3/%(project_id)s")
    assert reader.list("endpoints", region_id="elsewhere") == []


def test_assignments_by_every_filter(cloud: ToyCloud, admin: dict[str, str], reader: Reader) -> None:
    user_id, name, _ = cloud.user(admin, "member")
    role, project = cloud.id_of(admin, "roles", "member"), cloud.id_of(admin, "projects", "demo")
    for place in ("/system", "/domains/default"):
        assert cloud.http.put(f"/identity/v3{place}/users/{user_id}/roles/{role}", headers=admin).status_code == 204

    def found(**params: str) -> list[str]:
        return sorted(next(iter(one["scope"])) for one in reader.list("role_assignments", **params))

    mine = {"user.id": user_id}
    assert found(**mine) == ["domain", "project", "system"]
    assert found(**mine, **{"role.id": role}) == ["domain", "project", "system"]
    assert found(**mine, **{"role.id": cloud.id_of(admin, "roles", "admin")}) == []
    assert found(**mine, **{"scope.project.id": project}) == ["project"]
    assert found(**mine, **{"scope.domain.id": "default"}) == ["domain"]
    assert found(**mine, **{"scope.system": "all"}) == ["system"]
    assert found(**mine, **{"scope.OS-INHERIT:inherited_to": "projects"}) == []
    assert found(**{"group.id": "0" * 32}) == []
    both = reader.get("/role_assignments", **{"scope.project.id": project, "scope.domain.id": "default"})
    assert both.status_code == 400
    (one,) = reader.list("role_assignments", **mine, **{"scope.project.id": project}, include_names="")
    assert (one["user"]["name"], one["role"]["name"], one["scope"]["project"]["name"]) == (name, "member", "demo")


def test_effective_assignments_hold_implied_roles(cloud: ToyCloud, admin: dict[str, str], reader: Reader) -> None:
    user_id, _, _ = cloud.user(admin, "member")
    cloud.grant(admin, user_id, "reader", "demo")
    mine = {"user.id": user_id, "include_names": "True"}
    assert sorted(one["role"]["name"] for one in reader.list("role_assignments", **mine)) == ["member", "reader"]
    cloud.http.delete(cloud.grant(admin, user_id, "reader", "demo"), headers=admin)
    assert [one["role"]["name"] for one in reader.list("role_assignments", **mine)] == ["member"]
    effective = reader.list("role_assignments", **mine, effective="True")
    assert sorted(one["role"]["name"] for one in effective) == ["member", "reader"]
    implied = cloud.id_of(admin, "roles", "reader")
    only = reader.list("role_assignments", **mine, effective="True", **{"role.id": implied})
    assert [one["role"]["id"] for one in only] == [implied]


def test_which_role_implies_which(reader: Reader) -> None:
    found = {
        one["prior_role"]["name"]: [role["name"] for role in one["implies"]] for one in reader.list("role_inferences")
    }
    assert found == {"admin": ["member", "reader"], "member": ["reader"]}


def test_there_are_no_groups_and_clients_are_told_so(cloud: ToyCloud, admin: dict[str, str], reader: Reader) -> None:
    user_id, name, password = cloud.user(admin)
    assert reader.list("groups") == []
    assert reader.list("groups", name="any") == []
    own = Reader(cloud, cloud.token(name, "demo", password))
    assert own.get(f"/users/{user_id}/groups").json()["groups"] == []
    assert own.get("/groups").status_code == 403
    assert reader.get(f"/users/{'0' * 32}/groups").status_code == 404
    group, project = "0" * 32, cloud.id_of(admin, "projects", "demo")
    for path in (f"/groups/{group}", f"/groups/{group}/users", f"/projects/{project}/groups/{group}/roles"):
        assert reader.get(path).status_code == 404
    role = cloud.id_of(admin, "roles", "reader")
    grant = f"/identity/v3/projects/{project}/groups/{group}/roles/{role}"
    assert cloud.http.put(grant, headers=admin).status_code == 404
    made = cloud.http.post("/identity/v3/groups", headers=admin, json={"group": {"name": "g"}})
    assert (made.status_code, "no groups" in made.json()["error"]["message"]) == (403, True)


@pytest.mark.parametrize(
    "path",
    [
        "/OS-FEDERATION/identity_providers",
        "/OS-FEDERATION/projects",
        "/OS-TRUST/trusts",
        "/auth/OS-FEDERATION/saml2",
        "/credentials",
        "/limits",
        "/registered_limits",
        "/policies",
        "/v2.0/security-groups",
    ],
)
def test_what_is_not_there_is_404_in_the_envelope(reader: Reader, path: str) -> None:
    answer = reader.get(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, 404)


def test_a_project_has_tags(cloud: ToyCloud, admin: dict[str, str], reader: Reader) -> None:
    http = cloud.http
    body = {"project": {"name": "tagged", "tags": ["b", "a", "a"]}}
    made = http.post("/identity/v3/projects", headers=admin, json=body).json()["project"]
    assert made["tags"] == ["a", "b"]
    one = f"/identity/v3/projects/{made['id']}"
    assert http.put(f"{one}/tags/c d", headers=admin).status_code == 201
    assert http.get(f"{one}/tags", headers=admin).json()["tags"] == ["a", "b", "c d"]
    assert http.get(f"{one}/tags/a", headers=admin).status_code == 204
    assert http.delete(f"{one}/tags/a", headers=admin).status_code == 204
    assert [http.request(how, f"{one}/tags/a", headers=admin).status_code for how in ("GET", "DELETE")] == [404, 404]
    assert http.patch(one, headers=admin, json={"project": {"tags": ["x", "y"]}}).json()["project"]["tags"] == [
        "x",
        "y",
    ]

    def names(**params: str) -> list[str]:
        return [found["name"] for found in reader.list("projects", **params)]

    assert names(tags="x,y") == ["tagged"]
    assert names(tags="x,z") == []
    assert names(**{"tags-any": "x,z"}) == ["tagged"]
    assert "tagged" not in names(**{"not-tags": "x,y"})
    assert "tagged" in names(**{"not-tags": "x,z"})
    assert "tagged" not in names(**{"not-tags-any": "x,z"})
    assert http.put(f"{one}/tags", headers=admin, json={"tags": ["a,b"]}).status_code == 400
    assert http.put(f"{one}/tags", headers=admin, json={"tags": ["only"]}).json()["tags"] == ["only"]
    assert http.delete(f"{one}/tags", headers=admin).status_code == 204
    assert reader.get(f"/projects/{made['id']}").json()["project"]["tags"] == []


def test_a_projects_parent_is_its_domain_or_a_project_of_it(cloud: ToyCloud, admin: dict[str, str]) -> None:
    demo = cloud.id_of(admin, "projects", "demo")

    def make(**fields: Any) -> httpx.Response:
        return cloud.http.post("/identity/v3/projects", headers=admin, json={"project": fields})

    assert make(name="child", parent_id=demo).json()["project"]["parent_id"] == demo
    assert make(name="lost", parent_id="0" * 32).status_code == 400
    assert make(name="domain", is_domain=True).status_code == 400
