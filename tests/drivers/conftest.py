"""The driver tests' real hypervisor is the session's: `libvirt_hypervisor` in `tests/conftest.py`."""
