"""`pumice serve` with simulated guests, as an operator configures it, and the stock clients before it."""

import copy
import subprocess
from pathlib import Path

import httpx

from tests.demo.shell import CLIENTS, clean_environment
from tests.support.ports import free_port
from tests.support.processes import BIN, Process, Processes

SIMULATED = """
[hypervisor]
driver = "memory"
[[backends]]
name = "file"
mount = "never"
"""


class DeployedCloud:
    """One state directory; `start` it as often as you like."""

    def __init__(self, processes: Processes, directory: Path, settings: str = "", tables: str = SIMULATED) -> None:
        self.processes = processes
        self.state = directory / "state"
        self.state.mkdir(mode=0o700)
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.configure(settings, tables)
        self.process: Process | None = None

    def moved(self, state: Path) -> "DeployedCloud":
        """The same cloud, whose state is elsewhere now."""
        other = copy.copy(self)
        other.state = state
        return other

    def configure(self, settings: str, tables: str = SIMULATED) -> None:
        """Write pumice.toml."""
        text = f'bind = "{self.address}"\naccess_log = false\n{settings}\n{tables}'
        (self.state / "pumice.toml").write_text(text)

    def start(self, *before: str, environment: dict[str, str] | None = None) -> Process:
        """Start `pumice serve` (after the words `before`, e.g. setpriv) and wait until it is ready."""
        command = (BIN / "pumice", "serve", "--state", self.state)
        self.process = self.processes.start(*before, *command, environment=environment)
        self.process.wait_for_output("Pumice is ready", 60)
        return self.process

    def openstack(self, *words: str, cloud: str = "demo") -> subprocess.CompletedProcess[str]:
        """The stock client with the clouds.yaml that Pumice wrote, and nothing else."""
        environment = {**clean_environment(), "OS_CLIENT_CONFIG_FILE": str(self.state / "clouds.yaml")}
        command = [str(CLIENTS / "openstack"), "--os-cloud", cloud, *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)

    def password(self, cloud: str) -> str:
        section = (self.state / "clouds.yaml").read_text().split(f"\n  {cloud}:\n")[1]
        return section.split('password: "')[1].split('"')[0]

    def login(self, http: httpx.Client, url: str, user: str = "demo") -> dict[str, str]:
        """Log in at a URL; the header of the token."""
        who = {"name": user, "domain": {"name": "Default"}, "password": self.password(user)}
        scope = {"project": {"name": user, "domain": {"name": "Default"}}}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": who}}, "scope": scope}}
        answer = http.post(f"{url}/identity/v3/auth/tokens", json=body)
        assert answer.status_code == 201, answer.text
        return {"X-Auth-Token": answer.headers["X-Subject-Token"]}
