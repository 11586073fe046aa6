"""The directory below which the embedded libvirt driver keeps everything, and the host's own files beside it.

    ROOT/etc/qemu.conf       written anew at each start
    ROOT/lib, run, log       libvirt's own
    ROOT/console/ID.log      what each guest printed
    ROOT/command/ID.sock     command channels (only when asked for)
    ROOT/initiator           this host's iSCSI name, made once
    ROOT/short_name          the symbolic link by which a long ROOT is reached

UNIX sockets below ROOT have names of at most 107 bytes, of which libvirt's own part takes 56: a longer ROOT is
opened through a short symbolic link, remembered in ROOT/short_name since running guests are found again by it.
Called by `libvirt.py`.
"""

import contextlib
import hashlib
import os
import re
import secrets
import signal
import tempfile
from pathlib import Path

from pumice.hypervisors.contract import HypervisorDown

LONGEST_SOCKET_PATH = 107
LONGEST_ROOT = LONGEST_SOCKET_PATH - len("/lib/qemu/domain-99999-pumice-00000000-0000/monitor.sock")

QEMU_CONF = """\
# Written by pumice at each start.
stdio_handler = "file"
security_driver = "none"
user = "+{uid}"
group = "+{gid}"
cgroup_controllers = []
namespaces = []
dynamic_ownership = 0
remember_owner = 0
"""


def prepare_root(root: Path) -> Path:
    """Make the directory and its configuration; the name by which libvirt is to open it. Raises HypervisorDown."""
    try:
        for folder in ("etc", "console", "command"):
            (root / folder).mkdir(parents=True, exist_ok=True, mode=0o700)
        (root / "etc" / "qemu.conf").write_text(QEMU_CONF.format(uid=os.geteuid(), gid=os.getegid()))
        return short_name(root.resolve())
    except OSError as error:
        raise HypervisorDown(f"the hypervisor's directory {root} cannot be used: {error.strerror}") from error


def end_probes(root: Path) -> int:
    """End the QEMUs without a guest that libvirt had started to ask what they can do when its process died; how many.

    Only the owner of the root may call it, before libvirt is opened."""
    ended = 0
    for note in root.glob("lib/qemu/qmp-*/qmp.pid"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, ValueError):
            pid = int(note.read_text())
            if f"{note.parent.name}/qmp.pid".encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)
                ended += 1
    return ended


def short_name(root: Path) -> Path:
    """The root itself when its name is short and plain, else a symbolic link to it. Raises HypervisorDown, OSError."""
    if len(os.fsencode(root)) <= LONGEST_ROOT and re.fullmatch(r"[A-Za-z0-9_./+-]+", str(root)):
        return root
    note = root / "short_name"
    if note.exists():
        candidates = [Path(note.read_text())]
    else:
        digest = hashlib.sha256(os.fsencode(root)).hexdigest()[:12]
        candidates = [folder / f"pumice-{os.geteuid()}-{digest}" for folder in short_folders()]
    for link in candidates:
        if len(os.fsencode(link)) <= LONGEST_ROOT and point(link, root):
            note.write_text(str(link))
            return link
    raise HypervisorDown(
        f"the directory {root} is {len(os.fsencode(root))} bytes long, for UNIX sockets {LONGEST_ROOT} are the limit, "
        f"and no short link to it could be made ({', '.join(map(str, candidates))}): use a shorter state directory"
    )


def short_folders() -> list[Path]:
    """Folders that may hold the link, best first: private to us where possible, there after a restart of us."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    folders = [Path(runtime)] if runtime else []
    if os.geteuid() == 0:
        folders.append(Path("/run"))
    return [*folders, Path(tempfile.gettempdir())]


def point(link: Path, root: Path) -> bool:
    """Make the link, or find it made by us; false when the name is somebody else's or the folder refuses."""
    try:
        link.symlink_to(root)
    except FileExistsError:
        found = link.lstat()
        return link.is_symlink() and found.st_uid == os.geteuid() and link.readlink() == root
    except OSError:
        return False
    return True


def initiator(root: Path) -> str:
    """This host's iSCSI name: made at random once, then always the same. Raises OSError."""
    path = root / "initiator"
    root.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        fresh = root / f"initiator.{secrets.token_hex(4)}"
        fresh.write_text(f"iqn.2026-11.org.pumice:{secrets.token_hex(6)}\n")
        with contextlib.suppress(FileExistsError):  # another process was faster: its name counts
            path.hardlink_to(fresh)
        fresh.unlink()
    return path.read_text().strip()
