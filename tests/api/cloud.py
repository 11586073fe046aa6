"""A served toy cloud for tests: real HTTP, real tokens."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from tests.support.ports import free_port
from tests.support.processes import BIN, Process


class ToyCloud:
    """One API process over the identity face and the toys."""

    def __init__(self, state: Path, database_url: str, environment: Mapping[str, str] | None = None) -> None:
        self.state, self.database_url = state, database_url
        self.environment = dict(environment or {})
        self.count = 0
        self.started: list[Process] = []
        self.clients: list[httpx.Client] = []
        self.http = self.serve()

    def serve(self) -> httpx.Client:
        """One more API process over the same database."""
        port = free_port()
        command = [BIN / "python", "-m", "tests.api.toy", str(self.state), self.database_url, str(port), "access"]
        process = Process(
            command, self.state.parent / f"{self.state.name}-{len(self.started)}.log", environment=self.environment
        )
        self.started.append(process)
        process.wait_for_output("listening", 60)
        self.clients.append(httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30))
        return self.clients[-1]

    @property
    def logs(self) -> str:
        return "".join(process.output for process in self.started)

    def password_of(self, cloud: str) -> str:
        """The password in clouds.yaml."""
        text = (self.state / "clouds.yaml").read_text()
        found = re.search(rf"^  {cloud}:.*?password: \"(.*?)\"", text, re.MULTILINE | re.DOTALL)
        assert found
        return found[1]

    def login(
        self, user: str = "admin", password: str | None = None, scope: Any = "admin", **options: Any
    ) -> httpx.Response:
        """scope: a project's name, or an object of the API, or None."""
        if isinstance(scope, str):
            scope = {"project": {"name": scope, "domain": {"id": "default"}}}
        who = {"name": user, "domain": {"name": "Default"}, "password": password or self.password_of(user)}
        auth: dict[str, Any] = {"identity": {"methods": ["password"], "password": {"user": who}}}
        if scope is not None:
            auth["scope"] = scope
        client: httpx.Client = options.pop("client", self.http)
        return client.post("/identity/v3/auth/tokens", json={"auth": auth}, **options)

    def token(self, user: str = "admin", scope: Any = "admin", password: str | None = None) -> dict[str, str]:
        """The header of a new token."""
        answer = self.login(user, password, scope)
        assert answer.status_code == 201, answer.text
        return {"X-Auth-Token": answer.headers["X-Subject-Token"]}

    def user(self, admin: dict[str, str], role: str | None = "member", project: str = "demo") -> tuple[str, str, str]:
        """A fresh user with a role on a project: id, name, password."""
        self.count += 1
        name, password = f"user-{self.count}", f"pass word {self.count} ü!"
        made = self.http.post("/identity/v3/users", headers=admin, json={"user": {"name": name, "password": password}})
        assert made.status_code == 201, made.text
        identifier = made.json()["user"]["id"]
        if role is not None:
            self.grant(admin, identifier, role, project)
        return identifier, name, password

    def id_of(self, admin: dict[str, str], plural: str, name: str) -> str:
        found = self.http.get(f"/identity/v3/{plural}", headers=admin, params={"name": name}).json()[plural]
        assert len(found) == 1, found
        return str(found[0]["id"])

    def grant(self, admin: dict[str, str], user_id: str, role: str, project: str) -> str:
        """The path of the assignment, for taking it away."""
        place = f"/identity/v3/projects/{self.id_of(admin, 'projects', project)}"
        path = f"{place}/users/{user_id}/roles/{self.id_of(admin, 'roles', role)}"
        assert self.http.put(path, headers=admin).status_code == 204
        return path

    def toy(self, token: dict[str, str], name: str, **fields: Any) -> httpx.Response:
        body = {"toy": {"name": name, **fields}}
        return self.http.post("/volume/v3/toys", headers={"OpenStack-API-Version": "volume 3.30", **token}, json=body)

    def close(self) -> None:
        for client in self.clients:
            client.close()
        for process in self.started:
            process.end()
