"""Settings: one TOML file and `PUMICE_*` variables of the environment, typed, each documented where it stands.

    settings = Settings.load(state_dir, environ, config=None)      raises SettingsError
    for one in settings.describe(): print(one.name, one.value, one.source, one.help)

A value comes from, in this order: the environment (`PUMICE_TOKEN_LIFETIME=3600`, `PUMICE_HYPERVISOR_URI=...`; lists as
JSON), the file (`<state>/pumice.toml`, or the one of --config or PUMICE_CONFIG), the default. An unknown key is an
error that names the nearest one.
"""

import difflib
import os
import re
import tomllib
import types
from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import UNSET, Meta, Struct

PREFIX = "PUMICE_"
OTHER_VARIABLES = frozenset(
    {"PUMICE_ADMIN_PASSWORD", "PUMICE_FAULTS", "PUMICE_CONFIG", "PUMICE_STATE", "PUMICE_LIVENESS_FD"}
)
"""Variables with our prefix that are no settings: of the first start, tests, the command line, the supervisor."""

Seconds = Annotated[int, Meta(ge=1)]
Days = Annotated[int, Meta(ge=1, le=100_000)]
Name = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class SettingsError(Exception):
    """The settings cannot be used; the text says which one, where it stands and what would be right."""


def _help(text: str) -> Meta:
    return Meta(description=text)


class BackendSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[backends]]` table."""

    name: Annotated[Name, _help("Name of the backend; shown as host@name.")]
    driver: Annotated[Literal["file", "memory"], _help("Where volumes are: files of a directory, or memory.")] = "file"
    target: Annotated[Literal["local"], _help("How hosts reach volumes: local files of the same host.")] = "local"
    path: Annotated[str, _help("Directory of the pool; relative to the state directory.")] = "pool"
    pool_size_gib: Annotated[
        int, Meta(ge=1), _help("Size of the pool in GiB: of the XFS file made for it, or what may be allocated.")
    ] = 100
    mount: Annotated[
        Literal["auto", "never"], _help("auto: make and mount an XFS pool file where the directory cannot reflink.")
    ] = "auto"
    backend_name: Annotated[str, _help("volume_backend_name that types ask for; empty: the backend's name.")] = ""
    max_over_subscription: Annotated[
        float, Meta(ge=1), _help("How many times the pool's space may be promised to sparse volumes.")
    ] = 20.0
    reserved_percent: Annotated[int, Meta(ge=0, le=90), _help("Percent of the pool that is never promised.")] = 0


class HypervisorSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[hypervisor]` table."""

    driver: Annotated[Literal["libvirt", "memory"], _help("What runs guests: libvirt, or a simulator in memory.")] = (
        "libvirt"
    )
    uri: Annotated[str, _help("libvirt URI; empty: an embedded one with its root in the state directory.")] = ""
    machine_memory_mib: Annotated[int, Meta(ge=0), _help("Memory offered to guests; 0: what the host has.")] = 0
    command_channel: Annotated[
        bool, _help("Give guests the port lab.cmd, by which tests and the demo talk to their guest.")
    ] = False


class RetentionSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[retention]` table: how many days rows that are over stay. Messages and tokens say themselves when they
    expire; for idempotency keys see `idempotency_hours`."""

    volumes: Annotated[
        Days, _help("Days that deleted volumes and snapshots are known: for usage audits of periods long ago.")
    ] = 400
    attachments: Annotated[Days, _help("Days that released attachments are known.")] = 90
    servers: Annotated[Days, _help("Days that deleted servers are known.")] = 90
    images: Annotated[Days, _help("Days that deleted images, flavors and volume types are known.")] = 90
    instance_actions: Annotated[Days, _help("Days that the actions of servers are known, of living ones too.")] = 365
    events: Annotated[Days, _help("Days that events and samples can be asked for.")] = 400
    operations: Annotated[Days, _help("Days that ended operations and worker sessions are known.")] = 30


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every setting of the top level of the file."""

    bind: Annotated[str, _help("HOST:PORT to listen on.")] = "127.0.0.1:8776"
    public_url: Annotated[str, _help("URL that clients reach us by, for links and the catalogue; empty: as asked.")] = (
        ""
    )
    trusted_proxies: Annotated[
        list[str], _help("Addresses and networks of the proxies whose headers (see proxy_headers) are believed.")
    ] = []
    proxy_headers: Annotated[
        Literal["x-forwarded", "forwarded"],
        _help("What they set: X-Forwarded-For, -Proto, -Host and -Prefix, or Forwarded. The other is not read."),
    ] = "x-forwarded"
    tls_certificate: Annotated[str, _help("PEM file with the certificate chain; empty: no TLS.")] = ""
    tls_key: Annotated[str, _help("PEM file with the private key of tls_certificate.")] = ""
    tls_ca: Annotated[
        str, _help("PEM file by which clients check our certificate, or the proxy's; named in clouds.yaml as cacert.")
    ] = ""
    database: Annotated[
        str, _help("sqlite:///PATH or postgresql+psycopg://USER@HOST/NAME; empty: pumice.db in the state directory.")
    ] = ""
    database_threads: Annotated[int, Meta(ge=1, le=64), _help("Threads for PostgreSQL; SQLite has its two.")] = 8
    host: Annotated[Name, _help("Name of this host in services, backends and servers.")] = "pumice"
    region: Annotated[str, Meta(min_length=1), _help("Region of the catalogue.")] = "RegionOne"
    availability_zone: Annotated[str, Meta(min_length=1), _help("Availability zone of this host.")] = "nova"
    log_level: Annotated[Literal["debug", "info", "warning", "error"], _help("Least level that is logged.")] = "info"
    access_log: Annotated[bool, _help("One JSON line a request on standard error.")] = True
    token_lifetime: Annotated[Seconds, _help("Seconds until a token expires.")] = 14_400
    policy_file: Annotated[str, _help("TOML file whose rules replace those of the policy table; empty: none.")] = ""
    idempotency_hours: Annotated[int, Meta(ge=1), _help("Hours that an Idempotency-Key is remembered.")] = 24
    service_user: Annotated[Name, _help("User with the role `service` made at the first start.")] = "pumice"
    image_directory: Annotated[str, _help("Where images' data is; relative to the state directory.")] = "images"
    image_size_cap: Annotated[int, Meta(ge=1), _help("Bytes that the data of an image may have.")] = 1 << 40
    image_virtual_size_cap: Annotated[
        int, Meta(ge=1), _help("Bytes that the disk inside of an image (qcow2, vdi, vmdk) may have.")
    ] = 1 << 40
    image_conversions_gib: Annotated[
        int, Meta(ge=0), _help("GiB kept of images converted to raw; the least recently used go first.")
    ] = 100
    image_reserve_mib: Annotated[
        int, Meta(ge=0), _help("MiB that images leave free in their file system: the database beside them needs some.")
    ] = 256
    image_restore_days: Annotated[
        int, Meta(ge=0), _help("Days that deleted images keep their data; those in use keep it for longer.")
    ] = 7
    worker_threads: Annotated[int, Meta(ge=1, le=64), _help("Operations that the agent runs at once.")] = 8
    lease: Annotated[Seconds, _help("Seconds without a heartbeat after which others take over a session's work.")] = 15
    reconcile_period: Annotated[Seconds, _help("Seconds between two reconciliations.")] = 60
    usage_audit_period: Annotated[
        Literal["off", "hour", "day", "month", "year"], _help("How often the usage audit runs by itself.")
    ] = "off"
    usage_audit_offset: Annotated[
        int, Meta(ge=0), _help("Where in the period it begins: minute, hour, day or month.")
    ] = 0
    attach_deadline: Annotated[Seconds, _help("Seconds that an attachment to a guest may take.")] = 60
    detach_deadline: Annotated[Seconds, _help("Seconds that a guest may take to let a disk go.")] = 30
    shutdown_deadline: Annotated[
        Seconds, _help("Seconds that a guest may take to shut down when asked to, before it is stopped by force.")
    ] = 15
    resize_confirm_window: Annotated[
        int, Meta(ge=0), _help("Seconds after which a resized server is confirmed by itself; 0: never.")
    ] = 0
    shelved_offload_time: Annotated[
        int, Meta(ge=-1), _help("Seconds after which a shelved server leaves its host; 0: at once, -1: never.")
    ] = 0
    hold_grace: Annotated[Seconds, _help("Seconds that an outside caller's reservation is left alone.")] = 300
    request_deadline: Annotated[Seconds, _help("Seconds that a synchronous call waits for its operation.")] = 60
    resource_filters: Annotated[
        dict[str, list[str]],
        _help("What users may filter lists of volumes, snapshots, attachments, messages by; not named: by everything."),
    ] = {}
    hypervisor: Annotated[HypervisorSettings, _help("What runs the guests.")] = HypervisorSettings()
    retention: Annotated[RetentionSettings, _help("How long rows that are over are kept.")] = RetentionSettings()
    backends: Annotated[list[BackendSettings], Meta(min_length=1), _help("Where volumes are.")] = msgspec.field(
        default_factory=lambda: [BackendSettings(name="file")]
    )
    state_directory: Annotated[str, _help("Directory of all state; given by --state, never in the file.")] = ""

    @classmethod
    def load(cls, state_directory: Path, environ: Mapping[str, str], config: Path | None = None) -> "Settings":
        """What is in force. Raises SettingsError."""
        return load(state_directory, environ, config).settings

    @property
    def state(self) -> Path:
        return Path(self.state_directory)

    @property
    def database_url(self) -> str:
        return self.database or f"sqlite:///{self.state / 'pumice.db'}"

    @property
    def usage_audit_setting(self) -> str:
        """`day@6`; of the month where the audit does not run by itself."""
        unit = self.usage_audit_period if self.usage_audit_period != "off" else "month"
        return f"{unit}@{self.usage_audit_offset}"

    @property
    def certificate_authority(self) -> str:
        """`tls_ca` as an absolute path; empty: the clients' own."""
        return str(Path(self.tls_ca).absolute()) if self.tls_ca else ""

    @property
    def images(self) -> Path:
        return self.state / self.image_directory

    @property
    def listen(self) -> tuple[str, int]:
        """Host and port of `bind`."""
        host, _, port = self.bind.rpartition(":")
        return host.strip("[]"), int(port)

    def backend_path(self, backend: BackendSettings) -> Path:
        return self.state / backend.path


class Described(Struct, frozen=True):
    """One setting in force."""

    name: str
    value: Any
    source: str
    """"default", the variable's name, or the file's."""
    help: str
    variable: str


class Loaded(Struct, frozen=True):
    """Settings and where each came from."""

    settings: Settings
    sources: dict[str, str]

    def describe(self) -> list[Described]:
        """Every setting, for `pumice config`; passwords in URLs are hidden."""
        values = msgspec.to_builtins(self.settings)
        return [
            Described(name, _hidden(_at(values, name)), self.sources.get(name, "default"), text, variable_of(name))
            for name, _, text in documented()
        ]


def load(state_directory: Path, environ: Mapping[str, str], config: Path | None = None) -> Loaded:
    """Settings of the file and the environment, with where each came from. Raises SettingsError."""
    if config is None and environ.get("PUMICE_CONFIG"):
        config = Path(environ["PUMICE_CONFIG"])
    path = config or state_directory / "pumice.toml"
    values, sources = _of_file(path, must_exist=config is not None)
    _of_environment(environ, values, sources)
    values["state_directory"] = str(state_directory.absolute())
    try:
        settings = msgspec.convert(values, Settings)
    except msgspec.ValidationError as error:
        raise SettingsError(_sentence(str(error), sources, path)) from None
    _check(settings)
    return Loaded(settings, sources)


def documented() -> Iterator[tuple[str, Any, str]]:
    """(name, type, help) of every setting; those of a table as "hypervisor.uri"."""
    for name, kind, text in _fields(Settings):
        if isinstance(kind, type) and issubclass(kind, Struct):
            yield from ((f"{name}.{inner}", inner_kind, note) for inner, inner_kind, note in _fields(kind))
        else:
            yield name, kind, text


def variable_of(name: str) -> str:
    return PREFIX + name.replace(".", "_").upper()


def _fields(kind: type[Struct]) -> Iterator[tuple[str, Any, str]]:
    for name, hint in get_type_hints(kind, include_extras=True).items():
        notes = [note.description for note in _metas(hint) if note.description]
        yield name, _bare(hint), notes[-1] if notes else ""


def _metas(hint: Any) -> Iterator[Meta]:
    if get_origin(hint) is Annotated:
        yield from (note for note in get_args(hint)[1:] if isinstance(note, Meta))


def _bare(hint: Any) -> Any:
    while get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    return hint


def _of_file(path: Path, *, must_exist: bool) -> tuple[dict[str, Any], dict[str, str]]:
    try:
        values = tomllib.loads(path.read_text())
    except FileNotFoundError:
        if must_exist:
            raise SettingsError(f"the settings file {path} is not there") from None
        return {}, {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise SettingsError(f"{path} cannot be read as TOML: {error}") from None
    _refuse_unknown(values, path)
    names = [name for name, _, _ in documented()]
    return values, {name: str(path) for name in names if _at(values, name, UNSET) is not UNSET}


def _refuse_unknown(values: Mapping[str, Any], path: Path) -> None:
    _known(values, Settings, "", path)
    if "state_directory" in values:
        raise SettingsError(f"{path}: state_directory is given by --state, not by the file")
    for name, kind, _ in _fields(Settings):
        if isinstance(kind, type) and issubclass(kind, Struct) and isinstance(table := values.get(name), dict):
            _known(table, kind, f"{name}.", path)
    backends = values.get("backends")
    for index, backend in enumerate(backends if isinstance(backends, list) else ()):
        if isinstance(backend, dict):
            _known(backend, BackendSettings, f"backends[{index}].", path)


def _known(values: Mapping[str, Any], kind: type[Struct], prefix: str, path: Path) -> None:
    names = kind.__struct_fields__
    for name in values:
        if name not in names:
            raise SettingsError(f"{path}: unknown setting {prefix}{name}{_nearest(name, names)}")


def _nearest(name: str, names: tuple[str, ...] | list[str]) -> str:
    near = difflib.get_close_matches(name, names, 1, 0.5)
    return f"; did you mean {near[0]}?" if near else f"; known are {', '.join(names)}"


def _of_environment(environ: Mapping[str, str], values: dict[str, Any], sources: dict[str, str]) -> None:
    known = {variable_of(name): (name, kind) for name, kind, _ in documented() if name != "state_directory"}
    for variable, text in sorted(environ.items()):
        if not variable.startswith(PREFIX) or variable in OTHER_VARIABLES or variable.startswith("PUMICE_TEST_"):
            continue
        if variable not in known:
            raise SettingsError(f"unknown variable {variable} in the environment{_nearest(variable, list(known))}")
        name, kind = known[variable]
        table, _, inner = name.rpartition(".")
        place = values.setdefault(table, {}) if table else values
        place[inner] = _of_text(text, kind, variable)
        sources[name] = variable


def _of_text(text: str, kind: Any, variable: str) -> Any:
    try:
        if get_origin(kind) in (list, dict):
            return msgspec.json.decode(text)
        if get_origin(kind) in (Literal, Union, types.UnionType) or kind is str:
            return text
        return msgspec.convert(text.strip(), kind, strict=False)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise SettingsError(f"{variable}={text!r} is wrong: {error}") from None


def _sentence(text: str, sources: Mapping[str, str], path: Path) -> str:
    message, _, place = text.partition(" - at `$.")
    name = place.rstrip("`")
    source = sources.get(name) or sources.get(name.split("[")[0]) or str(path)
    return f"{source}: the setting {name} is wrong: {message[:1].lower()}{message[1:]}"


def _check(settings: Settings) -> None:
    host, _, port = settings.bind.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise SettingsError(f"bind = {settings.bind!r} is wrong: give HOST:PORT, e.g. 127.0.0.1:8776")
    if settings.public_url and not re.fullmatch(r"https?://[^/?#\s]+(/[^?#\s]*)?", settings.public_url):
        raise SettingsError(f"public_url = {settings.public_url!r} is wrong: give a URL, e.g. https://cloud.example")
    for text in settings.trusted_proxies:
        try:
            ip_network(text)
        except ValueError as error:
            raise SettingsError(
                f"trusted_proxies: {error}; give an address or a network, e.g. 192.0.2.7 or 10.0.0.0/24"
            ) from None
    if bool(settings.tls_certificate) != bool(settings.tls_key):
        raise SettingsError("tls_certificate and tls_key go together: give both or none")
    if settings.database and not settings.database.startswith(("sqlite:///", "postgresql+psycopg://")):
        raise SettingsError("database is wrong: give sqlite:///PATH or postgresql+psycopg://USER@HOST/NAME")
    names = [backend.name for backend in settings.backends]
    if len(set(names)) != len(names):
        raise SettingsError(f"backends: two have the same name ({', '.join(sorted(names))})")


def _at(values: Mapping[str, Any], name: str, default: Any = None) -> Any:
    found: Any = values
    for part in name.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return default
        found = found[part]
    return found


def _hidden(value: Any) -> Any:
    """A URL's password does not belong on a screen."""
    if isinstance(value, str) and "://" in value and "@" in value:
        scheme, _, rest = value.partition("://")
        account, _, where = rest.rpartition("@")
        user, colon, _ = account.partition(":")
        return f"{scheme}://{user}{':***' if colon else ''}@{where}"
    return value


def state_directory(environ: Mapping[str, str], given: str | None = None) -> Path:
    """The state directory: --state, else PUMICE_STATE, else ./var."""
    return Path(given or environ.get("PUMICE_STATE") or "var").absolute()


def of_process(config: Path | None = None, state: str | None = None) -> Loaded:
    """What is in force for this process. Raises SettingsError."""
    return load(state_directory(os.environ, state), os.environ, config)
