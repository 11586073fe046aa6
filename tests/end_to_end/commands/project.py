"""What a project may have and has: quotas, quota classes, limits, messages."""

from tests.end_to_end.commands.beneath import answers
from tests.end_to_end.table import Scene, lists_not, prints, prints_row, row, says, shows

QUOTAS = Scene(
    "quotas and limits",
    (
        row("openstack volume type create gold", shows("cinder type-show gold", {"name": "gold"})),
        row(
            "cinder quota-update --volumes 5 --gigabytes 50 --volume-type gold {demo_project}",
            answers(
                "admin", "/os-quota-sets/{demo_project}", {"quota_set/volumes_gold": 5, "quota_set/gigabytes_gold": 50}
            ),
        ),
        row(
            "openstack quota set --volumes 7 --snapshots 8 --gigabytes 90 {demo_project}",
            shows(
                "cinder quota-show {demo_project}",
                {"volumes": "7", "snapshots": "8", "gigabytes": "90", "volumes_gold": "5"},
            ),
        ),
        row("cinder quota-show {demo_project}", prints({"volumes": "7", "snapshots": "8", "volumes_gold": "5"})),
        row("openstack quota show --volume {demo_project}", says(r"volumes\W+7\b")),
        row(
            "openstack quota list --volume",
            prints_row({"Project ID": "{demo_project}", "Volumes": "7", "Snapshots": "8", "Gigabytes": "90"}),
        ),
        row(
            "cinder quota-usage {demo_project}",
            prints_row({"Type": "volumes", "In_use": "0", "Reserved": "0", "Limit": "7"}),
        ),
        row("cinder absolute-limits", prints_row({"Name": "maxTotalVolumes", "Value": "7"}), user="demo"),
        row("openstack limits show --absolute", prints_row({"Name": "max_total_volumes", "Value": "7"}), user="demo"),
        row("cinder rate-limits", says("Verb"), user="demo"),
        row("openstack limits show --rate", says(r"\A\s*\Z"), user="demo"),
        row(
            "cinder quota-delete {demo_project}",
            answers("admin", "/os-quota-sets/{demo_project}", {"quota_set/volumes": 10, "quota_set/volumes_gold": -1}),
        ),
        row("cinder quota-defaults {demo_project}", prints({"volumes": "10", "snapshots": "10"})),
        row(
            "openstack quota set --volumes 6 {demo_project}",
            shows("cinder quota-show {demo_project}", {"volumes": "6"}),
        ),
        row(
            "openstack quota delete --volume {demo_project}",
            shows("cinder quota-show {demo_project}", {"volumes": "10"}),
        ),
        row(
            "cinder quota-class-update --volumes 11 default",
            answers("admin", "/os-quota-sets/{demo_project}", {"quota_set/volumes": 11}),
        ),
        row("cinder quota-class-show default", prints({"volumes": "11"})),
        row(
            "openstack quota set --class --volumes 10 default",
            shows("cinder quota-class-show default", {"volumes": "10"}),
        ),
        row("openstack volume type delete gold", lists_not("cinder type-list", {"Name": "gold"})),
    ),
)

MESSAGES = Scene(
    "messages",
    (
        row(
            "openstack volume type create --property volume_backend_name=nowhere impossible",
            shows("cinder type-show impossible", {"extra_specs": "volume_backend_name : nowhere"}),
        ),
        row(
            "openstack volume create --size 1 --type impossible first_lost",
            shows("cinder show first_lost", {"status": "error"}),
            keep="first_lost",
            user="demo",
        ),
        row(
            "openstack volume create --size 1 --type impossible second_lost",
            shows("cinder show second_lost", {"status": "error"}),
            keep="second_lost",
            user="demo",
        ),
        row(
            "cinder message-list --resource_uuid {first_lost}",
            prints_row({"Resource UUID": "{first_lost}", "Resource Type": "VOLUME"}),
            keep="first_message",
            user="demo",
        ),
        row(
            "openstack volume message list",
            prints_row({"Resource UUID": "{second_lost}", "Resource Type": "VOLUME"}),
            keep="second_message",
            user="demo",
        ),
        row("cinder message-show {first_message}", prints({"resource_uuid": "{first_lost}"}), user="demo"),
        # The client looks for the message in the wrong place of any answer, and prints only its id.
        row("openstack volume message show {second_message}", prints({"ID": "{second_message}"}), user="demo"),
        row(
            "cinder message-delete {first_message}",
            lists_not("openstack volume message list", {"Resource UUID": "{first_lost}"}, user="demo"),
            user="demo",
        ),
        row(
            "openstack volume message delete {second_message}",
            lists_not("cinder message-list", {"Resource UUID": "{second_lost}"}, user="demo"),
            user="demo",
        ),
        row(
            "openstack volume delete first_lost second_lost",
            lists_not("cinder list", {"Status": "error"}, user="demo"),
            user="demo",
        ),
        row("cinder type-delete impossible", lists_not("openstack volume type list", {"Name": "impossible"})),
    ),
)

SCENES = (QUOTAS, MESSAGES)
