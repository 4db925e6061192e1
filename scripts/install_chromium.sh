#!/bin/sh
# A Chromium for the browser tests, unless one is here. Where none can be installed the tests
# say so and fail; this script itself does not stop `make test`.
for name in chromium chromium-browser google-chrome; do
    command -v "$name" >/dev/null 2>&1 && exit 0
done
if command -v apt-get >/dev/null 2>&1; then
    sudo=""
    [ "$(id -u)" -eq 0 ] || sudo="sudo -n"
    $sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
        $sudo apt-get install -y -qq --no-install-recommends chromium >/dev/null && exit 0
fi
[ -x .venv/bin/playwright ] && .venv/bin/playwright install chromium && exit 0
echo "No Chromium could be installed; the browser tests will fail and say so." >&2
exit 0
