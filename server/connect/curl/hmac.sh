{{secret}}id=$(printf '%s' "$body" | openssl dgst -sha256 -r | cut -c 1-32) # the body's: one delivery says one thing
time=$(date +%s)
key=$(printf '%s' "$secret"{{key_decoder}})
signature=$(printf '%s' "{{payload}}" |
    openssl dgst -{{digest}} -mac HMAC -macopt hexkey:"$key" -binary | {{encoder}})
headers="{{headers}}"
set --{{socket}}
