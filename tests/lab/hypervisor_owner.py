"""A process that owns an embedded hypervisor, to be killed by a test.

    python -m tests.lab.hypervisor_owner ROOT own SERVER KERNEL RAMDISK DISK    start a guest with the disk, hot-plugged
    python -m tests.lab.hypervisor_owner ROOT look SERVER DISK                  find it, detach the disk, remove it

`own` prints "owned" and stays until it is killed; `look` prints what it saw as one line of JSON.
"""

import json
import signal
import sys
from pathlib import Path

from pumice.hypervisors.contract import Disk, Guest
from pumice.hypervisors.libvirt import LibvirtHypervisor


def disk_of(path: str) -> Disk:
    return Disk(
        serial=Path(path).stem,
        connection_info={"driver_volume_type": "local", "data": {"device_path": path}},
    )


def own(hypervisor: LibvirtHypervisor, server_id: str, kernel: str, ramdisk: str, disk: str) -> None:
    guest = Guest(server_id=server_id, name="owned", memory_mib=96, vcpus=1, kernel_path=kernel, ramdisk_path=ramdisk)
    hypervisor.define(guest)
    hypervisor.start_guest(server_id)
    hypervisor.attach(server_id, disk_of(disk))
    print("owned", flush=True)
    signal.pause()


def look(hypervisor: LibvirtHypervisor, server_id: str, disk: str) -> None:
    found = hypervisor.state(server_id).value
    before = [(seen.serial, seen.live, seen.stored) for seen in hypervisor.disks(server_id)]
    hypervisor.detach(server_id, disk_of(disk).serial)
    after = [seen.serial for seen in hypervisor.disks(server_id)]
    hypervisor.undefine(server_id)
    left = [state.value for state in hypervisor.guests().values()]
    print(json.dumps({"found": found, "before": before, "after": after, "left": left}), flush=True)


def main() -> None:
    root, verb, *arguments = sys.argv[1:]
    hypervisor = LibvirtHypervisor(host="node1", root=Path(root))
    hypervisor.start()
    {"own": own, "look": look}[verb](hypervisor, *arguments)


if __name__ == "__main__":
    main()
