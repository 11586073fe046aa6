"""Volumes: making, finding, changing, growing, marking and deleting them."""

import re

from tests.end_to_end.commands.beneath import answers, no_volume_file, volume_file
from tests.end_to_end.table import Scene, lists, lists_not, prints, prints_row, row, says, shows

AVAILABLE = {"status": "available"}

MAKING = Scene(
    "volumes are made, found and deleted",
    (
        row(
            "openstack volume create --size 1 --description first --property colour=red --bootable one",
            prints({"name": "one", "size": "1", "properties": "colour='red'", "type": "__DEFAULT__"}),
            shows("cinder show one", {**AVAILABLE, "bootable": "true", "metadata": "colour : red"}),
            volume_file("one", size=1),
            keep="one",
        ),
        row(
            "cinder create --name two --description second --metadata colour=blue --source-volid {one} 2",
            prints({"name": "two", "source_volid": "{one}"}),
            shows("openstack volume show two", {**AVAILABLE, "size": "2", "properties": "colour='blue'"}),
            volume_file("two", size=2),
            keep="two",
        ),
        row(
            "openstack volume create --image lab --size 1 --read-only imaged",
            shows("cinder show imaged", {**AVAILABLE, "bootable": "true", "readonly": "True"}),
            keep="imaged",
        ),
        row(
            "openstack volume list --long --name two",
            prints_row(
                {"ID": "{two}", "Name": "two", "Status": "available", "Size": "2", "Properties": "colour='blue'"}
            ),
        ),
        row(
            "cinder list --name one --with-count True",
            prints_row({"ID": "{one}", "Name": "one", "Status": "available", "Bootable": "true"}),
            says(r"Volume in total: 1\b"),
        ),
        row(
            "openstack volume show {two}",
            prints({"name": "two", "os-vol-host-attr:host": re.compile("^pumice@file#file$")}),
        ),
        row("cinder show {one}", prints({"name": "one", "os-vol-host-attr:host": re.compile("^pumice@file#file$")})),
        row(
            "openstack volume summary",
            prints({"Total Count": re.compile("^[3-9]"), "Total Size": re.compile("^[4-9]")}),
        ),
        row("cinder summary", prints({"total_count": re.compile("^[3-9]"), "total_size": re.compile("^[4-9]")})),
        row("openstack volume delete one", lists_not("cinder list", {"ID": "{one}"}), no_volume_file("one")),
        row("cinder delete two", lists_not("openstack volume list", {"ID": "{two}"}), no_volume_file("two")),
        row(
            "cinder force-delete imaged",
            lists_not("openstack volume list", {"ID": "{imaged}"}),
            no_volume_file("imaged"),
        ),
    ),
)

CHANGING = Scene(
    "volumes are changed",
    (
        row("openstack volume create --size 1 plain", shows("cinder show plain", AVAILABLE), keep="plain"),
        row(
            "openstack volume set --name changed --description new --property a=1 --property b=2 --bootable {plain}",
            shows(
                "cinder show {plain}",
                {"name": "changed", "description": "new", "bootable": "true", "metadata": re.compile("a : 1\nb : 2")},
            ),
        ),
        row(
            "openstack volume set --image-property os_distro=tiny --image-property fine=yes {plain}",
            shows("cinder image-metadata-show {plain}", {"os_distro": "tiny", "fine": "yes"}),
        ),
        row(
            "openstack volume unset --property a --image-property fine {plain}",
            shows("cinder metadata-show {plain}", {"b": "2"}),
            answers("admin", "/volumes/{plain}/metadata", {"metadata": {"b": "2"}}),
            shows("cinder show {plain}", {"volume_image_metadata": "os_distro : tiny"}),
        ),
        row("cinder image-metadata-show {plain}", prints({"os_distro": "tiny"})),
        row(
            "cinder image-metadata {plain} set os_version=3",
            shows("openstack volume show {plain}", {"volume_image_metadata": re.compile("'os_version': '3'")}),
        ),
        row(
            "cinder metadata {plain} set c=3",
            shows("openstack volume show {plain}", {"properties": "b='2', c='3'"}),
        ),
        row("cinder metadata-show {plain}", prints({"b": "2", "c": "3"})),
        row(
            "cinder metadata-update-all {plain} only=this",
            shows("openstack volume show {plain}", {"properties": "only='this'"}),
        ),
        row(
            "cinder rename --description newer {plain} renamed",
            shows("openstack volume show {plain}", {"name": "renamed", "description": "newer"}),
        ),
        row("cinder set-bootable {plain} False", shows("openstack volume show {plain}", {"bootable": "False"})),
        row(
            "cinder readonly-mode-update {plain} True",
            shows("openstack volume show {plain}", {"properties": re.compile("readonly='True'")}),
        ),
        row("openstack volume set --read-write {plain}", shows("cinder show {plain}", {"readonly": "False"})),
        row(
            "cinder upload-to-image --disk-format qcow2 --container-format bare --visibility private {plain} uploaded",
            lists(
                "openstack image list --name uploaded --long",
                {"Name": "uploaded", "Status": "active", "Disk Format": "qcow2"},
            ),
            shows("openstack volume show {plain}", AVAILABLE),
            keep="uploaded",
        ),
        row(
            "cinder extend {plain} 2",
            shows("openstack volume show {plain}", {**AVAILABLE, "size": "2"}),
            volume_file("plain", size=2),
        ),
        row(
            "openstack volume set --size 3 {plain}",
            shows("cinder show {plain}", {**AVAILABLE, "size": "3"}),
            volume_file("plain", size=3),
        ),
        row(
            "openstack volume set --no-property --property left=1 {plain}",
            shows("cinder metadata-show {plain}", {"left": "1"}),
            answers("admin", "/volumes/{plain}/metadata", {"metadata": {"left": "1"}}),
        ),
        row(
            "cinder metadata {plain} unset left",
            answers("admin", "/volumes/{plain}/metadata", {"metadata": {}}),
        ),
        row(
            "cinder reset-state --state error --attach-status detached {plain}",
            shows("openstack volume show {plain}", {"status": "error"}),
        ),
        row(
            "openstack volume set --detached --state available {plain}",
            shows("cinder show {plain}", AVAILABLE),
        ),
        row(
            "cinder reset-state --state in-use --attach-status attached {plain}",
            says("has no attachment"),
            shows("openstack volume show {plain}", AVAILABLE),
            fails=True,
        ),
        row(
            "openstack volume set --state error {plain}",
            shows("cinder show {plain}", {"status": "error"}),
        ),
        row(
            "cinder reset-state --state available --reset-migration-status {plain}",
            shows("openstack volume show {plain}", AVAILABLE),
        ),
        row("openstack volume type create other", shows("cinder type-show other", {"name": "other"})),
        row(
            "cinder retype --migration-policy never {plain} other",
            shows("openstack volume show {plain}", {**AVAILABLE, "type": "other"}),
        ),
        row(
            "openstack volume set --type __DEFAULT__ {plain}",
            shows("cinder show {plain}", {**AVAILABLE, "volume_type": "__DEFAULT__"}),
        ),
        row(
            "openstack volume delete --force {plain}",
            lists_not("cinder list", {"ID": "{plain}"}),
            no_volume_file("plain"),
        ),
        row("openstack volume type delete other", lists_not("cinder type-list", {"Name": "other"})),
        row("openstack image delete uploaded", lists_not("glance image-list", {"Name": "uploaded"})),
    ),
)

SCENES = (MAKING, CHANGING)
