"""Snapshots."""

import re

from tests.end_to_end.commands.beneath import snapshot_file
from tests.end_to_end.table import Scene, lists_not, prints, prints_row, row, says, shows

AVAILABLE = {"status": "available"}

SNAPSHOTS = Scene(
    "snapshots",
    (
        row("openstack volume create --size 1 source", shows("cinder show source", AVAILABLE), keep="source"),
        row(
            "openstack volume snapshot create --volume source --description first --property colour=red early",
            prints({"name": "early", "volume_id": "{source}", "size": "1"}),
            shows("cinder snapshot-show early", {**AVAILABLE, "metadata": re.compile("colour.*red")}),
            snapshot_file("early"),
            keep="early",
        ),
        row(
            "cinder snapshot-create --name late --description second --metadata colour=blue source",
            prints({"name": "late", "volume_id": "{source}", "size": "1"}),
            shows("openstack volume snapshot show late", {**AVAILABLE, "properties": "colour='blue'"}),
            snapshot_file("late"),
            keep="late",
        ),
        row(
            "openstack volume snapshot list --long --volume source",
            prints_row(
                {
                    "ID": "{late}",
                    "Name": "late",
                    "Volume": "source",
                    "Status": "available",
                    "Properties": "colour='blue'",
                }
            ),
        ),
        row(
            "cinder snapshot-list --volume-id {source} --with-count True",
            prints_row({"ID": "{early}", "Volume ID": "{source}", "Name": "early", "Status": "available", "Size": "1"}),
            says(r"Snapshot in total: 2\b"),
        ),
        row("openstack volume snapshot show {late}", prints({"name": "late", "description": "second"})),
        row("cinder snapshot-show {early}", prints({"name": "early", "description": "first"})),
        row(
            "openstack volume snapshot set --name morning --description changed --property b=2 --state error {early}",
            shows(
                "cinder snapshot-show {early}",
                {"name": "morning", "description": "changed", "status": "error", "metadata": re.compile("'b': '2'")},
            ),
        ),
        row(
            "cinder reset-state --type snapshot --state error_deleting {early}",
            shows("openstack volume snapshot show {early}", {"status": "error_deleting"}),
        ),
        row("cinder snapshot-reset-state {early}", shows("openstack volume snapshot show {early}", AVAILABLE)),
        row(
            "openstack volume snapshot unset --property colour {early}",
            shows("cinder snapshot-metadata-show {early}", {"b": "2"}),
            shows("cinder snapshot-show {early}", {"metadata": "{'b': '2'}"}),
        ),
        row(
            "cinder snapshot-metadata {early} set c=3",
            shows("openstack volume snapshot show {early}", {"properties": "b='2', c='3'"}),
        ),
        row("cinder snapshot-metadata-show {early}", prints({"b": "2", "c": "3"})),
        row(
            "cinder snapshot-metadata-update-all {early} only=this",
            shows("openstack volume snapshot show {early}", {"properties": "only='this'"}),
        ),
        row(
            "openstack volume snapshot set --no-property {early}",
            shows("cinder snapshot-show {early}", {"metadata": "{}"}),
        ),
        row(
            "cinder snapshot-rename --description newer {early} evening",
            shows("openstack volume snapshot show {early}", {"name": "evening", "description": "newer"}),
        ),
        row(
            "openstack volume snapshot delete {early}",
            lists_not("cinder snapshot-list", {"ID": "{early}"}),
            snapshot_file("early", there=False),
        ),
        row(
            "cinder snapshot-delete {late}",
            lists_not("openstack volume snapshot list", {"ID": "{late}"}),
            snapshot_file("late", there=False),
        ),
        row(
            "openstack volume snapshot create --volume source last",
            shows("cinder snapshot-show last", AVAILABLE),
            keep="last",
        ),
        row(
            "cinder delete --cascade source",
            lists_not("openstack volume list", {"ID": "{source}"}),
            lists_not("openstack volume snapshot list", {"ID": "{last}"}),
            snapshot_file("last", there=False),
        ),
    ),
)

SCENES = (SNAPSHOTS,)
