#!/bin/sh
# onnxruntime 1.32.0 (CPU package from PyPI, Linux): importing it creates an identifier of the machine.
#
# Expected: importing a runtime for inference writes nothing. The Python function
#   onnxruntime.disable_telemetry_events() is documented as the way to switch telemetry off, and telemetry as something
#   of the builds for Windows.
# Seen: `import onnxruntime` alone, without a model, creates ~/.cache/Microsoft/DeveloperTools/.onnxruntime with the file
#   `deviceid` (a UUID that later processes use again) and a database of events to be sent; a process that lives a few
#   seconds looks up mobile.events.data.microsoft.com. Calling disable_telemetry_events() directly after the import is
#   too late: the identifier exists by then. The environment variable ORT_DISABLE_TELEMETRY=1, set before the import,
#   prevents both. Version 1.28.0 writes nothing. CI systems do not see it: with the variable CI set, nothing happens.
# Why it matters: a tool that promises to send nothing breaks its promise by a dependency's update, its tests in CI stay
#   green, and the documented call gives false comfort.
# Source: https://github.com/microsoft/onnxruntime/blob/main/docs/Privacy.md
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/new"
python3 -m venv "$work/old"
"$work/new/bin/python" -m pip install --quiet onnxruntime==1.32.0 'numpy<3'
"$work/old/bin/python" -m pip install --quiet onnxruntime==1.28.0 'numpy<3'

# Prints what a program leaves in an empty home directory. A proxy that is not there keeps the events on this machine.
left() { # name, venv, program, further environment
    mkdir "$work/$1"
    (cd "$work" && env -i HOME="$work/$1" PATH="$PATH" https_proxy=http://127.0.0.1:9 ${4:-A=b} \
        "$work/$2/bin/python" -c "$3")
    (cd "$work/$1" && find . -name deviceid)
}

imported=$(left imported new 'import onnxruntime')
disabled=$(left disabled new 'import onnxruntime; onnxruntime.disable_telemetry_events()')
variable=$(left variable new 'import onnxruntime' ORT_DISABLE_TELEMETRY=1)
in_ci=$(left in_ci new 'import onnxruntime' CI=true)
older=$(left older old 'import onnxruntime')
echo "1.32.0, import:                              ${imported:-nothing}"
echo "1.32.0, import and disable_telemetry_events: ${disabled:-nothing}"
echo "1.32.0, ORT_DISABLE_TELEMETRY=1:             ${variable:-nothing}"
echo "1.32.0, CI=true:                             ${in_ci:-nothing}"
echo "1.28.0, import:                              ${older:-nothing}"
expected=./.cache/Microsoft/DeveloperTools/.onnxruntime/deviceid
[ "$imported" = "$expected" ] && [ "$disabled" = "$expected" ] && [ -z "$variable$in_ci$older" ]
