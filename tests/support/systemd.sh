#!/usr/bin/env bash
# Runs a command beside a systemd of its own: `systemd.sh UNITS COMMAND…`. That systemd is a system manager, as it is in
# a container, in namespaces of its own, with the units in the folder UNITS and no others, and without D-Bus; there is a
# user `umbra`, and /usr/local/bin/umbra is the one that was built beside COMMAND. Nothing that it or the command does can
# be seen outside: the root is read-only, /tmp, /run and /var are empty and private, /etc is a copy, the network is only
# loopback. Ends with 77 where the system grants no such thing.
set -u
if [ "${INSIDE:-}" = "" ]; then
    for tool in unshare nsenter systemctl ip ps setpriv /lib/systemd/systemd; do
        command -v "$tool" >/dev/null || exit 77
    done
    [ "$(id -u)" = 0 ] || exit 77
    # Control groups: a group of our own in each hierarchy that systemd keeps its own things in.
    name="umbra-test-$$"
    groups=()
    trap 'for group in "${groups[@]}"; do find "$group" -depth -type d -exec rmdir {} + 2>/dev/null; done' EXIT
    for tree in /sys/fs/cgroup/systemd /sys/fs/cgroup/unified /sys/fs/cgroup; do
        [ -e "$tree/cgroup.procs" ] || continue
        mkdir "$tree/$name" 2>/dev/null || exit 77
        groups+=("$tree/$name")
    done
    [ ${#groups[@]} -gt 0 ] || exit 77
    script="$0"
    INSIDE="${groups[*]}" bash -c '
        for group in $INSIDE; do echo $$ > "$group/cgroup.procs" || exit 77; done
        exec unshare --mount --pid --fork --kill-child --mount-proc --cgroup --net --ipc --uts bash "$0" "$@"
    ' "$script" "$@"
    exit $?
fi

# From here on inside.
units=$(realpath "$1")
shift
# What is run, and what that runs, may lie in one of the places that are about to be emptied.
programs=$(realpath "$(dirname "$1")/..")
quiet() { "$@" >/dev/null 2>&1 || exit 77; }
mkdir -p "$units/empty"
quiet mount --make-rprivate /
# The units are copied before their folder, which may be in /tmp, is out of sight.
copy=$(mktemp -d)
quiet mount -t tmpfs tmpfs "$copy"
quiet cp -r "$units/." "$copy"
quiet mount -t tmpfs tmpfs /run
mkdir -p /run/units /run/programs /run/bin /run/etc
quiet mount --move "$copy" /run/units
rmdir "$copy"
quiet mount --bind "$programs" /run/programs
touch /run/bin/umbra /run/systemd.log
quiet mount --bind "$programs/umbra" /run/bin/umbra
cp -a /etc/. /run/etc 2>/dev/null
for place in /tmp /var; do quiet mount -t tmpfs tmpfs "$place"; done
mkdir -p /var/lib /var/tmp
chmod 1777 /tmp /var/tmp
for place in / /dev /sys; do quiet mount -o remount,bind,ro "$place"; done
for group in $INSIDE; do quiet mount --bind "$group" "${group%/*}"; done
quiet mount --rbind /run/bin /usr/local/bin
# What must never be reached from here: better no test than that.
for place in / /etc /root /home /usr /sys "$PWD"; do
    touch "$place/umbra-test-was-here" 2>/dev/null && { rm "$place/umbra-test-was-here"; exit 77; }
done
[ -z "$(ls -A /tmp)" ] || exit 77
quiet mount --bind /run/etc /etc
# Not the machine's console, and not its kernel's log.
quiet mount --bind /run/systemd.log /dev/console
quiet mount --bind /dev/null /dev/kmsg
if [ ! -e "$1" ]; then
    mkdir -p "$programs"
    quiet mount --bind /run/programs "$programs"
    quiet mount -o remount,bind,ro "$programs"
fi
quiet umount /run/programs
quiet ip link set lo up
if ! id umbra >/dev/null 2>&1; then
    echo 'umbra:x:990:990::/var/lib/umbra:/usr/sbin/nologin' >> /etc/passwd
    echo 'umbra:x:990:' >> /etc/group
fi

# It has to be the first process, and must not turn the kernel's knobs.
export container=umbra-test SYSTEMD_UNIT_PATH=/run/units SYSTEMD_GENERATOR_PATH=/run/units/empty
export SYSTEMD_ENVIRONMENT_GENERATOR_PATH=/run/units/empty
unshare --pid --fork --kill-child --mount-proc sh -c '
    mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys || exit 77
    exec /lib/systemd/systemd --system --unit=default.target --show-status=no --log-target=console
' >/dev/null 2>&1 &
beside() {
    nsenter --target "$(ps -o pid= --ppid $! | tr -d ' ')" --pid --mount "$@"
}
for _ in $(seq 100); do
    beside systemctl list-jobs >/dev/null 2>&1 && break
    sleep 0.1
done
beside systemctl list-jobs >/dev/null 2>&1 || { cat /run/systemd.log >&2; exit 77; }
beside "$@"
