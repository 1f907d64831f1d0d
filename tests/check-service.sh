#!/bin/sh -eu
# What can be said of the unit without systemd as process 1.  Run by "make
# check".  $PROG: the program; $TESTS: the folder of the path tests; $STANDIN:
# that of the stand-in libxen.
cd "$(dirname "$0")/.."
unit=systemd/xen-virtiod.service
bad=0
say() { echo "service: $*" >&2; bad=1; }

# 1. What systemd thinks of it: no line that it does not know, and an exposure
#    of 4.0 or less.  It looks whether the program is there: take ours.
check_systemd() {
	dir=$(mktemp -d)
	sed "s,^ExecStart=[^ ]*,ExecStart=$(realpath "$PROG")," $unit \
		>"$dir/xen-virtiod.service"
	# It looks at the units around this one, too, which are not ours.
	said=$(SYSTEMD_LOG_LEVEL=notice systemd-analyze verify --man=no \
		"$dir/xen-virtiod.service" 2>&1 | grep xen-virtiod || true)
	[ -z "$said" ] || say "systemd-analyze verify: $said"
	said=$(systemd-analyze security --no-pager --offline=true \
		--threshold=40 "$dir/xen-virtiod.service" 2>&1) ||
		say "systemd-analyze security: $(echo "$said" | tail -n 1)"
	rm -r "$dir"
}

# 2. Every kind of namespace that a worker makes is allowed.
check_namespaces() {
	allowed=$(sed -n 's/^RestrictNamespaces=//p' $unit)
	for ns in $(sed -n 's/^\t\t.*\(CLONE_NEW.*\),$/\1/p' src/sandbox.c |
		    tr -d , | sed 's/CLONE_NEW//g' | tr '[:upper:]' '[:lower:]')
	do
		case " $allowed " in
		*" $ns "*) ;;
		*) say "RestrictNamespaces= lacks $ns of src/sandbox.c" ;;
		esac
	done
}

# 3. The capabilities suffice for taps, and for the worker's shutting itself
#    in.  CAP_SYS_PTRACE is for the tests, which look whether it has.
check_capabilities() {
	caps=$(sed -n 's/^CapabilityBoundingSet=//p' $unit | tr ' ' '\n' |
		sed 's/^CAP_/+/' | tr '[:upper:]\n' '[:lower:],')
	for t in sandbox tap; do
		said=$(XEN_VIRTIOD=$PROG XEN_STANDIN=$STANDIN setpriv \
			--bounding-set "-all,$caps+sys_ptrace" --no-new-privs \
			"$TESTS/test_$t" 2>&1) ||
			say "test_$t without other capabilities: $said"
	done
}

if systemd-analyze --help 2>/dev/null | grep -q -e --offline; then
	check_systemd
else
	echo "  service: no systemd-analyze --offline here, not looked at"
fi
check_namespaces
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
	check_capabilities
else
	echo "  service: capabilities are tried by root only"
fi
[ $bad = 0 ] && echo "  service ok"
exit $bad
