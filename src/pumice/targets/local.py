"""The local target: guests of this host open the volume's file or device by its path.

Nothing has to be exported, but every connection is recorded as a small file, so that the reconciler can find the
ones that nobody uses any more: `DIRECTORY/VOLUME_ID.ATTACHMENT_ID.json`.

Constructed by `registry.py`, called by the operations.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from pumice import durable, faults
from pumice.outcomes import Problem, Removed
from pumice.storage.contract import Location
from pumice.targets.config import TargetConfig
from pumice.targets.contract import ConnectionInfo, Connector, Export, Incompatible, TargetDown, TargetError

_ID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_WHOLE_ID = re.compile(_ID)
_NAME = re.compile(rf"({_ID})\.({_ID})\.json")
_SCRATCH = re.compile(rf"\.{_ID}\.{_ID}\.json\.new")
_KINDS = {"file", "block"}


class LocalTarget:
    """Exports of one backend to guests on its own host."""

    def __init__(self, config: TargetConfig) -> None:
        self._config = config

    def start(self) -> None:
        """Also clears away what a killed `connect` left half written."""
        try:
            Path(self._config.directory).mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise _down(self._config.name, error) from error
        with self._records() as records:
            for name in os.listdir(records):
                if _SCRATCH.fullmatch(name):
                    os.unlink(name, dir_fd=records)

    def check(self) -> list[Problem]:
        directory = self._config.directory
        if not Path(directory).is_dir():
            sentence = f"the directory for export records of {self._config.name} is missing"
            return [Problem("exports-missing", sentence, "restart the agent, or make the directory again")]
        if not os.access(directory, os.W_OK | os.X_OK):
            sentence = f"the directory for export records of {self._config.name} cannot be written"
            return [Problem("exports-read-only", sentence, "correct its owner and mode, or mount it writable")]
        return []

    def connect(
        self, volume_id: str, attachment_id: str, location: Location, connector: Connector, read_only: bool
    ) -> ConnectionInfo:
        self._require_served(volume_id, location, connector)
        info = ConnectionInfo(
            driver_volume_type="local",
            data={
                "device_path": location.path,
                "access_mode": "ro" if read_only else "rw",
                "volume_id": volume_id,
                "attachment_id": attachment_id,
                "discard": True,
            },
        )
        name, content = _name(volume_id, attachment_id), msgspec.json.encode(info)
        with self._records() as records:
            if durable.read_file(records, name) != content:
                faults.point("local.connect:before")
                durable.write_file(records, name, content)
            faults.point("local.connect:made")
        return info

    def disconnect(self, volume_id: str, attachment_id: str) -> Removed:
        name = _name(volume_id, attachment_id)
        with self._records() as records:
            durable.remove_file(records, durable.scratch_name(name))
            faults.point("local.disconnect:before")
            removed = durable.remove_file(records, name)
            faults.point("local.disconnect:made")
        return Removed.DELETED if removed else Removed.WAS_ABSENT

    def exports(self) -> list[Export]:
        with self._records() as records:
            matches = [_NAME.fullmatch(name) for name in sorted(os.listdir(records))]
        return [Export(match[1], match[2]) for match in matches if match]

    def _require_served(self, volume_id: str, location: Location, connector: Connector) -> None:
        here = self._config.host
        if connector.host != here:
            there = f"host {connector.host}" if connector.host else "a connector that names no host"
            raise Incompatible(
                f"volume {volume_id} lies on host {here} and can only be attached there, not by {there}; "
                "use a backend with a network target for other hosts"
            )
        if location.kind not in _KINDS:
            raise Incompatible(f"the local target serves files and block devices, not {location.kind}")

    @contextmanager
    def _records(self) -> Iterator[int]:
        """The open directory of records. Raises TargetDown where it or a record cannot be used."""
        try:
            with durable.directory(self._config.directory) as records:
                yield records
        except OSError as error:
            raise _down(self._config.name, error) from error


def _name(volume_id: str, attachment_id: str) -> str:
    for what, value in (("volume", volume_id), ("attachment", attachment_id)):
        if not _WHOLE_ID.fullmatch(value):
            raise TargetError(f"{what} id {value!r} is not a UUID")
    return f"{volume_id}.{attachment_id}.json"


def _down(name: str, error: OSError) -> TargetDown:
    return TargetDown(f"export records of {name}: {os.strerror(error.errno or 0)}")
