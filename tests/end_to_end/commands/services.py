"""What an administrator looks at and sets: services, pools, capabilities, zones, versions, extensions, filters."""

import re

from tests.end_to_end.table import Scene, lists, prints, prints_row, row, says

BACKEND = "pumice@file"
POOL = "pumice@file#file"

SERVICES = Scene(
    "services",
    (
        row(
            "openstack volume service list --long",
            prints_row({"Binary": "cinder-volume", "Host": BACKEND, "State": "up"}),
        ),
        row(
            "cinder service-list",
            prints_row({"Binary": "cinder-volume", "Host": BACKEND, "State": "up", "Status": "enabled"}),
        ),
        row(
            f"openstack volume service set --disable --disable-reason repair {BACKEND} cinder-volume",
            lists("cinder service-list", {"Host": BACKEND, "Status": "disabled", "Disabled Reason": "repair"}),
        ),
        row(
            f"cinder service-enable {BACKEND} cinder-volume",
            lists("openstack volume service list", {"Host": BACKEND, "Status": "enabled"}),
        ),
        row(
            f"cinder service-disable --reason again {BACKEND} cinder-volume",
            lists(
                "openstack volume service list --long",
                {"Host": BACKEND, "Status": "disabled", "Disabled Reason": "again"},
            ),
        ),
        row(
            f"openstack volume service set --enable {BACKEND} cinder-volume",
            lists("cinder service-list", {"Host": BACKEND, "Status": "enabled"}),
        ),
        row(
            f"cinder freeze-host {BACKEND}",
            lists(
                "openstack volume service list --long",
                {"Host": BACKEND, "Status": "disabled", "Disabled Reason": "frozen"},
            ),
        ),
        row(
            f"cinder thaw-host {BACKEND}",
            lists("openstack volume service list", {"Host": BACKEND, "Status": "enabled"}),
        ),
        row(
            f"openstack volume host set --disable {BACKEND}",
            lists("cinder service-list", {"Host": BACKEND, "Status": "disabled"}),
        ),
        row(
            f"openstack volume host set --enable {BACKEND}",
            lists("cinder service-list", {"Host": BACKEND, "Status": "enabled"}),
        ),
    ),
)

RUNNING = Scene(
    "logs, clusters and cleaning up",
    (
        row(
            "cinder service-set-log --binary cinder-api --prefix pumice.api ERROR",
            lists("openstack block storage log level list", {"Prefix": "pumice.api", "Level": "ERROR"}),
        ),
        row(
            "cinder service-get-log --binary cinder-api --prefix pumice.api",
            prints_row({"Binary": "cinder-api", "Host": "pumice", "Prefix": "pumice.api", "Level": "ERROR"}),
        ),
        row(
            "openstack block storage log level set --service cinder-volume --log-prefix pumice.operations ERROR",
            lists(
                "cinder service-get-log --binary cinder-volume",
                {"Host": "pumice", "Prefix": "pumice.operations", "Level": "ERROR"},
            ),
        ),
        row(
            "openstack block storage log level list --service cinder-volume --log-prefix pumice.operations",
            prints_row({"Binary": "cinder-volume", "Prefix": "pumice.operations", "Level": "ERROR"}),
        ),
        row("cinder work-cleanup", says("No cleanable services matched")),
        # Without the three names this client only complains of its own code.
        row(
            f"openstack block storage cleanup --binary cinder-volume --host {BACKEND} --cluster none",
            says(r"\A\s*\Z"),
        ),
        row("cinder cluster-list", says(r"Name.*Binary.*State.*Status")),
        row("openstack block storage cluster list", says(r"\A\s*\Z")),
        row("cinder cluster-show none", says("Cluster none could not be found"), fails=True),
        row("openstack block storage cluster show none", says("Cluster none could not be found"), fails=True),
        row("cinder cluster-disable none", says("Cluster none could not be found"), fails=True),
        row("cinder cluster-enable none", says("Cluster none could not be found"), fails=True),
        row("openstack block storage cluster set --disable none", says("none could not be found"), fails=True),
    ),
)

LOOKING = Scene(
    "pools, zones, versions and filters",
    (
        row(
            "openstack volume backend pool list --long",
            prints_row({"Name": POOL, "Capabilities": re.compile("volume_backend_name='file'")}),
        ),
        row("cinder get-pools --detail", says(rf"\bname +\| {POOL} "), says(r"volume_backend_name +\| second ")),
        row(
            f"openstack volume backend capability show {POOL}",
            prints_row({"Title": "Multi-attach", "Key": "multiattach", "Type": "boolean"}),
        ),
        row(f"cinder get-capabilities {POOL}", prints({"volume_backend_name": "file"})),
        row("cinder availability-zone-list", prints_row({"Name": "nova", "Status": "available"})),
        row("openstack availability zone list --volume", prints_row({"Zone Name": "nova", "Zone Status": "available"})),
        row("cinder list-extensions", prints_row({"Alias": "os-volume-actions"})),
        row("openstack extension list --volume", prints_row({"Alias": "os-volume-actions"})),
        row("cinder list-filters --resource volume", prints_row({"Resource": "volume", "Filters": re.compile("name")})),
        row(
            "openstack block storage resource filter list",
            prints_row({"Resource": "snapshot", "Filters": re.compile("volume_id")}),
        ),
        row("openstack block storage resource filter show volume", prints({"Resource": "volume"})),
        row(
            "cinder api-version",
            prints_row({"ID": "v3.0", "Status": "CURRENT", "Version": "3.71", "Min_version": "3.0"}),
        ),
        row("cinder version-list", prints_row({"Id": "v3.0", "Version": "3.71"})),
        row(
            "openstack versions show --service block-storage",
            prints_row({"Service Type": "block-storage", "Version": "3.0", "Max Microversion": "3.71"}),
        ),
        row("cinder help snapshot-create", says("usage: .*snapshot-create")),
        row("cinder bash-completion", says("snapshot-create")),
    ),
)

SCENES = (SERVICES, RUNNING, LOOKING)
