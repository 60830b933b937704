{{secret}}headers="{{headers}}$secret"
set --{{socket}}
