"""What Tempest expects to find in a cloud, made through the cloud's own APIs."""

from typing import Any

import httpx

from tests.support.waiting import wait_until

VOLUME_TYPES = ("block-storage", "volumev3", "volume")


class Cloud:
    """The administrator's session with one cloud, addressed by its catalogue."""

    def __init__(self, auth_url: str, password: str) -> None:
        self.auth_url = auth_url.rstrip("/")
        domain = {"name": "Default"}
        user = {"name": "admin", "domain": domain, "password": password}
        body = {
            "auth": {
                "identity": {"methods": ["password"], "password": {"user": user}},
                "scope": {"project": {"name": "admin", "domain": domain}},
            }
        }
        answer = httpx.post(f"{self.auth_url}/auth/tokens", json=body, timeout=30).raise_for_status()
        self.client = httpx.Client(headers={"X-Auth-Token": answer.headers["X-Subject-Token"]}, timeout=60)
        self.catalogue: list[dict[str, Any]] = answer.json()["token"]["catalog"]

    def region(self) -> str:
        return str(self.catalogue[0]["endpoints"][0]["region"])

    def service(self, *types: str) -> tuple[str, str]:
        """(type, public URL) of the first of these service types that the catalogue has."""
        for wanted in types:
            for service in self.catalogue:
                if service["type"] == wanted:
                    public = [one["url"] for one in service["endpoints"] if one["interface"] == "public"]
                    return wanted, public[0].rstrip("/")
        raise AssertionError(f"no service of the types {types} in the catalogue")

    def _json(self, method: str, url: str, **arguments: Any) -> dict[str, Any]:
        answer = self.client.request(method, url, **arguments)
        if answer.is_error:
            raise AssertionError(f"{method} {url}: {answer.status_code} {answer.text[:300]}")
        decoded: dict[str, Any] = answer.json() if answer.content else {}
        return decoded

    def images(self) -> list[str]:
        """Ids of two public raw images of 1 MiB."""
        url = self.service("image")[1]
        url = url if url.endswith("/v2") else f"{url}/v2"
        ids = []
        for letter in "ab":
            body = {
                "name": f"conformance-{letter}",
                "disk_format": "raw",
                "container_format": "bare",
                "visibility": "public",
            }
            image = self._json("POST", f"{url}/images", json=body)["id"]
            data = f"conformance image {letter} ".encode().ljust(512, b".") * 2048
            headers = {"Content-Type": "application/octet-stream"}
            self._json("PUT", f"{url}/images/{image}/file", content=data, headers=headers)
            ids.append(image)
        return ids

    def flavors(self) -> list[str]:
        """Ids of the two smallest flavors, made where there are fewer."""
        url = self.service("compute")[1]
        there = self._json("GET", f"{url}/flavors/detail")["flavors"]
        ids = [flavor["id"] for flavor in sorted(there, key=lambda flavor: (flavor["ram"], flavor["vcpus"]))]
        while len(ids) < 2:
            number = len(ids) + 1
            wanted = {"name": f"conformance.{number}", "ram": 64 * number, "vcpus": 1, "disk": 0}
            ids.append(self._json("POST", f"{url}/flavors", json={"flavor": wanted})["flavor"]["id"])
        return ids[:2]

    def multiattach_type(self) -> str:
        """Id of a volume type whose volumes can be attached many times."""
        url = self.service(*VOLUME_TYPES)[1]
        wanted = {"name": "conformance-multiattach", "extra_specs": {"multiattach": "<is> True"}}
        return str(self._json("POST", f"{url}/types", json={"volume_type": wanted})["volume_type"]["id"])

    def pools(self, number: int) -> list[dict[str, Any]]:
        """The capabilities of each pool, once that many have been reported."""
        wait_until(lambda: len(self._pools()) >= number, 60, f"{number} pools are reported")
        return self._pools()

    def _pools(self) -> list[dict[str, Any]]:
        url = self.service(*VOLUME_TYPES)[1]
        answer = self._json("GET", f"{url}/scheduler-stats/get_pools", params={"detail": "True"})
        return [pool["capabilities"] for pool in answer["pools"]]
