"""A look at the cloud by plain HTTP, for waiting and checking between the commands that are shown."""

from typing import Any

import httpx

from tests.support.waiting import wait_until

PATIENCE = 30.0
VERSIONS = "volume 3.70, compute 2.90"


class Eyes:
    """Asks as one user. Answers are the APIs' own JSON; None where the API says 404."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        self._urls: dict[str, str] = {}
        self._client = httpx.Client(timeout=60)
        domain = {"name": "Default"}
        user = {"name": environment["OS_USERNAME"], "domain": domain, "password": environment["OS_PASSWORD"]}
        body = {
            "auth": {
                "identity": {"methods": ["password"], "password": {"user": user}},
                "scope": {"project": {"name": environment["OS_PROJECT_NAME"], "domain": domain}},
            }
        }
        answer = self._client.post(f"{environment['OS_AUTH_URL']}/auth/tokens", json=body).raise_for_status()
        self._client.headers["X-Auth-Token"] = answer.headers["X-Subject-Token"]
        self._client.headers["OpenStack-API-Version"] = VERSIONS
        for service in answer.json()["token"]["catalog"]:
            for endpoint in service["endpoints"]:
                if endpoint["interface"] == "public":
                    self._urls[service["type"]] = endpoint["url"].rstrip("/")

    def close(self) -> None:
        self._client.close()

    def get(self, service: str, path: str) -> dict[str, Any] | None:
        """GET below a service's URL: "block-storage" or "compute"."""
        answer = self._client.get(self._urls[service] + path)
        if answer.status_code == 404:
            return None
        decoded: dict[str, Any] = answer.raise_for_status().json()
        return decoded

    def post(self, service: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """POST below a service's URL; what it answered. Raises httpx.HTTPStatusError."""
        decoded: dict[str, Any] = self._client.post(self._urls[service] + path, json=body).raise_for_status().json()
        return decoded

    def delete(self, service: str, path: str) -> None:
        """DELETE below a service's URL; what is gone already is fine. Raises httpx.HTTPStatusError."""
        answer = self._client.delete(self._urls[service] + path)
        if answer.status_code != 404:
            answer.raise_for_status()

    def volume(self, volume_id: str) -> dict[str, Any] | None:
        found = self.get("block-storage", f"/volumes/{volume_id}")
        return None if found is None else found["volume"]

    def volumes(self) -> list[dict[str, Any]]:
        found = self.get("block-storage", "/volumes/detail")
        return [] if found is None else found["volumes"]

    def attachments(self) -> list[dict[str, Any]]:
        found = self.get("block-storage", "/attachments")
        return [] if found is None else found["attachments"]

    def server(self, server_id: str) -> dict[str, Any] | None:
        found = self.get("compute", f"/servers/{server_id}")
        return None if found is None else found["server"]

    def server_volumes(self, server_id: str) -> set[str]:
        """Ids of the volumes that compute says the server has."""
        server = self.server(server_id)
        return set() if server is None else {one["id"] for one in server["os-extended-volumes:volumes_attached"]}

    def status(self, volume_id: str) -> str:
        """The volume's status, "gone" when there is none."""
        found = self.volume(volume_id)
        return "gone" if found is None else found["status"]

    def wait_for_volume(self, volume_id: str, status: str = "available", patience: float = PATIENCE) -> None:
        """Until the volume has the status. Raises AssertionError with the one that it has."""
        wait_until(lambda: self.status(volume_id) == status, patience, f"volume {volume_id} becomes {status}")

    def wait_for_server(self, server_id: str, status: str) -> None:
        def reached() -> bool:
            found = self.server(server_id)
            now = "gone" if found is None else found["status"]
            assert now != "ERROR" or status == "ERROR", f"server {server_id} is in ERROR: {found}"
            return now == status

        wait_until(reached, PATIENCE, f"server {server_id} becomes {status}")
