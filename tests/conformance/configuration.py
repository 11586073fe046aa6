"""Fills in tempest.conf from what the cloud has."""

import re
from pathlib import Path

from tests.conformance.cloud import VOLUME_TYPES, Cloud
from tests.conformance.pumice import BACKENDS

TEMPLATE = Path(__file__).with_name("tempest.conf.template")


def write_configuration(cloud: Cloud, password: str, directory: Path) -> None:
    """Prepare the cloud and write `directory`/tempest.conf."""
    images = cloud.images()
    flavors = cloud.flavors()
    pools = cloud.pools(len(BACKENDS))
    backends = sorted({pool["volume_backend_name"] for pool in pools})
    locks = directory / "locks"
    locks.mkdir(exist_ok=True)
    values = {
        "ADMIN_PASSWORD": password,
        "AUTH_URL": cloud.auth_url,
        "BACKEND_NAMES": ",".join(backends),
        "FLAVOR_REF": flavors[0],
        "FLAVOR_REF_ALT": flavors[1],
        "IMAGE_REF": images[0],
        "IMAGE_REF_ALT": images[1],
        "LOCK_PATH": str(locks),
        "LOG_DIR": str(directory),
        "MULTIATTACH_TYPE": cloud.multiattach_type(),
        "MULTI_BACKEND": str(len(backends) > 1).lower(),
        "REGION": cloud.region(),
        "STORAGE_PROTOCOL": pools[0]["storage_protocol"],
        "VENDOR_NAME": pools[0]["vendor_name"],
        "VOLUME_TYPE": cloud.service(*VOLUME_TYPES)[0],
    }
    text = re.sub(r"@([A-Z_]+)@", lambda name: values[name.group(1)].replace("$", "$$"), TEMPLATE.read_text())
    (directory / "tempest.conf").write_text(text)
