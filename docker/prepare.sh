#!/bin/sh
# Make the user that the node runs as, its folders and its configuration. Nobody needs root to receive a CT: port 11112 is above 1024.
# The numbers are fixed so that volumes can be given to it. An argument names another root folder than /.
set -eu
root=${1:-/}
groupadd --prefix "$root" --gid 11112 delineate
useradd --prefix "$root" --uid 11112 --gid 11112 --home-dir /var/lib/delineate --no-create-home \
    --shell /usr/sbin/nologin delineate
for folder in var/lib/delineate etc/delineate; do
    mkdir -p "$root/$folder"
    chown 11112:11112 "$root/$folder"
done
# In the image the node listens on every address of its container and writes to its volume.
sed -e 's|^\( *bind:\) *[^ ]*|\1 0.0.0.0|' -e 's|^\( *storage:\) *[^ ]*|\1 /var/lib/delineate|' \
    "$(dirname "$0")/../config.yaml" > "$root/etc/delineate/config.yaml"
