{{secret}}headers=
set -- --url-query "{{query}}=$secret"{{socket}}
