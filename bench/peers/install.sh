#!/bin/bash
# Installs the servers Parlor is measured against: npm packages into bench/node_modules, Debian
# packages through apt. What cannot be installed is left out; the report then shows that peer as
# failed, with the reason.
set -u
cd "$(dirname "$0")/.." || exit 1

if [ ! -d node_modules/ws ] || [ ! -d node_modules/bun ] || [ ! -d node_modules/@trufflesuite ]; then
    echo "bench: npm ci in bench/"
    npm ci --no-audit --no-fund || echo "bench: npm packages are missing"
fi

wanted=()
[ -x /usr/sbin/nginx ] || wanted+=(nginx-light)
[ -e /usr/lib/nginx/modules/ngx_nchan_module.so ] || wanted+=(libnginx-mod-nchan)
/usr/bin/python3 -c 'import channels, daphne' 2>/dev/null ||
    wanted+=(python3-django-channels python3-daphne)
[ ${#wanted[@]} -eq 0 ] && exit 0

as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)
echo "bench: apt-get install ${wanted[*]}"
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
    --no-install-recommends "${wanted[@]}" || echo "bench: ${wanted[*]} could not be installed"
exit 0
