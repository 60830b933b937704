{{secret}}id=$(printf '%s' "$1" | openssl dgst -sha256 -r | cut -c 1-32) # the alert's, without punctuation
time=$(date +%s)
key=$(printf '%s' "$secret"{{key_decoder}})
signature=$(printf '%s' "{{payload}}" |
    openssl dgst -{{digest}} -mac HMAC -macopt hexkey:"$key" -binary | {{encoder}})
headers="{{headers}}"
set --{{socket}}
