"""Images in other formats become plain bytes: real qemu-img, real files, kills, limits."""

import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pumice import faults, subprocesses
from pumice.caller import new_id
from pumice.images.conversions import ConversionFailed, Source, plain_file, sweep, write_as
from pumice.images.formats.inspect import inspect
from pumice.images.store import ImageStore
from tests.support.processes import Processes
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real

MIB = 1 << 20
SIZE = 64 * MIB

LIMITS = subprocesses.Limits(address_space=1 << 30, cpu_seconds=60, file_size=1 << 30)


def quiet(done: int, total: int) -> None:
    """Nobody watches."""


def disk(path: Path, size: int = SIZE) -> bytes:
    """A sparse disk with data at both ends; its bytes."""
    made = random.Random(5)
    with path.open("wb") as file:
        file.truncate(size)
        file.write(made.randbytes(MIB))
        file.seek(size - 5000)
        file.write(made.randbytes(5000))
    return path.read_bytes()


def stored(store: ImageStore, disk_format: str, *options: str) -> tuple[Source, bytes]:
    """An image of that format in the store, and the bytes of the disk inside."""
    store.directory.mkdir(parents=True, exist_ok=True)
    raw = store.directory.parent / "raw"
    content = disk(raw)
    image_id = new_id()
    words = ["qemu-img", "convert", "-q", "-f", "raw", "-O", disk_format, *options, str(raw)]
    subprocess.run([*words, str(store.path(image_id))], check=True)
    return Source(image_id, disk_format, SIZE), content


@pytest.mark.parametrize("disk_format", ["qcow2", "vdi", "vmdk"])
def test_the_exact_bytes_come_out_and_holes_stay_holes(disk_format: str, store: ImageStore) -> None:
    image, content = stored(store, disk_format)
    told: list[tuple[int, int]] = []
    with plain_file(store, image, lambda done, total: told.append((done, total))) as path:
        assert path.read_bytes() == content
        assert path.stat().st_blocks * 512 < 8 * MIB
        first = path.stat().st_ino
    assert told[-1] == (SIZE, SIZE)
    told.clear()
    with plain_file(store, image, lambda done, total: told.append((done, total))) as path:
        assert path.stat().st_ino == first, "it is kept, not made again"
    assert told == []


@pytest.mark.parametrize("disk_format", ["raw", "aki", "ari", "ami", "iso", None])
def test_plain_bytes_are_handed_out_as_they_are(disk_format: str | None, store: ImageStore) -> None:
    """Also those that look like a qcow2: nobody guesses."""
    image, _ = stored(store, "qcow2")
    with plain_file(store, Source(image.image_id, disk_format, 0), quiet) as path:
        assert path == store.path(image.image_id)


def test_the_bytes_of_a_volume_become_a_qcow2_and_come_back(store: ImageStore, tmp_path: Path) -> None:
    content = disk(tmp_path / "raw")
    for disk_format in ("qcow2", "vdi", "vmdk"):
        image_id = new_id()
        store.directory.mkdir(parents=True, exist_ok=True)
        write_as(tmp_path / "raw", store.path(image_id), disk_format, quiet)
        with store.path(image_id).open("rb") as file:
            assert inspect(file.fileno(), disk_format, None) == SIZE
        with plain_file(store, Source(image_id, disk_format, SIZE), quiet) as path:
            assert path.read_bytes() == content


def test_a_backing_file_is_not_followed_even_where_nobody_inspected(store: ImageStore, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret!!" * (MIB // 8))
    image = Source(new_id(), "qcow2", MIB)
    store.directory.mkdir(parents=True)
    command = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(secret), "-F", "raw"]
    subprocess.run([*command, str(store.path(image.image_id))], check=True)
    with plain_file(store, image, quiet) as path:
        assert path.read_bytes() == bytes(MIB)


def test_whoever_comes_second_waits_and_finds_it(store: ImageStore) -> None:
    image, content = stored(store, "qcow2")
    found: list[bytes] = []

    def use() -> None:
        with plain_file(store, image, quiet) as path:
            found.append(path.read_bytes())

    with faults.planned(faults.Plan()) as plan:
        hang = plan.hang("image.convert:made")
        threads = [threading.Thread(target=use) for _ in range(2)]
        threads[0].start()
        hang.wait_reached()
        threads[1].start()
        hang.release()
        for thread in threads:
            thread.join()
        assert plan.reached.count("image.convert:begun") == 1
    assert found == [content, content]


@pytest.mark.parametrize("point", ["image.convert:begun", "image.convert:made", "image.convert:published"])
def test_a_kill_leaves_nothing_half(point: str, store: ImageStore, processes: Processes) -> None:
    image, content = stored(store, "qcow2")
    code = (
        "import sys; from pathlib import Path; from pumice import faults\n"
        "from pumice.images.conversions import Source, plain_file; from pumice.images.store import ImageStore\n"
        "plan = faults.Plan(); plan.kill(sys.argv[3])\n"
        "store = ImageStore(Path(sys.argv[1])); image = Source(sys.argv[2], 'qcow2', int(sys.argv[4]))\n"
        "with faults.planned(plan), plain_file(store, image, lambda done, total: None): pass\n"
    )
    words = (str(store.directory), image.image_id, point, str(SIZE))
    child = processes.start(sys.executable, "-c", code, *words)
    assert child.wait(30) == -signal.SIGKILL
    folder = store.directory / ".converted"
    names = {path.name for path in folder.iterdir()}
    if point == "image.convert:published":
        assert names == {f"{image.image_id}.raw"}
    else:
        assert names == {f".{image.image_id}.part"}
        assert sweep(store, lambda image_id: True) == [image.image_id]
    with plain_file(store, image, quiet) as path:
        assert path.read_bytes() == content
    assert [path.name for path in folder.iterdir()] == [f"{image.image_id}.raw"]


def test_who_stops_the_work_leaves_nothing(store: ImageStore) -> None:
    image, _ = stored(store, "qcow2")

    class Cancelled(Exception):
        pass

    def stop(done: int, total: int) -> None:
        raise Cancelled

    with pytest.raises(Cancelled), plain_file(store, image, stop):
        raise AssertionError("it was not stopped")
    assert list((store.directory / ".converted").iterdir()) == []


def test_what_does_not_convert_says_why_without_paths(store: ImageStore) -> None:
    image, _ = stored(store, "qcow2")
    store.path(image.image_id).write_bytes(b"QFI\xfb" + bytes(1000))
    with pytest.raises(ConversionFailed) as caught, plain_file(store, image, quiet):
        raise AssertionError("it converted")
    assert "qemu-img could not write it as raw" in str(caught.value)
    assert str(store.directory) not in str(caught.value) and "json:" not in str(caught.value)
    assert list((store.directory / ".converted").iterdir()) == []


def test_a_conversion_stops_before_the_disk_is_full(store: ImageStore) -> None:
    image, _ = stored(store, "qcow2")
    space = os.statvfs(store.directory)
    store.reserve = space.f_blocks * space.f_frsize
    with pytest.raises(ConversionFailed, match="the image store is full"), plain_file(store, image, quiet):
        raise AssertionError("it converted")
    assert list((store.directory / ".converted").iterdir()) == []


def test_an_image_that_is_larger_inside_than_it_said_is_stopped(store: ImageStore) -> None:
    image, _ = stored(store, "qcow2")
    for told in (SIZE - MIB, SIZE + MIB):
        with pytest.raises(ConversionFailed), plain_file(store, Source(image.image_id, "qcow2", told), quiet):
            raise AssertionError("it converted")
    assert list((store.directory / ".converted").iterdir()) == []


def test_the_least_recently_used_go_first_and_those_in_use_stay(tmp_path: Path) -> None:
    store = ImageStore(tmp_path / "images", converted_bytes=3 * MIB)
    first, second, third = (stored(store, "qcow2")[0] for _ in range(3))

    def kept() -> set[str]:
        return {path.stem for path in (store.directory / ".converted").iterdir()}

    for image in (first, second):
        with plain_file(store, image, quiet):
            pass
    with plain_file(store, first, quiet):
        with plain_file(store, third, quiet):
            assert kept() == {first.image_id, second.image_id, third.image_id}
        assert kept() == {first.image_id, third.image_id}
    assert kept() == {first.image_id, third.image_id}
    assert sweep(store, lambda image_id: image_id == third.image_id) == [first.image_id]
    store.remove(third.image_id)
    assert kept() == set()
    store.close()


# ---- the limits of the helper program


def shell(command: str, limits: subprocesses.Limits = LIMITS, timeout: float = 30) -> subprocesses.Finished:
    return subprocesses.run(["sh", "-c", command], timeout=timeout, limits=limits)


def test_the_limits_are_in_force_in_the_child() -> None:
    said = shell(
        "cat /proc/self/limits; grep -E 'NoNewPrivs' /proc/self/status; cut -d ' ' -f 5 /proc/$$/stat; echo $$"
    ).output
    lines = {line[:26].strip(): line[26:].split() for line in said.splitlines()}
    assert lines["Max address space"][:2] == [str(1 << 30)] * 2
    assert lines["Max cpu time"][:2] == ["60"] * 2
    assert lines["Max file size"][:2] == [str(1 << 30)] * 2
    assert lines["Max core file size"][:2] == ["0"] * 2
    assert "NoNewPrivs:\t1" in said
    group, own = said.splitlines()[-2:]
    assert group.strip() == own and int(group) != os.getpgrp()


def test_a_program_that_wants_more_memory_fails() -> None:
    code = "bytearray(2 << 30)"
    assert subprocesses.run([sys.executable, "-c", code], timeout=30).status == 0
    ended = subprocesses.run([sys.executable, "-c", code], timeout=30, limits=LIMITS)
    assert ended.status != 0 and "MemoryError" in ended.errors


def test_a_program_that_computes_too_long_is_ended() -> None:
    ended = shell("while :; do :; done", subprocesses.Limits(address_space=1 << 30, cpu_seconds=1, file_size=1))
    assert ended.status in (-signal.SIGKILL, -signal.SIGXCPU)


def test_a_program_that_writes_too_much_is_ended(tmp_path: Path) -> None:
    limits = subprocesses.Limits(address_space=1 << 30, cpu_seconds=60, file_size=MIB)
    ended = shell(f"exec head -c 2000000 /dev/zero > {tmp_path / 'out'}", limits)
    assert ended.status != 0
    assert (tmp_path / "out").stat().st_size == MIB


def test_what_the_program_started_ends_with_it(tmp_path: Path) -> None:
    with pytest.raises(subprocesses.TimedOut):
        shell(f"sleep 60 & echo $! > {tmp_path / 'pid'}; wait", timeout=1)
    pid = int((tmp_path / "pid").read_text())

    def ended() -> bool:
        stat = Path(f"/proc/{pid}/stat")
        return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"

    wait_until(ended, 10, "the grandchild has ended")
