headers=
set --{{socket}}
