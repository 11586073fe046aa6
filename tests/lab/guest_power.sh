#!/bin/busybox sh
# guest_power.sh (in the guest: /etc/acpi/PWRF/00000080) - run by busybox acpid when the power button is pressed:
# the guest writes what it has in memory and goes off.
echo "POWER-BUTTON" >/dev/console
sync
poweroff -f
