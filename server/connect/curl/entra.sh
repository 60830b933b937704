client='{{client_id}}'
client=${CORDON_CLIENT_ID:-$client}
answer=$(printf '%s' "$(tr -d '\r' <"${CORDON_SECRET_FILE:?a file with the secret of the application}")" |
    curl -sS -d grant_type=client_credentials -d "client_id=$client" --data-urlencode client_secret@- \
        --data-urlencode 'scope={{audience}}/.default' '{{login_url}}/{{tenant_id}}/oauth2/v2.0/token')
token=$(printf '%s' "$answer" | sed -n 's/.*"access_token" *: *"\([^"]*\)".*/\1/p')
if [ -z "$token" ]; then
    echo "Entra ID gave no token: $answer" >&2
    exit 1
fi
headers="Authorization: Bearer $token"
set --{{socket}}
