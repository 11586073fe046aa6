"""One running cloud and one booted guest for the tests of this folder: both are slow to make."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.demo.cloud import QUIET, Cloud
from tests.demo.narration import Narrator
from tests.demo.stage import Guest, Stage


@contextmanager
def staged(*others: str) -> Iterator[Stage]:
    """`pumice serve` on an empty state directory, with the guest's images uploaded; `others` as of `Cloud`. Guests are
    stopped while they still boot: they do not obey then."""
    directory = Path(tempfile.mkdtemp(prefix="pumice-end-to-end-"))
    cloud = Cloud(directory, {**QUIET, "PUMICE_SHUTDOWN_DEADLINE": "2"}, others=others)
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("OS_", "PUMICE_"))]:
            patch.delenv(name)
        try:
            cloud.start()
            stage = Stage(Narrator(), cloud)
            stage.upload_image()
            yield stage
            stage.eyes.close()
        finally:
            cloud.close()
            for name in ("file", *others):
                assert not os.path.ismount(cloud.pool_of(name)), f"the pool of {name} is still mounted"
            shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with staged() as stage:
        yield stage


@pytest.fixture(scope="module")
def booted(stage: Stage) -> Guest:
    """A server of the demo project whose guest is up."""
    return stage.boot("guest")


@pytest.fixture
def guest(stage: Stage, booted: Guest) -> Iterator[Guest]:
    """The same without any volume: a test that failed leaves nothing to the next one."""
    yield booted
    for volume in stage.eyes.server_volumes(booted.id):
        stage.demo.run(f"openstack server remove volume {booted.id} {volume}", fails=None)
        stage.eyes.wait_for_volume(volume)
