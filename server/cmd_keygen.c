/* cmd_keygen.c - `cordon keygen`: new keys for senders. */
#include "cli.h"

#include <stdio.h>
#include <string.h>

#include "crypt.h"

struct options {
    bool ed25519;
};

static const struct cli_option options[] = {
    CLI_OPTION("ed25519", CLI_FLAG, struct options, ed25519, NULL,
               "a pair instead: whsk_… signs and stays with the sender, whpk_… verifies"),
    {.name = NULL},
};

static const struct cli_command command = {
    .name = "keygen",
    .about =
        "Prints a new Standard Webhooks secret, for a file of secret_files and for the sender:\n"
        "  (umask 077; cordon keygen > secrets/relay)",
    .options = options,
};

int cmd_keygen(int argc, char **argv)
{
    char secret[CRYPT_SECRET_SIZE], private[CRYPT_PRIVATE_SIZE], public[CRYPT_PUBLIC_SIZE];
    struct options o = {0};
    struct err e = {0};
    int code = cli_parse(argc, argv, &command, &o, NULL);

    if (code != CLI_GO_ON)
        return code;
    if (o.ed25519 ? crypt_new_pair(private, public, &e) : crypt_new_secret(secret, &e)) {
        cli_error("%s", e.text);
        return CLI_FAILED;
    }
    if (o.ed25519)
        (void)printf("%s\n%s\n", private, public);
    else
        (void)printf("%s\n", secret);
    explicit_bzero(secret, sizeof secret);
    explicit_bzero(private, sizeof private);
    return CLI_DONE;
}
