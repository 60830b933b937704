secret_file='{{secret_file}}'
secret=$(tr -d '\r' <"${CORDON_SECRET_FILE:-$secret_file}") # cordon cuts the end of the line, too
