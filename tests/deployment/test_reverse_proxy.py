"""nginx in front, with the file of `deploy/nginx`: TLS, below a path, and no word of a client about itself counts."""

import json
import re
import shutil
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.deployment.certificates import Authority
from tests.deployment.cloud import DeployedCloud
from tests.support.ports import free_port, is_listening
from tests.support.processes import Processes
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real

SAMPLE = Path(__file__).parents[2] / "deploy" / "nginx" / "pumice.conf"
NGINX = """
daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    {sample}
}}
"""


class Proxied:
    """A cloud behind nginx."""

    def __init__(self, cloud: DeployedCloud, http: httpx.Client, url: str) -> None:
        self.cloud, self.http, self.url = cloud, http, url

    @property
    def direct(self) -> str:
        return f"http://{self.cloud.address}"


@pytest.fixture(params=["by its headers", "by public_url"])
def proxied(request: pytest.FixtureRequest, processes: Processes, tmp_path: Path) -> Iterator[Proxied]:
    """The sample configuration with a test's address, files and ports; once without `public_url`."""
    authority = Authority(tmp_path)
    authority.issue(tmp_path / "cloud.pem", tmp_path / "cloud.key")
    port = free_port()
    url = f"https://127.0.0.1:{port}/pumice"
    settings = f'trusted_proxies = ["127.0.0.0/30"]\ntls_ca = "{authority.file}"\n'
    if request.param == "by public_url":
        settings += f'public_url = "{url}"\n'
    cloud = DeployedCloud(processes, tmp_path, settings)
    sample = SAMPLE.read_text().replace("listen 443", f"listen 127.0.0.1:{port}").replace("/etc/pumice", str(tmp_path))
    text = NGINX.format(directory=tmp_path, sample=sample.replace("127.0.0.1:8776", cloud.address))
    (tmp_path / "nginx.conf").write_text(text)
    cloud.start()
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin:/sbin:/bin")
    assert nginx, "nginx is not installed: make setup"
    processes.start(nginx, "-p", tmp_path, "-e", "stderr", "-c", tmp_path / "nginx.conf")
    wait_until(lambda: is_listening(port), 20, "nginx listens")
    clouds = cloud.state / "clouds.yaml"
    clouds.write_text(re.sub(r'auth_url: ".*"', f'auth_url: "{url}/identity/v3"', clouds.read_text()))
    with httpx.Client(verify=ssl.create_default_context(cafile=str(authority.file)), timeout=30) as http:
        yield Proxied(cloud, http, url)


def urls(value: Any) -> set[str]:
    """Every URL in an answer."""
    return set(re.findall(r'https?://[^"\s\\]+', json.dumps(value)))


def test_the_stock_client_lives_behind_it(proxied: Proxied, tmp_path: Path) -> None:
    run = proxied.cloud.openstack
    (tmp_path / "bytes").write_bytes(b"pumice" * 200_000)
    made = run("image", "create", "--file", str(tmp_path / "bytes"), "--disk-format", "raw", "stone")
    assert made.returncode == 0, made.stderr
    assert run("image", "save", "--file", str(tmp_path / "again"), "stone").returncode == 0
    assert (tmp_path / "again").read_bytes() == (tmp_path / "bytes").read_bytes()
    created = run("volume", "create", "--size", "1", "--image", "stone", "first")
    assert created.returncode == 0, created.stderr
    assert "first" in run("volume", "list").stdout
    assert run("server", "list").returncode == 0
    assert proxied.url in run("versions", "show", "-f", "json").stdout


def test_every_url_in_an_answer_is_the_public_one(proxied: Proxied) -> None:
    http, url = proxied.http, proxied.url
    token = proxied.cloud.login(http, url)
    for name in ("one", "two", "three"):
        assert http.post(
            f"{url}/volume/v3/volumes", headers=token, json={"volume": {"size": 1, "name": name}}
        ).is_success
    image = http.post(f"{url}/image/v2/images", headers=token, json={"name": "empty"})
    assert image.headers["Location"].startswith(f"{url}/image/v2/images/")
    found: set[str] = set()
    for path in (
        "/", "/identity/", "/identity/v3/", "/volume/", "/volume/v3/", "/image/", "/compute/", "/compute/v2.1/",
        "/metering/", "/volume/openapi.json", "/identity/v3/auth/catalog", "/volume/v3/volumes/detail?limit=2",
        "/compute/v2.1/flavors", "/image/v2/images", "/identity/v3/auth/projects",
    ):  # fmt: skip
        answer = http.get(f"{url}{path}", headers=token)
        assert answer.status_code in (200, 300), (path, answer.text)
        found |= {one for one in urls(answer.json()) if "openstack.org" not in one}
    assert len(found) > 20
    assert {one for one in found if not one.startswith(f"{url}/")} == set()

    page = http.get(f"{url}/volume/v3/volumes?limit=2", headers=token).json()
    following = next(one["href"] for one in page["volumes_links"] if one["rel"] == "next")
    rest = http.get(following, headers=token).json()["volumes"]
    assert len({one["id"] for one in page["volumes"] + rest}) == 3


HOSTILE = {
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "http",
    "X-Forwarded-Prefix": "/evil",
    "X-Forwarded-For": "198.51.100.66",
    "Forwarded": "for=198.51.100.66;host=evil.example;proto=http",
}


def test_a_clients_own_headers_do_not_get_through(proxied: Proxied) -> None:
    answer = proxied.http.get(f"{proxied.url}/volume/v3/", headers=HOSTILE)
    assert urls(answer.json()) == {f"{proxied.url}/volume/v3/"}


def test_a_client_that_passes_by_the_proxy_is_not_believed(proxied: Proxied) -> None:
    """127.0.0.9 is none of the trusted addresses."""
    with httpx.Client(transport=httpx.HTTPTransport(local_address="127.0.0.9")) as stranger:
        found = urls(stranger.get(f"{proxied.direct}/volume/v3/", headers=HOSTILE).json())
    assert found <= {f"{proxied.direct}/volume/v3/", f"{proxied.url}/volume/v3/"}
