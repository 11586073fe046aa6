"""A user does what `pumice serve` proposes, at once after it has said that it is ready."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.demo.cloud import Cloud
from tests.demo.eyes import Eyes

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """Not started."""
    with tempfile.TemporaryDirectory(prefix="pumice-first-start-") as directory:
        made = Cloud(Path(directory))
        try:
            yield made
        finally:
            made.close()


def test_a_volume_can_be_made_as_soon_as_ready_is_said(cloud: Cloud) -> None:
    cloud.launch().wait_for_output("Pumice is ready", 60)
    eyes = Eyes(cloud.user("demo"))
    made = eyes.post("block-storage", "/volumes", {"volume": {"size": 1}})["volume"]
    eyes.wait_for_volume(made["id"])
    eyes.close()


def test_ready_is_said_again_after_a_restart_on_the_same_state(cloud: Cloud) -> None:
    cloud.launch().wait_for_output("Pumice is ready", 60)
    cloud.stop()
    again = cloud.launch()
    again.wait_for_output("Pumice is ready", 60)
    assert "No backend takes volumes yet" not in again.output
