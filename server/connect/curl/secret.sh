secret_file='{{secret_file}}'
secret=$(cat "${CORDON_SECRET_FILE:-$secret_file}")
