/* cmd_smtp_child.c - the hidden command behind which a mail is sent; see smtp.h. */
#include "smtp.h"

#include <unistd.h>

#include "cli.h"

int cmd_smtp_child(int argc, char **argv)
{
    (void)argv;
    return argc == 1 ? smtp_child_main(STDIN_FILENO, STDOUT_FILENO) : 2;
}
