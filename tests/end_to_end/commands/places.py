"""Volumes move to other pools, go back to what they were, leave management and come back."""

import re

from tests.end_to_end.commands.beneath import (
    no_volume_file,
    set_aside,
    snapshot_file,
    volume_begins,
    write,
)
from tests.end_to_end.table import Scene, lists, lists_not, prints, prints_row, row, says, shows

AVAILABLE = {"status": "available"}
FIRST = "pumice@file#file"
SECOND = "pumice@second#second"
HOST = "os-vol-host-attr:host"
MOVED = {**AVAILABLE, "os-vol-mig-status-attr:migstat": "success"}

MOVING = Scene(
    "volumes move",
    (
        row(
            "openstack volume create --size 1 mover",
            shows("cinder show mover", {**AVAILABLE, HOST: FIRST}),
            write("mover", b"carried along"),
            keep="mover",
        ),
        row(
            f"cinder migrate --lock-volume True {{mover}} {SECOND}",
            shows("openstack volume show mover", {**MOVED, HOST: SECOND}),
            volume_begins("mover", b"carried along", backend="second"),
            no_volume_file("mover"),
        ),
        row(
            f"openstack volume migrate --host {FIRST} mover",
            shows("cinder show mover", {**MOVED, HOST: FIRST}),
            volume_begins("mover", b"carried along"),
            no_volume_file("mover", backend="second"),
        ),
        row(
            f"cinder migrate {{mover}} {FIRST}",
            says(f"is in pool {FIRST} already"),
            shows("openstack volume show mover", {**AVAILABLE, HOST: FIRST}),
        ),
        row("cinder type-create there", shows("openstack volume type show there", {"name": "there"})),
        row(
            "cinder type-key there set volume_backend_name=second",
            shows("openstack volume type show there", {"properties": "volume_backend_name='second'"}),
        ),
        row(
            "openstack volume set --type there mover",
            says("asks for second.* on-demand moves it"),
            shows("cinder show mover", {"volume_type": "__DEFAULT__"}),
            fails=True,
        ),
        row(
            "cinder retype --migration-policy on-demand mover there",
            shows("openstack volume show mover", {**MOVED, HOST: SECOND, "type": "there"}),
            volume_begins("mover", b"carried along", backend="second"),
        ),
        row(
            "openstack volume type create --property volume_backend_name=file here",
            shows("cinder type-show here", {"extra_specs": "volume_backend_name : file"}),
        ),
        row(
            "openstack volume set --type here --migration-policy on-demand mover",
            shows("cinder show mover", {**MOVED, HOST: FIRST, "volume_type": "here"}),
            volume_begins("mover", b"carried along"),
        ),
        row(
            "cinder failover-host pumice@file",
            says("does not replicate"),
            shows("cinder get-pools", {"name": re.compile("pumice@")}),
            fails=True,
        ),
        row(
            "openstack volume host failover --volume-backend other pumice@file",
            says("does not replicate"),
            lists("cinder service-list", {"Host": "pumice@file", "Status": "enabled"}),
            fails=True,
        ),
        row("openstack volume delete mover", lists_not("cinder list", {"ID": "{mover}"})),
        row("openstack volume type delete here there", lists_not("cinder type-list", {"Name": "here"})),
    ),
)

GOING_BACK = Scene(
    "volumes go back",
    (
        row(
            "openstack volume create --size 1 written",
            shows("cinder show written", AVAILABLE),
            write("written", b"at first"),
            keep="written",
        ),
        row(
            "cinder snapshot-create --name begin {written}",
            shows("openstack volume snapshot show begin", AVAILABLE),
            write("written", b"too much"),
            keep="begin",
        ),
        row(
            "openstack volume revert begin",
            shows("cinder show written", AVAILABLE),
            volume_begins("written", b"at first"),
            write("written", b"and more"),
        ),
        row(
            "cinder revert-to-snapshot {begin}",
            shows("openstack volume show written", AVAILABLE),
            volume_begins("written", b"at first"),
        ),
        row(
            "cinder reimage {written} {lab}",
            shows("openstack volume show written", {**AVAILABLE, "volume_image_metadata": re.compile("lab")}),
            volume_begins("written", b"\0" * 8),
        ),
        row("cinder delete --cascade written", lists_not("openstack volume list", {"ID": "{written}"})),
    ),
)

MANAGING = Scene(
    "volumes leave management and come back",
    (
        row(
            "openstack volume create --size 1 tame",
            shows("cinder show tame", AVAILABLE),
            write("tame", b"kept"),
            keep="tame",
        ),
        row(
            "cinder unmanage {tame}",
            lists_not("openstack volume list", {"ID": "{tame}"}),
            no_volume_file("tame"),
            set_aside("volume-{tame}", b"kept"),
        ),
        row(
            f"cinder manageable-list {FIRST}",
            prints_row({"reference": "{'source-name': 'volume-{tame}'}", "size": "1", "safe_to_manage": "True"}),
        ),
        row(
            f"openstack block storage volume manageable list --long {FIRST}",
            prints_row({"reference": "{'source-name': 'volume-{tame}'}", "size": "1", "safe_to_manage": "True"}),
        ),
        row(
            f"cinder manage --name again --description back --metadata a=b --bootable {FIRST} volume-{{tame}}",
            prints({"name": "again", "description": "back"}),
            shows(
                "openstack volume show again",
                {**AVAILABLE, "size": "1", "properties": "a='b'", "bootable": "True", HOST: FIRST},
            ),
            volume_begins("again", b"kept"),
            keep="again",
        ),
        row(
            f"cinder manageable-list {FIRST}",
            prints_row({"cinder_id": "{again}", "safe_to_manage": "False", "reason_not_safe": "already managed"}),
        ),
        row(
            "openstack volume delete --remote again",
            lists_not("cinder list", {"ID": "{again}"}),
            set_aside("volume-{again}", b"kept"),
        ),
        row(
            f"openstack volume create --remote-source source-name=volume-{{again}} --host {FIRST} back",
            shows("cinder show back", {**AVAILABLE, "size": "1", HOST: FIRST}),
            volume_begins("back", b"kept"),
            keep="back",
        ),
        row(
            "openstack volume snapshot create --volume back early",
            shows("cinder snapshot-show early", AVAILABLE),
            keep="early",
        ),
        row(
            "cinder snapshot-unmanage early",
            lists_not("openstack volume snapshot list", {"ID": "{early}"}),
            snapshot_file("early", there=False),
            set_aside("_snapshot-{early}", b"kept"),
        ),
        row(
            f"cinder snapshot-manageable-list {FIRST}",
            prints_row({"reference": "{'source-name': '_snapshot-{early}'}", "size": "1", "safe_to_manage": "True"}),
        ),
        row(
            f"openstack block storage snapshot manageable list {FIRST}",
            prints_row({"reference": "{'source-name': '_snapshot-{early}'}", "size": "1", "safe_to_manage": "True"}),
        ),
        row(
            "cinder snapshot-manage --name late --metadata a=b back _snapshot-{early}",
            prints({"name": "late", "volume_id": "{back}"}),
            shows("openstack volume snapshot show late", {**AVAILABLE, "properties": "a='b'"}),
            snapshot_file("late"),
            keep="late",
        ),
        row(
            "openstack volume snapshot delete --remote late",
            lists_not("cinder snapshot-list", {"ID": "{late}"}),
            set_aside("_snapshot-{late}", b"kept"),
        ),
        row(
            "openstack volume snapshot create --volume back --remote-source source-name=_snapshot-{late} last",
            shows("cinder snapshot-show last", {**AVAILABLE, "volume_id": "{back}"}),
            snapshot_file("last"),
            keep="last",
        ),
        row("cinder delete --cascade back", lists_not("openstack volume list", {"ID": "{back}"})),
    ),
)

SCENES = (MOVING, GOING_BACK, MANAGING)
