"""The tiny test guest: its kernel and ramdisk, and the commands that it obeys.

    image = guest_image()                     built once into .cache/guest by build_guest.sh
    inside = Inside(socket_path)              the guest's command channel
    inside.command("write", f"serial:{volume_id}", 4096, "hello")

What it prints and obeys: head of guest_init.sh.
"""

import fcntl
import json
import os
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import msgspec

from pumice.hypervisors.libvirt_root import end_probes

LAB = Path(__file__).parent
CACHE = LAB.parent.parent / ".cache" / "guest"
SECONDS = 30.0
"""How long one command may take."""


class Image(msgspec.Struct, frozen=True):
    """Files of the guest."""

    kernel: Path
    ramdisk: Path


def guest_image(directory: Path = CACHE) -> Image:
    """Build the guest where that was not done yet."""
    image = Image(directory / "vmlinuz", directory / "initrd.gz")
    directory.mkdir(parents=True, exist_ok=True)
    with (directory.parent / "guest.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (image.kernel.exists() and image.ramdisk.exists()):
            subprocess.run([LAB / "build_guest.sh", directory], check=True)
    return image


class Inside:
    """The command channel of one running guest. Connect after the guest has printed GUEST-UP."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(SECONDS)
        self._socket.connect(str(path))
        self._answers = self._socket.makefile("rb")

    def command(self, *words: object) -> str:
        """Send a command; what follows OK in its answer."""
        self._socket.sendall((" ".join(map(str, words)) + "\n").encode())
        answer = self._answers.readline().decode().strip()
        assert answer == "OK" or answer.startswith("OK "), f"{words}: {answer or 'no answer'}"
        return answer[3:]

    def disks(self) -> dict[str, dict[str, Any]]:
        """The disks that the guest's kernel sees, by serial."""
        return {disk["serial"]: disk for disk in json.loads(self.command("list"))}

    def close(self) -> None:
        self._answers.close()
        self._socket.close()

    def __enter__(self) -> "Inside":
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def guest_pid(root: Path, server_id: str) -> int | None:
    """The QEMU process of a guest of the embedded driver, None when it does not run."""
    try:
        pid = int((root / "run" / "qemu" / f"pumice-{server_id}.pid").read_text())
        return pid if f"pumice-{server_id}" in Path(f"/proc/{pid}/cmdline").read_text() else None
    except (FileNotFoundError, ValueError):
        return None


def end_guests(root: Path) -> None:
    """Kill every guest below the root, whoever started it, and what libvirt was asking when its process ended."""
    end_probes(root)
    for note in (root / "run" / "qemu").glob("pumice-*.pid"):
        pid = guest_pid(root, note.stem.removeprefix("pumice-"))
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
