"""Servers and their volumes: `openstack server ...` and `nova`, each command that has to do with volumes once."""

import re

from tests.end_to_end.commands.beneath import disk_of, no_disk_of
from tests.end_to_end.table import Check, Row, Scene, Wanted, lists, lists_not, prints, prints_row, row, says, shows

ACTIVE = {"status": "ACTIVE"}
SHUTOFF = {"status": "SHUTOFF"}
AVAILABLE = {"status": "available"}
IN_USE = {"status": "in-use"}


def mine(line: str, *checks: Check, keep: str = "") -> Row:
    """A row of the user demo, whose servers these are."""
    return row(line, *checks, user="demo", keep=keep)


def ours(command: str, wanted: Wanted) -> Check:
    return shows(command, wanted, user="demo")


VOLUMES_OF_SERVERS = Scene(
    "volumes of servers",
    (
        mine("openstack volume create --size 1 data", ours("cinder show data", AVAILABLE), keep="data"),
        mine("openstack volume create --size 1 more", ours("cinder show more", AVAILABLE), keep="more"),
        mine(
            "openstack server add volume --tag first --enable-delete-on-termination {guest} data",
            prints({"Server ID": "{guest}", "Volume ID": "{data}", "Tag": "first", "Delete On Termination": "True"}),
            ours("cinder show data", {**IN_USE, "attached_servers": "['{guest}']"}),
            disk_of("guest", "data"),
        ),
        mine(
            "nova volume-attach --tag second {guest} {more}",
            prints({"serverId": "{guest}", "volumeId": "{more}", "tag": "second", "delete_on_termination": "False"}),
            ours("openstack volume show more", IN_USE),
            disk_of("guest", "more"),
        ),
        mine(
            "openstack server volume list {guest}",
            prints_row({"Volume ID": "{more}", "Tag": "second", "Delete On Termination?": "False"}),
        ),
        mine(
            "nova volume-attachments {guest}",
            prints_row(
                {"VOLUME ID": "{data}", "SERVER ID": "{guest}", "TAG": "first", "DELETE ON TERMINATION": "True"}
            ),
        ),
        mine(
            "openstack server volume set --preserve-on-termination {guest} data",
            lists(
                "nova volume-attachments {guest}",
                {"VOLUME ID": "{data}", "DELETE ON TERMINATION": "False"},
                user="demo",
            ),
        ),
        mine(
            "openstack server volume update --delete-on-termination {guest} data",
            lists(
                "nova volume-attachments {guest}", {"VOLUME ID": "{data}", "DELETE ON TERMINATION": "True"}, user="demo"
            ),
        ),
        mine(
            "openstack server event list {guest}",
            prints_row({"Action": "attach_volume", "Server ID": "{guest}"}),
        ),
        mine("nova instance-action-list {guest}", prints_row({"Action": "attach_volume"})),
        mine("openstack volume set --size 2 data", ours("cinder show data", {**IN_USE, "size": "2"})),
        mine(
            "openstack server remove volume {guest} data",
            ours("cinder show data", AVAILABLE),
            no_disk_of("guest", "data"),
        ),
        mine(
            "nova volume-detach {guest} {more}",
            ours("openstack volume show more", AVAILABLE),
            no_disk_of("guest", "more"),
        ),
        mine("openstack volume delete data more", lists_not("cinder list", {"ID": "{data}"}, user="demo")),
    ),
    server=True,
)

BOOTING = Scene(
    "servers from volumes",
    (
        mine(
            "openstack server create --flavor m1.tiny --no-network --image lab --boot-from-volume 1"
            " --delete-on-termination from-image",
            ours("nova show from-image", {**ACTIVE, "image": re.compile("volume")}),
            lists("cinder list", {"Attached to": "{from_image}", "Status": "in-use", "Bootable": "true"}, user="demo"),
            keep="from_image",
        ),
        mine(
            "openstack volume create --size 1 --image lab bootable",
            ours("cinder show bootable", AVAILABLE),
            keep="bootable",
        ),
        mine(
            "nova boot --flavor m1.tiny --nic none --boot-volume {bootable} --poll from-volume",
            ours(
                "openstack server show from-volume",
                {**ACTIVE, "volumes_attached": "delete_on_termination='False', id='{bootable}'"},
            ),
            ours("cinder show bootable", IN_USE),
            keep="from_volume",
        ),
        mine("openstack server list --name from-volume", prints_row({"ID": "{from_volume}", "Status": "ACTIVE"})),
        mine("nova list --name from-image", prints_row({"ID": "{from_image}", "Status": "ACTIVE"})),
        mine("openstack server stop from-volume", ours("nova show from-volume", SHUTOFF)),
        mine("nova start from-volume", ours("openstack server show from-volume", ACTIVE)),
        mine("nova stop from-volume", ours("openstack server show from-volume", SHUTOFF)),
        mine("openstack server start from-volume", ours("nova show from-volume", ACTIVE)),
        mine(
            "openstack server reboot --hard from-volume",
            lists("nova instance-action-list {from_volume}", {"Action": "reboot"}, user="demo"),
            ours("nova show from-volume", ACTIVE),
        ),
        mine(
            "openstack server image create --name of-volumes from-volume",
            ours("glance image-show {of_volumes}", {"status": "active", "bdm_v2": "True", "size": "0"}),
            lists("cinder snapshot-list", {"Volume ID": "{bootable}", "Status": "available"}, user="demo"),
            keep="of_volumes",
        ),
        mine(
            "openstack server create --flavor m1.tiny --no-network --image of-volumes --wait again",
            ours("nova show again", {**ACTIVE, "image": re.compile("volume")}),
            lists("cinder list", {"Attached to": "{again}", "Status": "in-use", "Bootable": "true"}, user="demo"),
            keep="again",
        ),
        mine("nova delete {again}", lists_not("openstack server list", {"ID": "{again}"}, user="demo")),
        mine(
            "openstack server rebuild --image lab --reimage-boot-volume --wait from-volume",
            ours("nova show from-volume", {**ACTIVE, "image": re.compile("volume")}),
            disk_of("from_volume", "bootable"),
        ),
        mine("openstack server delete --wait from-volume", ours("cinder show bootable", AVAILABLE)),
        mine(
            "nova delete {from_image}",
            lists_not("openstack server list", {"ID": "{from_image}"}, user="demo"),
            lists_not("cinder list", {"Attached to": "{from_image}"}, user="demo"),
        ),
        mine("openstack volume delete --purge bootable", lists_not("cinder list", {"ID": "{bootable}"}, user="demo")),
        mine("openstack image delete of-volumes", lists_not("glance image-list", {"ID": "{of_volumes}"}, user="demo")),
    ),
)

CHANGING = Scene(
    "servers keep their volumes",
    (
        mine("openstack volume create --size 1 kept", ours("cinder show kept", AVAILABLE), keep="kept"),
        mine("openstack server add volume {guest} kept", ours("cinder show kept", IN_USE), disk_of("guest", "kept")),
        mine(
            "openstack server resize --flavor m1.small {guest}",
            ours("nova show {guest}", {"status": "VERIFY_RESIZE", "flavor:original_name": "m1.small"}),
        ),
        mine("openstack server resize confirm {guest}", ours("nova show {guest}", ACTIVE), disk_of("guest", "kept")),
        mine("nova resize {guest} m1.tiny", ours("openstack server show {guest}", {"status": "VERIFY_RESIZE"})),
        mine(
            "nova resize-revert {guest}",
            ours("openstack server show {guest}", {**ACTIVE, "flavor": re.compile("original_name='m1.small'")}),
        ),
        mine("nova resize {guest} m1.tiny", ours("openstack server show {guest}", {"status": "VERIFY_RESIZE"})),
        mine(
            "nova resize-confirm {guest}",
            ours("openstack server show {guest}", {**ACTIVE, "flavor": re.compile("original_name='m1.tiny'")}),
        ),
        mine(
            "openstack server resize --flavor m1.small {guest}", ours("nova show {guest}", {"status": "VERIFY_RESIZE"})
        ),
        mine(
            "openstack server resize revert {guest}",
            ours("nova show {guest}", {**ACTIVE, "flavor:original_name": "m1.tiny"}),
        ),
        mine("nova shelve {guest}", ours("openstack server show {guest}", {"status": re.compile("SHELVED")})),
        mine("openstack server unshelve {guest}", ours("nova show {guest}", ACTIVE), disk_of("guest", "kept")),
        mine(
            "openstack server shelve --offload {guest}",
            ours("nova show {guest}", {"status": "SHELVED_OFFLOADED"}),
            ours("cinder show kept", {"status": re.compile("in-use|reserved")}),
        ),
        mine("nova unshelve {guest}", ours("openstack server show {guest}", ACTIVE), disk_of("guest", "kept")),
        mine(
            "openstack server rebuild --image lab {guest}",
            ours("nova show {guest}", ACTIVE),
            lists("nova instance-action-list {guest}", {"Action": "rebuild"}, user="demo"),
            disk_of("guest", "kept"),
        ),
        mine("nova rebuild {guest} lab", ours("openstack server show {guest}", ACTIVE), disk_of("guest", "kept")),
        mine(
            "openstack server image create --name pictured {guest}",
            lists("glance image-list", {"Name": "pictured"}, user="demo"),
            ours("openstack image show pictured", {"status": "active"}),
        ),
        mine("nova image-create {guest} again", ours("openstack image show again", {"status": "active"})),
        mine(
            "openstack server lock --reason mine {guest}",
            ours("nova show {guest}", {"locked": "True", "locked_reason": "mine"}),
        ),
        mine("nova unlock {guest}", ours("openstack server show {guest}", {"locked": "False"})),
        mine("nova lock {guest}", ours("openstack server show {guest}", {"locked": "True"})),
        mine("openstack server unlock {guest}", ours("nova show {guest}", {"locked": "False"})),
        mine("nova reboot --hard {guest}", ours("openstack server show {guest}", ACTIVE), disk_of("guest", "kept")),
        mine("openstack server reboot --wait {guest}", ours("nova show {guest}", ACTIVE), disk_of("guest", "kept")),
        mine("nova reboot --poll {guest}", ours("openstack server show {guest}", ACTIVE), disk_of("guest", "kept")),
        mine("openstack server suspend {guest}", ours("nova show {guest}", {"status": "SUSPENDED"})),
        mine("nova resume {guest}", ours("openstack server show {guest}", ACTIVE), disk_of("guest", "kept")),
        mine("nova suspend {guest}", ours("openstack server show {guest}", {"status": "SUSPENDED"})),
        mine("openstack server resume {guest}", ours("nova show {guest}", ACTIVE), disk_of("guest", "kept")),
        mine("openstack server pause {guest}", ours("nova show {guest}", {"status": "PAUSED"})),
        mine("nova unpause {guest}", ours("openstack server show {guest}", ACTIVE)),
        mine("nova pause {guest}", ours("openstack server show {guest}", {"status": "PAUSED"})),
        mine("openstack server unpause {guest}", ours("nova show {guest}", ACTIVE)),
        mine(
            "nova volume-detach {guest} {kept}",
            ours("openstack volume show kept", AVAILABLE),
            no_disk_of("guest", "kept"),
        ),
        mine("openstack image delete pictured again", lists_not("glance image-list", {"Name": "again"}, user="demo")),
        mine("openstack volume delete kept", lists_not("cinder list", {"ID": "{kept}"}, user="demo")),
    ),
    server=True,
)

SHARING = Scene(
    "servers share a volume",
    (
        row(
            "openstack volume type create --multiattach shared",
            shows("cinder type-show shared", {"extra_specs": "multiattach : <is> True"}),
            keep="shared",
        ),
        mine(
            "openstack volume create --size 1 --type shared both",
            ours("cinder show both", {**AVAILABLE, "multiattach": "True"}),
            keep="both",
        ),
        mine(
            "openstack server create --flavor m1.tiny --no-network --image lab --wait second",
            ours("nova show second", ACTIVE),
            keep="second",
        ),
        mine("openstack server add volume {guest} both", ours("cinder show both", IN_USE), disk_of("guest", "both")),
        mine(
            "nova volume-attach second {both}",
            lists("nova volume-attachments second", {"VOLUME ID": "{both}"}, user="demo"),
            lists("openstack server volume list {guest}", {"Volume ID": "{both}"}, user="demo"),
            disk_of("second", "both"),
        ),
        mine("openstack volume create --size 1 other", ours("cinder show other", AVAILABLE), keep="other"),
        row(
            "nova volume-update {guest} {both} {other}",
            says("cannot be swapped .* Detach it and attach the other"),
            disk_of("guest", "both"),
            fails=True,
        ),
        mine(
            "openstack server remove volume {guest} both",
            ours("cinder show both", {**IN_USE, "attached_servers": "['{second}']"}),
            no_disk_of("guest", "both"),
            disk_of("second", "both"),
        ),
        mine("nova delete second", ours("cinder show both", AVAILABLE)),
        mine("openstack volume delete both other", lists_not("cinder list", {"ID": "{both}"}, user="demo")),
        row("openstack volume type delete shared", lists_not("cinder type-list", {"ID": "{shared}"})),
    ),
    server=True,
)

SCENES = (VOLUMES_OF_SERVERS, BOOTING, CHANGING, SHARING)
