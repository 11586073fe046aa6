"""Who may call what, written from the documented default policies of Cinder, Glance, Nova and Keystone.

It is independent of `pumice.identity.policy` on purpose: what is expected is written twice, by different roads. Each
operation of each face has a line in OPERATIONS; a route without one fails the test. The words are:

    public               needs no token
    anyone               any valid token
    reader               admin; role reader with a project; in this cloud also a service, and a reader of the system
    any_reader           the same, and a reader of a domain
    member               admin; role member with a project
    member_or_service    the same, or a service
    maker                admin or member, and the token is for a project: something is made in it
    maker_or_service     the same, or a service with a project
    keeper               admin or member, whatever the token is for: of what belongs to the user, not to a project
    admin                admin
    admin_reader         admin; role reader on the system
    own_project          the same, or any token for the project of the path
    owner                the user of the path, who has a role that no rule knows
"""

from collections.abc import Mapping

from tests.hostile.world import ROLES, SCOPES

IMPLIED = {
    "admin": {"admin", "manager", "member", "reader"},
    "manager": {"manager", "member", "reader"},
    "member": {"member", "reader"},
}
"""What a role brings with it (Keystone's implied roles)."""


def allowed(word: str, role: str, scope: str) -> bool:
    """Whether that role on that scope may do what the word says, to its own things."""
    roles = IMPLIED.get(role, {role}) if scope != "unscoped" else set[str]()
    in_project = scope == "project"
    match word:
        case "public" | "anyone":
            return True
        case "reader":
            return bool(roles & {"admin", "service"}) or ("reader" in roles and scope in ("project", "system"))
        case "any_reader":
            return "reader" in roles
        case "member":
            return "admin" in roles or ("member" in roles and in_project)
        case "member_or_service":
            return allowed("member", role, scope) or "service" in roles
        case "maker":
            return in_project and "member" in roles
        case "maker_or_service":
            return in_project and bool(roles & {"member", "service"})
        case "keeper":
            return "member" in roles
        case "admin":
            return "admin" in roles
        case "admin_reader":
            return "admin" in roles or ("reader" in roles and scope == "system")
        case "own_project":
            return allowed("admin_reader", role, scope) or in_project
        case "owner":
            return False
    raise ValueError(f"{word!r} is no word of this table")


OPERATIONS = """
identity public              POST /auth/tokens
identity anyone              GET /auth/tokens
identity anyone              DELETE /auth/tokens
identity anyone              GET /auth/catalog
identity anyone              GET /auth/projects
identity anyone              GET /auth/domains
identity anyone              GET /auth/system
identity any_reader          GET /domains
identity any_reader          GET /domains/{domain_id}
identity admin               POST /domains
identity admin               PATCH /domains/{domain_id}
identity admin               DELETE /domains/{domain_id}
identity admin_reader        GET /projects
identity own_project         GET /projects/{project_id}
identity admin               POST /projects
identity admin               PATCH /projects/{project_id}
identity admin               DELETE /projects/{project_id}
identity admin_reader        GET /users
identity admin_reader        GET /users/{user_id}
identity admin_reader        GET /users/{user_id}/projects
identity admin               POST /users
identity admin               PATCH /users/{user_id}
identity admin               POST /users/{user_id}/password
identity admin               DELETE /users/{user_id}
identity anyone              GET /roles
identity anyone              GET /roles/{role_id}
identity admin               POST /roles
identity admin               PATCH /roles/{role_id}
identity admin               DELETE /roles/{role_id}
identity admin_reader        GET /projects/{project_id}/users/{user_id}/roles
identity admin_reader        GET /projects/{project_id}/users/{user_id}/roles/{role_id}
identity admin               PUT /projects/{project_id}/users/{user_id}/roles/{role_id}
identity admin               DELETE /projects/{project_id}/users/{user_id}/roles/{role_id}
identity admin_reader        GET /domains/{domain_id}/users/{user_id}/roles
identity admin_reader        GET /domains/{domain_id}/users/{user_id}/roles/{role_id}
identity admin               PUT /domains/{domain_id}/users/{user_id}/roles/{role_id}
identity admin               DELETE /domains/{domain_id}/users/{user_id}/roles/{role_id}
identity admin_reader        GET /system/users/{user_id}/roles
identity admin_reader        GET /system/users/{user_id}/roles/{role_id}
identity admin               PUT /system/users/{user_id}/roles/{role_id}
identity admin               DELETE /system/users/{user_id}/roles/{role_id}
identity admin_reader        GET /role_assignments
identity admin_reader        GET /role_inferences
identity own_project         GET /projects/{project_id}/tags
identity own_project         GET /projects/{project_id}/tags/{tag}
identity admin               PUT /projects/{project_id}/tags
identity admin               DELETE /projects/{project_id}/tags
identity admin               PUT /projects/{project_id}/tags/{tag}
identity admin               DELETE /projects/{project_id}/tags/{tag}
identity admin_reader        GET /users/{user_id}/application_credentials
identity admin_reader        GET /users/{user_id}/application_credentials/{credential_id}
identity owner               POST /users/{user_id}/application_credentials
identity admin               DELETE /users/{user_id}/application_credentials/{credential_id}
identity admin_reader        GET /users/{user_id}/access_rules
identity admin_reader        GET /users/{user_id}/access_rules/{rule_id}
identity admin               DELETE /users/{user_id}/access_rules/{rule_id}
identity admin_reader        GET /services
identity admin_reader        GET /services/{service_id}
identity admin_reader        GET /endpoints
identity admin_reader        GET /endpoints/{endpoint_id}
identity anyone              GET /regions
identity anyone              GET /regions/{region_id}
identity admin_reader        GET /groups
identity admin               POST /groups
identity admin_reader        GET /groups/{group_id}
identity admin_reader        GET /groups/{group_id}/users
identity admin_reader        GET /users/{user_id}/groups
identity admin_reader        GET /projects/{project_id}/groups/{group_id}/roles
identity admin               PUT /projects/{project_id}/groups/{group_id}/roles/{role_id}
identity admin_reader        GET /domains/{domain_id}/groups/{group_id}/roles
identity admin               PUT /domains/{domain_id}/groups/{group_id}/roles/{role_id}
identity admin_reader        GET /system/groups/{group_id}/roles
identity admin               PUT /system/groups/{group_id}/roles/{role_id}

volume maker                 POST /volumes
volume reader                GET /volumes
volume reader                GET /volumes/detail
volume reader                GET /volumes/summary
volume reader                GET /volumes/{volume_id}
volume member                PUT /volumes/{volume_id}
volume member                DELETE /volumes/{volume_id}
volume reader                GET /volumes/{volume_id}/metadata
volume member                POST /volumes/{volume_id}/metadata
volume member                PUT /volumes/{volume_id}/metadata
volume reader                GET /volumes/{volume_id}/metadata/{key}
volume member                PUT /volumes/{volume_id}/metadata/{key}
volume member                DELETE /volumes/{volume_id}/metadata/{key}
volume member                POST /volumes/{volume_id}/action os-extend
volume member                POST /volumes/{volume_id}/action os-set_bootable
volume member                POST /volumes/{volume_id}/action os-attach
volume member                POST /volumes/{volume_id}/action os-detach
volume member                POST /volumes/{volume_id}/action os-reserve
volume member                POST /volumes/{volume_id}/action os-unreserve
volume member                POST /volumes/{volume_id}/action os-begin_detaching
volume member                POST /volumes/{volume_id}/action os-roll_detaching
volume admin                 POST /volumes/{volume_id}/action os-reset_status
volume member                POST /volumes/{volume_id}/action os-update_readonly_flag
volume member                POST /volumes/{volume_id}/action os-retype
volume member                POST /volumes/{volume_id}/action os-set_image_metadata
volume member                POST /volumes/{volume_id}/action os-unset_image_metadata
volume reader                POST /volumes/{volume_id}/action os-show_image_metadata
volume admin                 POST /volumes/{volume_id}/action os-force_delete
volume admin                 POST /volumes/{volume_id}/action os-force_detach
volume member_or_service     POST /volumes/{volume_id}/action os-initialize_connection
volume member_or_service     POST /volumes/{volume_id}/action os-terminate_connection
volume member_or_service     POST /volumes/{volume_id}/action os-volume_upload_image
volume maker                 POST /snapshots
volume reader                GET /snapshots
volume reader                GET /snapshots/detail
volume reader                GET /snapshots/{snapshot_id}
volume member                PUT /snapshots/{snapshot_id}
volume member                DELETE /snapshots/{snapshot_id}
volume reader                GET /snapshots/{snapshot_id}/metadata
volume member                POST /snapshots/{snapshot_id}/metadata
volume member                PUT /snapshots/{snapshot_id}/metadata
volume reader                GET /snapshots/{snapshot_id}/metadata/{key}
volume member                PUT /snapshots/{snapshot_id}/metadata/{key}
volume member                DELETE /snapshots/{snapshot_id}/metadata/{key}
volume admin                 POST /snapshots/{snapshot_id}/action os-reset_status
volume admin                 POST /snapshots/{snapshot_id}/action os-force_delete
volume member_or_service     POST /snapshots/{snapshot_id}/action os-update_snapshot_status
volume maker_or_service      POST /attachments
volume reader                GET /attachments
volume reader                GET /attachments/detail
volume reader                GET /attachments/{attachment_id}
volume member_or_service     PUT /attachments/{attachment_id}
volume member_or_service     DELETE /attachments/{attachment_id}
volume member_or_service     POST /attachments/{attachment_id}/action os-complete
volume reader                GET /types
volume admin                 POST /types
volume reader                GET /types/default
volume reader                GET /types/{volume_type_id}
volume admin                 PUT /types/{volume_type_id}
volume admin                 DELETE /types/{volume_type_id}
volume reader                GET /types/{volume_type_id}/extra_specs
volume admin                 POST /types/{volume_type_id}/extra_specs
volume reader                GET /types/{volume_type_id}/extra_specs/{key}
volume admin                 PUT /types/{volume_type_id}/extra_specs/{key}
volume admin                 DELETE /types/{volume_type_id}/extra_specs/{key}
volume admin                 GET /types/{volume_type_id}/os-volume-type-access
volume admin                 POST /types/{volume_type_id}/action addProjectAccess
volume admin                 POST /types/{volume_type_id}/action removeProjectAccess
volume reader                GET /os-quota-sets/{target_id}
volume reader                GET /os-quota-sets/{target_id}/defaults
volume admin                 PUT /os-quota-sets/{target_id}
volume admin                 DELETE /os-quota-sets/{target_id}
volume admin                 GET /os-quota-class-sets/{class_name}
volume admin                 PUT /os-quota-class-sets/{class_name}
volume reader                GET /limits
volume reader                GET /messages
volume reader                GET /messages/{message_id}
volume member                DELETE /messages/{message_id}
volume admin                 GET /os-services
volume admin                 PUT /os-services/enable
volume admin                 PUT /os-services/disable
volume admin                 PUT /os-services/disable-log-reason
volume admin                 PUT /os-services/freeze
volume admin                 PUT /os-services/thaw
volume admin                 PUT /os-services/failover_host
volume admin                 GET /os-hosts
volume admin                 GET /os-hosts/{host}
volume reader                GET /resource_filters
volume admin                 GET /scheduler-stats/get_pools
volume admin                 GET /capabilities/{host}
volume reader                GET /os-availability-zone
volume admin                 GET /default-types
volume admin                 GET /default-types/{target_id}
volume admin                 PUT /default-types/{target_id}
volume admin                 DELETE /default-types/{target_id}
volume admin                 GET /clusters
volume admin                 GET /clusters/detail
volume admin                 GET /clusters/{cluster_name}
volume admin                 PUT /clusters/enable
volume admin                 PUT /clusters/disable
volume admin                 POST /workers/cleanup
volume admin                 PUT /workers/cleanup
volume member                POST /volumes/{volume_id}/action revert
volume member                POST /volumes/{volume_id}/action os-reimage
volume admin                 POST /volumes/{volume_id}/action os-migrate_volume
volume admin                 POST /volumes/{volume_id}/action os-migrate_volume_completion
volume admin                 POST /volumes/{volume_id}/action os-extend_volume_completion
volume admin                 PUT /os-services/failover
volume admin                 PUT /os-services/get-log
volume admin                 PUT /os-services/set-log
volume reader                GET /extensions
volume admin                 GET /manageable_volumes
volume admin                 GET /manageable_volumes/detail
volume admin                 POST /manageable_volumes
volume admin                 GET /os-volume-manage
volume admin                 GET /os-volume-manage/detail
volume admin                 POST /os-volume-manage
volume admin                 GET /manageable_snapshots
volume admin                 GET /manageable_snapshots/detail
volume admin                 POST /manageable_snapshots
volume admin                 GET /os-snapshot-manage
volume admin                 GET /os-snapshot-manage/detail
volume admin                 POST /os-snapshot-manage
volume admin                 POST /volumes/{volume_id}/action os-unmanage
volume admin                 POST /snapshots/{snapshot_id}/action os-unmanage

image maker                  POST /images
image reader                 GET /images
image reader                 GET /images/{image_id}
image member                 PATCH /images/{image_id}
image member                 DELETE /images/{image_id}
image member                 POST /images/{image_id}/actions/deactivate
image member                 POST /images/{image_id}/actions/reactivate
image member                 PUT /images/{image_id}/tags/{tag}
image member                 DELETE /images/{image_id}/tags/{tag}
image member                 PUT /images/{image_id}/file
image reader                 GET /images/{image_id}/file
image member                 POST /images/{image_id}/members
image reader                 GET /images/{image_id}/members
image reader                 GET /images/{image_id}/members/{member_id}
image member                 PUT /images/{image_id}/members/{member_id}
image member                 DELETE /images/{image_id}/members/{member_id}
image member                 POST /images/{image_id}/import
image member                 PUT /images/{image_id}/stage
image anyone                 GET /info/import
image anyone                 GET /info/stores
image anyone                 GET /schemas/image
image anyone                 GET /schemas/images
image anyone                 GET /schemas/member
image anyone                 GET /schemas/members

compute reader               GET /flavors
compute reader               GET /flavors/detail
compute reader               GET /flavors/{flavor_id}
compute admin                POST /flavors
compute admin                DELETE /flavors/{flavor_id}
compute reader               GET /flavors/{flavor_id}/os-extra_specs
compute reader               GET /flavors/{flavor_id}/os-extra_specs/{key}
compute reader               GET /servers
compute reader               GET /servers/detail
compute reader               GET /servers/{server_id}
compute reader               GET /servers/{server_id}/ips
compute reader               GET /servers/{server_id}/ips/{network}
compute maker                POST /servers
compute member               PUT /servers/{server_id}
compute member               DELETE /servers/{server_id}
compute member               POST /servers/{server_id}/action os-start
compute member               POST /servers/{server_id}/action os-stop
compute member               POST /servers/{server_id}/action pause
compute member               POST /servers/{server_id}/action unpause
compute member               POST /servers/{server_id}/action reboot
compute member               POST /servers/{server_id}/action rebuild
compute member               POST /servers/{server_id}/action suspend
compute member               POST /servers/{server_id}/action resume
compute admin                POST /servers/{server_id}/action os-resetState
compute member               POST /servers/{server_id}/action forceDelete
compute member               POST /servers/{server_id}/action restore
compute member               POST /servers/{server_id}/action os-getVNCConsole
compute member               POST /servers/{server_id}/action os-getSPICEConsole
compute member               POST /servers/{server_id}/action os-getSerialConsole
compute member               POST /servers/{server_id}/action os-getRDPConsole
compute member               POST /servers/{server_id}/remote-consoles
compute member               POST /servers/{server_id}/action lock
compute member               POST /servers/{server_id}/action unlock
compute member               POST /servers/{server_id}/action os-getConsoleOutput
compute reader               GET /servers/{server_id}/os-volume_attachments
compute reader               GET /servers/{server_id}/os-volume_attachments/{volume_id}
compute member               POST /servers/{server_id}/os-volume_attachments
compute member               PUT /servers/{server_id}/os-volume_attachments/{volume_id}
compute member               DELETE /servers/{server_id}/os-volume_attachments/{volume_id}
compute reader               GET /servers/{server_id}/os-instance-actions
compute reader               GET /servers/{server_id}/os-instance-actions/{request_id}
compute maker                POST /os-volumes_boot
compute reader               GET /os-volumes
compute reader               GET /os-volumes/detail
compute reader               GET /os-volumes/{volume_id}
compute maker                POST /os-volumes
compute member               DELETE /os-volumes/{volume_id}
compute reader               GET /os-snapshots
compute reader               GET /os-snapshots/detail
compute reader               GET /os-snapshots/{snapshot_id}
compute maker                POST /os-snapshots
compute member               DELETE /os-snapshots/{snapshot_id}
compute reader               GET /servers/{server_id}/metadata
compute member               POST /servers/{server_id}/metadata
compute member               PUT /servers/{server_id}/metadata
compute reader               GET /servers/{server_id}/metadata/{key}
compute member               PUT /servers/{server_id}/metadata/{key}
compute member               DELETE /servers/{server_id}/metadata/{key}
compute reader               GET /servers/{server_id}/tags
compute member               PUT /servers/{server_id}/tags
compute member               DELETE /servers/{server_id}/tags
compute reader               GET /servers/{server_id}/tags/{tag}
compute member               PUT /servers/{server_id}/tags/{tag}
compute member               DELETE /servers/{server_id}/tags/{tag}
compute reader               GET /os-keypairs
compute reader               GET /os-keypairs/{keypair_name}
compute keeper               POST /os-keypairs
compute keeper               DELETE /os-keypairs/{keypair_name}
compute member               POST /servers/{server_id}/action resize
compute member               POST /servers/{server_id}/action confirmResize
compute member               POST /servers/{server_id}/action revertResize
compute member               POST /servers/{server_id}/action shelve
compute admin                POST /servers/{server_id}/action shelveOffload
compute member               POST /servers/{server_id}/action unshelve
compute member               POST /servers/{server_id}/action createImage
compute reader               GET /os-quota-sets/{project_id}/detail
compute admin                PUT /os-quota-sets/{project_id}
compute admin                DELETE /os-quota-sets/{project_id}
compute admin                GET /os-quota-class-sets/{class_name}
compute admin                PUT /os-quota-class-sets/{class_name}
compute admin                GET /os-hypervisors/statistics
compute admin                GET /os-hypervisors/{hypervisor_id}/servers
compute admin                GET /os-hypervisors/{hypervisor_id}/search
compute admin                GET /os-hypervisors/{hypervisor_id}/uptime
compute admin                GET /os-aggregates
compute admin                POST /os-aggregates
compute admin                GET /os-aggregates/{aggregate_id}
compute reader               GET /servers/{server_id}/os-interface
compute member               POST /servers/{server_id}/os-interface
compute reader               GET /servers/{server_id}/os-interface/{port_id}
compute member               DELETE /servers/{server_id}/os-interface/{port_id}
compute reader               GET /servers/{server_id}/os-security-groups
compute reader               GET /os-security-groups
compute reader               GET /os-floating-ips
compute reader               GET /limits
compute reader               GET /os-quota-sets/{project_id}
compute reader               GET /os-quota-sets/{project_id}/defaults
compute reader               GET /os-availability-zone
compute admin                GET /os-availability-zone/detail
compute admin                GET /os-services
compute admin                GET /os-hypervisors
compute admin                GET /os-hypervisors/detail
compute admin                GET /os-hypervisors/{hypervisor_id}
compute reader               GET /os-networks
compute reader               GET /os-networks/{network_id}

metering reader              GET /events
metering reader              GET /events/{message_id}
metering reader              GET /event_types
metering reader              GET /event_types/{event_type}/traits
metering reader              GET /event_types/{event_type}/traits/{trait_name}
metering reader              GET /meters
metering reader              GET /meters/{meter_name}/statistics
metering reader              GET /resources
metering reader              GET /resources/{resource_id}
metering reader              GET /capabilities
metering reader              GET /samples
metering reader              GET /samples/{sample_id}
metering reader              GET /meters/{meter_name}
metering reader              POST /query/samples
"""
"""Face, word, method, path, and the key of an action. A type's access list is for administrators here, though Cinder
shows it to members: it names other projects."""


def _table() -> Mapping[str, str]:
    table: dict[str, str] = {}
    for line in filter(None, OPERATIONS.splitlines()):
        face, word, operation = line.split(None, 2)
        operation = f"{face} {operation}"
        if operation in table:
            raise ValueError(f"{operation} is there twice")
        table[operation] = word
        for role in ROLES:
            for scope in SCOPES:
                allowed(word, role, scope)
    return table


POLICIES = _table()
"""Operation ("volume GET /volumes") -> word."""
