#!/bin/sh
# install.sh install|uninstall DESTDIR PREFIX BUILD: puts the program where a service expects it.
# Settings that exist are kept; uninstalling leaves settings and jobs alone.
set -eu
verb=$1 destdir=$2 prefix=$3 build=$4
bin=$destdir$prefix/bin man=$destdir$prefix/share/man
# Units of a local prefix belong to /etc; a package (PREFIX=/usr) has them in /usr/lib.
if [ "$prefix" = /usr ]; then lib=$destdir/usr/lib; units=$lib/systemd/system; else
    lib=$destdir/etc units=$destdir/etc/systemd/system; fi

pages() { (cd man && ls -- *.[1-9]); }

install_all() {
    install -d "$bin" "$units" "$lib/sysusers.d" "$lib/tmpfiles.d" "$destdir/etc/stint"
    install -m 755 "$build/stintd" "$build/stint" "$bin/"
    sed "s|@BINDIR@|$prefix/bin|" systemd/stintd.service >"$units/stintd.service"
    chmod 644 "$units/stintd.service"
    install -m 644 systemd/stintd.socket "$units/"
    install -m 644 systemd/stint.sysusers "$lib/sysusers.d/stint.conf"
    install -m 644 systemd/stint.tmpfiles "$lib/tmpfiles.d/stint.conf"
    [ -e "$destdir/etc/stint/stintd.conf" ] ||
        install -m 644 systemd/stintd.conf "$destdir/etc/stint/stintd.conf"
    install -D -m 644 scheduler/gdb.py "$destdir$prefix/share/stint/gdb.py"
    for p in $(pages); do
        install -D -m 644 "man/$p" "$man/man${p##*.}/$p"
    done
    [ -n "$destdir" ] || echo "next: systemd-sysusers && systemctl daemon-reload && systemctl enable --now stintd.socket stintd"
}

uninstall_all() {
    rm -f "$bin/stintd" "$bin/stint" "$units/stintd.service" "$units/stintd.socket" \
        "$lib/sysusers.d/stint.conf" "$lib/tmpfiles.d/stint.conf" \
        "$destdir$prefix/share/stint/gdb.py"
    for p in $(pages); do rm -f "$man/man${p##*.}/$p"; done
    echo "kept: $destdir/etc/stint and $destdir/var/lib/stint"
}

case $verb in
install) install_all ;;
uninstall) uninstall_all ;;
*) echo "install.sh: install or uninstall" >&2; exit 2 ;;
esac
