#!/bin/sh -eu
# Who may include whom.  Run by "make check".  $BASE: base files of src/.
cd "$(dirname "$0")/.."
bad=0
say() { echo "layer: $*" >&2; bad=1; }

# 1. Our own headers: include/, a file's own folder, and - only for the wiring
#    files of src/ - any folder below src/.  A base file may include headers of
#    base files beside those of include/.
check_own() {	# check_own FILE HEADER
	dir=${1%/*} stem=$(basename "${1%.[ch]}")
	[ -f "include/$2" ] && return
	case $dir in
	include) ;;
	src/ctl) [ "$2" = devspec.h ] && return
		[ -f "$dir/$2" ] && return ;;
	src) case " $BASE " in
		*" $stem "*) case " $BASE " in *" ${2%.h} "*) return 0 ;; esac ;;
		*) [ -f "src/$2" ] && return ;;
		esac ;;
	*) [ -f "$dir/$2" ] && return ;;
	esac
	say "$1 may not include \"$2\""
}
# Names of ours have neither blanks nor wildcards.
# shellcheck disable=SC2044,SC2013
for f in $(find src include -name '*.[ch]'); do
	for h in $(sed -n 's/^#include "\([^"]*\)".*/\1/p' "$f"); do
		check_own "$f" "$h"
	done
done

# 2. Other people's headers: each has one home.
home() {	# home HEADER-PREFIX PATH-PATTERN
	for f in $(grep -rlE "^#include <($1)" src include || true); do
		echo "$f" | grep -qE "^($2)" || say "$f may not use <$1>"
	done
}
home 'xen'           'src/(ioreq/|xenstore\.c)'
home 'event2/'       'src/loop\.c'
home 'linux/virtio_' 'src/virtio/'
home 'linux/pci_'    'src/virtio/'
home 'liburing'      'src/backends/blk/ring\.h'
home 'linux/if_tun'  'src/(netdev\.c|sandbox\.c|backends/net/tap\.c)'
home 'seccomp'       'src/sandbox\.c'
home 'confuse'       'src/config\.c'
home 'libfdt'        'src/ctl/dtb\.c'
home 'json-c/'       'src/(control\.c|command\.c|ctl/)'
home 'sys/sdt'       'include/trace\.h'

# 3. A header that a few files of src/ have among themselves.
private() {	# private HEADER PATH-PATTERN
	for f in $(grep -rl "^#include \"$1\"" src include || true); do
		echo "$f" | grep -qE "^($2)$" || say "$f may not use \"$1\""
	done
}
private 'spec.h' 'src/(config|conftext|devspec|xsnode|spec(_[a-z]+)?)\.c'

# 4. No header of ours bears a system header's name.
# shellcheck disable=SC2044
for h in $(find src include tests -name '*.h'); do
	[ -e "/usr/include/$(basename "$h")" ] && say "$h bears a system header's name"
done

[ $bad = 0 ] && echo "  layers ok"
exit $bad
