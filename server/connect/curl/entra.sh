client='{{client_id}}'
client=${CORDON_CLIENT_ID:-$client}
token=$(printf '%s' "$(cat "${CORDON_SECRET_FILE:?a file with the secret of the application}")" |
    curl -sS --fail-with-body -d grant_type=client_credentials -d "client_id=$client" \
        --data-urlencode client_secret@- --data-urlencode 'scope={{audience}}/.default' \
        '{{login_url}}/{{tenant_id}}/oauth2/v2.0/token' | sed -n 's/.*"access_token" *: *"\([^"]*\)".*/\1/p')
headers="Authorization: Bearer ${token:?no token}"
set --{{socket}}
