"""Images that volumes are made of, and made of volumes: `openstack image ...` and `glance`."""

import re

from tests.end_to_end.table import Scene, lists_not, prints, prints_row, row, shows

AVAILABLE = {"status": "available"}
ACTIVE = {"status": "active"}

IMAGES = Scene(
    "images",
    (
        row("openstack volume create --size 1 content", shows("cinder show content", AVAILABLE), keep="content"),
        row(
            "openstack image create --volume content --disk-format raw --container-format bare taken",
            prints({"image_name": "taken", "status": "uploading"}),
            shows("glance image-show {taken}", {**ACTIVE, "name": "taken", "size": str(1 << 30)}),
            shows("cinder show content", AVAILABLE),
            keep="taken",
        ),
        row("openstack image list --name taken", prints_row({"ID": "{taken}", "Name": "taken", "Status": "active"})),
        row("glance image-list --property-filter name=taken", prints_row({"ID": "{taken}", "Name": "taken"})),
        row("openstack image show taken", prints({"id": "{taken}", "disk_format": "raw", "container_format": "bare"})),
        row("glance image-show {taken}", prints({"id": "{taken}", "name": "taken"})),
        row(
            "openstack image set --property hw_disk_bus=virtio --min-disk 1 --tag red --private {taken}",
            shows("glance image-show {taken}", {"hw_disk_bus": "virtio", "min_disk": "1", "visibility": "private"}),
        ),
        row(
            "glance image-update --property os_distro=tiny --remove-property hw_disk_bus {taken}",
            shows("openstack image show taken", {"properties": re.compile("os_distro='tiny'")}),
        ),
        row(
            "openstack image unset --property os_distro --tag red {taken}",
            shows("glance image-show {taken}", {"tags": "[]"}),
        ),
        row(
            "glance image-tag-update {taken} blue",
            shows("openstack image show taken", {"tags": "blue"}),
        ),
        row("glance image-tag-delete {taken} blue", shows("openstack image show taken", {"tags": ""})),
        row("glance image-deactivate {taken}", shows("openstack image show taken", {"status": "deactivated"})),
        row("openstack image set --activate taken", shows("glance image-show {taken}", ACTIVE)),
        row("openstack image set --deactivate taken", shows("glance image-show {taken}", {"status": "deactivated"})),
        row("glance image-reactivate {taken}", shows("openstack image show taken", ACTIVE)),
        row(
            "cinder create --image taken --name of-image 1",
            shows(
                "openstack volume show of-image", {**AVAILABLE, "volume_image_metadata": re.compile("{taken}|taken")}
            ),
            keep="of_image",
        ),
        row("openstack volume delete of-image content", lists_not("cinder list", {"ID": "{of_image}"})),
        row("openstack image delete taken", lists_not("glance image-list", {"ID": "{taken}"})),
    ),
)

SCENES = (IMAGES,)
