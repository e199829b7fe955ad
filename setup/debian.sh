#!/bin/sh
# Install the Debian packages that the tests talk to: DCMTK, Orthanc, dicom3tools, plastimatch, PostgreSQL, Chromium,
# and a library by which they take fsync away from a process.
# Their daemons are kept from starting: policy-rc.d is put in place for the time of the installation and restored.
set -eu
packages=
need() { [ -e "$2" ] || packages="$packages $1"; }
need dcmtk /usr/bin/storescu
need orthanc /usr/sbin/Orthanc
need orthanc-dicomweb /usr/share/orthanc/plugins/libOrthancDicomWeb.so
need dicom3tools /usr/bin/dciodvfy
need plastimatch /usr/bin/plastimatch
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || packages="$packages postgresql"
need chromium /usr/bin/chromium
need util-linux /sbin/runuser
ls /usr/lib/*/libeatmydata.so >/dev/null 2>&1 || packages="$packages libeatmydata1"
need e2fsprogs /sbin/mkfs.ext4
[ -n "$packages" ] || exit 0
if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
    echo "Not installed:$packages. The tests that need them are skipped. As root on Debian: setup/debian.sh" >&2
    exit 0
fi
echo "Installing Debian packages (about 0.6 GB):$packages"
policy=/usr/sbin/policy-rc.d
saved=
if [ -e "$policy" ]; then saved=$(mktemp); cp -p "$policy" "$saved"; fi
restore() { if [ -n "$saved" ]; then mv "$saved" "$policy"; else rm -f "$policy"; fi; }
trap restore EXIT
trap 'exit 130' INT TERM
printf '#!/bin/sh\nexit 101\n' > "$policy"
chmod +x "$policy"
apt-get update -qq
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages >/dev/null
echo "Installed:$packages"
