#!/bin/bash
# limits.sh BUILD-DIR: boots Debian's kernel in a small virtual machine, the daemon its first
# child, and tries the limits of jobs there (tests/lib/limits-inside.sh): few machines that run
# tests have controllers of cgroup2 to spare. Emulated, so it needs no KVM and some ten seconds.
set -euo pipefail
cd "$(dirname "$0")/../.."
build=${1:-build/release}
vm=build/vm
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# The kernel package that the plain name stands for, unpacked and not installed.
get_kernel() {
    local package
    [ ! -e $vm/vmlinuz ] || return 0
    rm -rf $vm.new && mkdir -p $vm.new
    package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: \(linux-image-[0-9][^ ]*\)$/\1/p' | head -n 1)
    (cd $vm.new && apt-get -qq download "$package" 2>/dev/null && dpkg-deb -x ./*.deb k)
    mv $vm.new/k/boot/vmlinuz-* $vm.new/vmlinuz
    rm -rf $vm.new/k $vm.new/*.deb $vm
    mv $vm.new $vm
}

# Programs with the libraries they are linked to, and a busybox for the rest.
make_initrd() {
    local root=$vm/root file
    rm -rf $root && mkdir -p $root/bin $root/dev $root/proc $root/sys $root/tmp
    cp /bin/busybox "$build/stintd" "$build/stint" $root/bin/
    ldd "$build/stintd" "$build/stint" | grep -o '/[^ ]*\.so[^ ]*' | sort -u |
        while read -r file; do
            mkdir -p "$root$(dirname "$file")"
            cp -L "$file" "$root$file"
        done
    cp tests/lib/limits-inside.sh $root/init
    (cd $root && find . | cpio -o -H newc --quiet) >$vm/initrd
}

get_kernel
make_initrd
timeout 120 qemu-system-x86_64 -machine q35,accel=tcg,usb=off,vmport=off -cpu max -smp 2 -m 512 \
    -nodefaults -display none -no-reboot -kernel $vm/vmlinuz -initrd $vm/initrd \
    -append 'console=ttyS0 quiet loglevel=3 mitigations=off nokaslr random.trust_cpu=on' \
    -chardev stdio,id=c,signal=off -serial chardev:c </dev/null | tr -d '\r' >"$log" || true
grep -E '^(ok  |FAIL) |^     \| ' "$log" || true
if ! grep -q '^ok   the_machine_reached_its_end$' "$log"; then
    echo "FAIL the_machine_reached_its_end"
    tail -n 30 "$log" | sed 's/^/     | /'
fi
! grep -q '^FAIL ' "$log" && grep -q '^ok   the_machine_reached_its_end$' "$log"
