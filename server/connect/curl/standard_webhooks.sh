{{secret}}id=$(printf %s "alert-$1${2:+-$2}" | tr . :) time=$(date +%s)
key=$(printf '%s' "${secret#whsec_}" | openssl base64 -d -A | od -An -v -tx1 | tr -d ' \n')
signature=$(printf '%s.%s.%s' "$id" "$time" "$body" |
    openssl dgst -sha256 -mac HMAC -macopt hexkey:"$key" -binary | openssl base64 -A)
headers=$(printf 'webhook-id: %s\nwebhook-timestamp: %s\nwebhook-signature: v1,%s' "$id" "$time" "$signature")
set --{{socket}}
