"""Extra specs against what pools say of themselves."""

import pytest

from pumice.block.capability_specs import refusal, satisfies
from pumice.block.model import GIB, Pool

pytestmark = pytest.mark.fast

POOL = Pool(
    name="node1@fast#pool",
    service_id="1",
    backend="node1@fast",
    backend_name="fast",
    capabilities={"storage_protocol": "file", "multiattach": True, "thin": True},
    total_bytes=100 * GIB,
    free_bytes=50 * GIB,
    allocated_bytes=0,
    reserved_percentage=0,
    reported_at=0,
)


@pytest.mark.parametrize(
    ("specs", "reason"),
    [
        ({}, None),
        ({"volume_backend_name": "fast"}, None),
        ({"capabilities:volume_backend_name": "fast"}, None),
        ({"volume_backend_name": "slow"}, "its volume_backend_name is fast, the type asks for slow"),
        ({"storage_protocol": "iSCSI"}, "its storage_protocol is file, the type asks for iSCSI"),
        ({"storage_protocol": "<or> iSCSI <or> file"}, None),
        ({"multiattach": "<is> True"}, None),
        ({"multiattach": "<is> False"}, "its multiattach is True, the type asks for <is> False"),
        ({"free_capacity_gb": ">= 50"}, None),
        ({"free_capacity_gb": ">= 51"}, "its free_capacity_gb is 50.0, the type asks for >= 51"),
        ({"spec1": "val1"}, "has no capability spec1, the type asks for val1"),
        ({"other:spec1": "val1", "RESKEY:availability_zones": "nova"}, None),
    ],
)
def test_a_pool_fits_or_says_why_not(specs: dict[str, str], reason: str | None) -> None:
    assert refusal(specs, POOL) == reason


@pytest.mark.parametrize(
    ("has", "wanted", "fits"),
    [
        (5, "= 4", True),
        (5, "== 4", False),
        (5, "!= 4", True),
        (5, "<= 4", False),
        ("five", ">= 4", False),
        ("b", "s> a", True),
        ("b", "s== a", False),
        ("abc", "<in> b", True),
        ("abc", "<all-in> a d", False),
        (True, "True", True),
        ("=", "=", True),
    ],
)
def test_operators(has: object, wanted: str, fits: bool) -> None:
    assert satisfies(has, wanted) is fits
