"""Every target driver by the name that the settings use for it."""

from collections.abc import Callable

from pumice.targets.config import TargetConfig
from pumice.targets.contract import TargetDriver
from pumice.targets.local import LocalTarget

DRIVERS: dict[str, Callable[[TargetConfig], TargetDriver]] = {
    "local": LocalTarget,
}
