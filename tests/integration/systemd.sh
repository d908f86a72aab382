#!/bin/bash
# systemd.sh BUILD-DIR: installs into a minimal Debian root, boots systemd there, and uses the
# service as an operator would (tests/lib/systemd-inside.sh). Needs root; the machine's own
# systemd, cgroups and network stay as they are.
set -euo pipefail
cd "$(dirname "$0")/../.."
build=${1:-build/release}
root=build/root-bookworm
id=stint-boot-$$
log=$(mktemp)
libraries=libmicrohttpd12,libsqlite3-0,libjansson4,libcurl4,libarchive13,libssl3,libsystemd0,libinih1

make_root() {
    local mirror
    [ ! -e "$root/etc/machine-id" ] || return 0
    rm -rf "$root" "$root.new"
    # The mirror that this machine's own packages come from.
    # shellcheck disable=SC2016  # apt's own variable
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Codename: bookworm' 'Component: main' | head -n 1)
    mmdebstrap --mode=root --variant=minbase --quiet \
        --aptopt='Acquire::Languages "none"' --aptopt='APT::Install-Recommends "false"' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --include="systemd,systemd-sysv,dbus,curl,procps,$libraries" bookworm "$root.new" \
        "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror bookworm main"
    for unit in systemd-timesyncd.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
        e2scrub_all.timer fstrim.timer getty@tty1.service console-getty.service; do
        ln -sf /dev/null "$root.new/etc/systemd/system/$unit"
    done
    echo testbox >"$root.new/etc/hostname"
    : >"$root.new/etc/machine-id"
    mv "$root.new" "$root"
}

hierarchies() { for h in /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do [ ! -d $h ] || echo $h; done
    [ -d /sys/fs/cgroup/systemd ] || echo /sys/fs/cgroup; }

# TERM lets the systemd inside end; after a KILL it would live on.
end() {
    local h
    [ -z "${nspawn:-}" ] || kill -TERM "$nspawn" 2>/dev/null || true
    [ -z "${nspawn:-}" ] || wait "$nspawn" 2>/dev/null || true
    for h in $(hierarchies); do find "$h/$id" -depth -type d -exec rmdir {} + 2>/dev/null || true; done
    rm -f "$log"
}
trap end EXIT

boot() {
    local h
    for h in $(hierarchies); do mkdir -p "$h/$id"; done
    (
        for h in $(hierarchies); do echo "$BASHPID" >"$h/$id/cgroup.procs"; done
        exec systemd-nspawn --quiet --directory="$root" --machine="$id" --boot --register=no --keep-unit \
            --volatile=overlay --private-network --console=pipe --kill-signal=SIGRTMIN+4
    ) </dev/null >"$log" 2>&1 &
    nspawn=$!
    for _ in $(seq 500); do
        leader=$(pgrep -P "$nspawn" | head -n 1 || true)
        [ -z "$leader" ] || [ ! -S "/proc/$leader/root/run/systemd/private" ] || return 0
        kill -0 "$nspawn" 2>/dev/null || break
        sleep 0.02
    done
    cat "$log"
    echo "FAIL systemd_boots_in_a_minimal_root"
    exit 1
}

make_root
make --no-print-directory install DESTDIR="$PWD/$root" PREFIX=/usr VARIANT="$(basename "$build")" >/dev/null
boot
nsenter -t "$leader" -a -- timeout 60 systemctl is-system-running --wait >/dev/null || true
echo "ok   systemd_boots_in_a_minimal_root"
nsenter -t "$leader" -a -- /bin/bash -s <tests/lib/systemd-inside.sh
