/* main.c - the program's first line; the commands are in cmd_list.h. */
#include "cli.h"

int main(int argc, char **argv)
{
    return cli_main(argc, argv);
}
