#!/bin/sh
# Pushes an alert to cordon's source {{source}}, proving itself by {{scheme}}:
#
#   sh send-alert.sh ALERT_ID [MACHINE_ID]
#
# CORDON_URL names another place. {{secret_comment}}
set -eu
url='{{url}}'
url=${CORDON_URL:-$url}
case ${1:?ALERT_ID}${2-} in
*[!A-Za-z0-9_.-]*) echo "ids have letters, digits, _, . and - only" >&2; exit 2 ;;
esac
body=$(printf '{"alertId":"%s"' "$1"; [ -z "${2-}" ] || printf ',"machineId":"%s"' "$2"; printf '}')
{{proof}}printf '%s\n' "$headers" | curl -g -sS -i --fail-with-body -X POST -H 'Content-Type: application/json' -H @- \
    --data-raw "$body" "$@" "$url"
