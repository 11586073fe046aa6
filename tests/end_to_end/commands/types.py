"""Volume types: extra specs, access, the default of a project."""

import re

from tests.end_to_end.table import Scene, lists, lists_not, prints, prints_row, row, says, shows

TYPES = Scene(
    "types",
    (
        row(
            "openstack volume type create --description quick --property speed=high fast",
            prints({"name": "fast", "is_public": "True"}),
            shows(
                "cinder type-show fast", {"description": "quick", "extra_specs": "speed : high", "is_public": "True"}
            ),
            keep="fast",
        ),
        row(
            "cinder type-create --description hidden --is-public False secret",
            prints_row({"Name": "secret", "Is_Public": "False"}),
            shows(
                "openstack volume type show secret", {"name": "secret", "description": "hidden", "is_public": "False"}
            ),
        ),
        row("openstack volume type list --long --public", prints_row({"Name": "fast", "Properties": "speed='high'"})),
        row("cinder type-list", prints_row({"Name": "secret", "Description": "hidden", "Is_Public": "False"})),
        row("openstack volume type show fast", prints({"id": "{fast}", "properties": "speed='high'"})),
        row("cinder type-show fast", prints({"id": "{fast}", "extra_specs": "speed : high"})),
        row(
            "openstack volume type set --name faster --description quicker --property cache=yes fast",
            shows("cinder type-show faster", {"id": "{fast}", "description": "quicker"}),
            lists("cinder extra-specs-list", {"ID": "{fast}", "extra_specs": re.compile("'cache': 'yes'")}),
        ),
        row(
            "cinder type-update --name fastest --description best {fast}",
            shows("openstack volume type show fastest", {"id": "{fast}", "description": "best"}),
        ),
        row(
            "openstack volume type unset --property cache fastest",
            lists("cinder extra-specs-list", {"ID": "{fast}", "extra_specs": "{'speed': 'high'}"}),
        ),
        row(
            "cinder type-key fastest set size=big",
            shows("openstack volume type show fastest", {"properties": "size='big', speed='high'"}),
        ),
        row(
            "cinder extra-specs-list",
            prints_row({"ID": "{fast}", "Name": "fastest", "extra_specs": re.compile("'size': 'big'")}),
        ),
        row(
            "cinder type-access-add --volume-type secret --project-id {demo_project}",
            shows("openstack volume type show secret", {"name": "secret"}, user="demo"),
        ),
        row("cinder type-access-list --volume-type secret", prints_row({"Project_ID": "{demo_project}"})),
        row(
            "openstack volume type unset --project {demo_project} secret",
            lists_not("cinder type-list", {"Name": "secret"}, user="demo"),
        ),
        row(
            "openstack volume type set --project {demo_project} secret",
            lists("cinder type-access-list --volume-type secret", {"Project_ID": "{demo_project}"}),
        ),
        row(
            "cinder type-access-remove --volume-type secret --project-id {demo_project}",
            lists_not("openstack volume type list", {"Name": "secret"}, user="demo"),
        ),
        row("cinder type-default", prints_row({"Name": "__DEFAULT__"})),
        row(
            "cinder default-type-set fastest {demo_project}",
            prints({"project_id": "{demo_project}", "volume_type_id": "{fast}"}),
            lists("openstack volume type list --default", {"Name": "fastest"}, user="demo"),
        ),
        row("cinder default-type-list", prints_row({"Volume Type ID": "{fast}", "Project ID": "{demo_project}"})),
        row(
            "cinder default-type-unset {demo_project}",
            lists("openstack volume type list --default", {"Name": "__DEFAULT__"}, user="demo"),
        ),
        row(
            "openstack volume type set --private --multiattach --availability-zone nova fastest",
            shows(
                "cinder type-show fastest",
                {"is_public": "False", "extra_specs": re.compile("availability_zones : nova\nmultiattach : <is> True")},
            ),
        ),
        row("openstack volume type list --private", prints_row({"ID": "{fast}", "Is Public": "False"})),
        row(
            "cinder type-update --is-public true {fast}",
            shows("openstack volume type show fastest", {"is_public": "True"}),
        ),
        row("openstack volume type delete fastest", lists_not("cinder type-list", {"ID": "{fast}"})),
        row("cinder type-delete secret", lists_not("openstack volume type list", {"Name": "secret"})),
        row(
            "cinder type-delete __DEFAULT__",
            says("default"),
            lists("openstack volume type list", {"Name": "__DEFAULT__"}),
            fails=True,
        ),
    ),
)

SCENES = (TYPES,)
