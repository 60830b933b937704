{{secret}}username='{{username}}'
headers="Authorization: Basic $(printf '%s:%s' "$username" "$secret" | openssl base64 -A)"
set --{{socket}}
