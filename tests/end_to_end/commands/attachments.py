"""Attachments, as a caller from outside makes them for a server: reserved, connected, complete, gone."""

from tests.end_to_end.table import Scene, lists_not, prints, prints_row, row, shows

AVAILABLE = {"status": "available"}
CONNECTOR = "--initiator iqn.2026-11.example:node --ip 127.0.0.1 --host pumice --platform x86_64"

ATTACHMENTS = Scene(
    "attachments",
    (
        row("cinder create --name near 1", shows("openstack volume show near", AVAILABLE), keep="near"),
        row(
            "cinder attachment-create --mode ro {near} {guest}",
            shows("openstack volume show near", {"status": "reserved"}),
            keep="near_attachment",
        ),
        row(
            "cinder attachment-list --volume-id {near}",
            prints_row({"ID": "{near_attachment}", "Server ID": "{guest}", "Status": "reserved"}),
        ),
        row(
            "openstack volume attachment list --volume-id {near}",
            prints_row({"ID": "{near_attachment}", "Volume ID": "{near}", "Status": "reserved"}),
        ),
        row(
            "openstack volume attachment set " + CONNECTOR + " --mountpoint /dev/vdb {near_attachment}",
            shows("cinder attachment-show {near_attachment}", {"status": "attaching"}),
        ),
        row(
            "openstack volume attachment complete {near_attachment}",
            shows("cinder attachment-show {near_attachment}", {"status": "attached"}),
            shows("cinder show near", {"status": "in-use"}),
        ),
        row(
            "openstack volume attachment show {near_attachment}",
            prints({"ID": "{near_attachment}", "Instance ID": "{guest}", "Status": "attached"}),
        ),
        row(
            "cinder attachment-show {near_attachment}",
            prints({"id": "{near_attachment}", "instance": "{guest}", "status": "attached"}),
        ),
        row(
            "openstack volume attachment delete {near_attachment}",
            lists_not("cinder attachment-list", {"ID": "{near_attachment}"}),
            shows("cinder show near", AVAILABLE),
        ),
        row(
            "openstack volume attachment create --server {guest} {near}",
            prints({"Status": "reserved", "Volume ID": "{near}"}),
            shows("cinder show near", {"status": "reserved"}),
            keep="far_attachment",
        ),
        row(
            "cinder attachment-update " + CONNECTOR + " {far_attachment}",
            shows("openstack volume attachment show {far_attachment}", {"Status": "attaching"}),
        ),
        row(
            "cinder attachment-complete {far_attachment}",
            shows("openstack volume attachment show {far_attachment}", {"Status": "attached"}),
        ),
        row(
            "cinder attachment-delete {far_attachment}",
            lists_not("openstack volume attachment list", {"ID": "{far_attachment}"}),
            shows("openstack volume show near", AVAILABLE),
        ),
        row("openstack volume delete near", lists_not("cinder list", {"ID": "{near}"})),
    ),
    server=True,
)

SCENES = (ATTACHMENTS,)
