"""TLS: the stock client checks our certificate, a renewed one is taken on SIGHUP, a broken one takes nothing away."""

import signal
import ssl
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.deployment.certificates import Authority
from tests.deployment.cloud import DeployedCloud
from tests.support.processes import BIN, Processes
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def cloud(processes: Processes, tmp_path: Path, authority: Authority) -> DeployedCloud:
    """Configured with a certificate; not started."""
    certificate, key = tmp_path / "cloud.pem", tmp_path / "cloud.key"
    authority.issue(certificate, key)
    settings = f'tls_certificate = "{certificate}"\ntls_key = "{key}"\ntls_ca = "{authority.file}"'
    return DeployedCloud(processes, tmp_path, settings)


def common_name(cloud: DeployedCloud, authority: Authority) -> str:
    """Of the certificate that a new connection gets."""
    context = ssl.create_default_context(cafile=str(authority.file))
    with httpx.Client(verify=context) as http, http.stream("GET", f"https://{cloud.address}/healthz") as answer:
        certificate = answer.extensions["network_stream"].get_extra_info("ssl_object").getpeercert()
    return str(dict(pair[0] for pair in certificate["subject"])["commonName"])


def test_the_stock_client_checks_the_certificate(cloud: DeployedCloud, authority: Authority, tmp_path: Path) -> None:
    cloud.start()
    assert cloud.openstack("volume", "create", "--size", "1", "first").returncode == 0
    shown = cloud.openstack("catalog", "list", "-f", "json")
    assert f"https://{cloud.address}/volume/v3" in shown.stdout
    assert "http://" not in shown.stdout

    clouds = cloud.state / "clouds.yaml"
    assert clouds.read_text().count(f'cacert: "{authority.file}"') == 4
    other = Authority(tmp_path)
    refused = cloud.openstack("--os-cacert", str(other.file), "volume", "list")
    assert refused.returncode != 0
    assert "certificate verify failed" in refused.stderr.lower()


def test_a_renewed_certificate_is_taken_on_sighup(cloud: DeployedCloud, authority: Authority, tmp_path: Path) -> None:
    process = cloud.start()
    before = common_name(cloud, authority)
    authority.issue(tmp_path / "cloud.pem", tmp_path / "cloud.key")
    process.send(signal.SIGHUP)
    wait_until(lambda: common_name(cloud, authority) != before, 20, "new connections get the new certificate")
    renewed = common_name(cloud, authority)

    (tmp_path / "cloud.key").write_text("half a key")
    process.send(signal.SIGHUP)
    process.wait_for_output("the certificate in use is kept", 20)
    assert common_name(cloud, authority) == renewed


def test_a_certificate_that_cannot_be_used_is_an_error_of_the_start(
    cloud: DeployedCloud, authority: Authority, tmp_path: Path
) -> None:
    def start() -> str:
        command = [BIN / "pumice", "serve", "--state", cloud.state]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1
        return done.stderr

    authority.issue(tmp_path / "other.pem", tmp_path / "cloud.key")
    assert "the key does not belong to the certificate" in start()
    (tmp_path / "cloud.pem").unlink()
    assert "cloud.pem cannot be read: No such file or directory" in start()
