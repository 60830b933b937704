/* cmd_init.c - `cordon init`: writes the starter configuration. */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "config.h"

static const struct cli_command command = {
    .name = "init",
    .args = "[FILE]",
    .about =
        "Writes a commented starter configuration to FILE (cordon.yaml; - is stdout): alerts of\n"
        "severity High isolate the machine, and every alert is mailed.\n"
        "A file that is there already is left alone.",
    .most_args = 1,
};

static bool write_all(int fd, const char *bytes, size_t len)
{
    while (len) {
        ssize_t n = write(fd, bytes, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

int cmd_init(int argc, char **argv)
{
    const char *file = "cordon.yaml";
    struct cli_words words;
    int code = cli_parse(argc, argv, &command, NULL, &words), fd, error;

    if (code != CLI_GO_ON)
        return code;
    if (words.count)
        file = words.items[0];
    if (strcmp(file, "-") == 0) {
        (void)fputs(config_starter, stdout); /* cli_main says when it did not go */
        return CLI_DONE;
    }

    /* 0600: what people add to it later is nobody else's business. */
    fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        if (errno == EEXIST)
            cli_error("%s is there already, and is left alone", file);
        else
            cli_error("cannot write %s: %s", file, strerrordesc_np(errno));
        return CLI_FAILED;
    }
    error = write_all(fd, config_starter, strlen(config_starter)) && fsync(fd) == 0 ? 0 : errno;
    if (close(fd) < 0 && !error)
        error = errno;
    if (error) {
        cli_error("cannot write %s: %s", file, strerrordesc_np(error));
        (void)unlink(file); /* half a file would keep the next `cordon init` away */
        return CLI_FAILED;
    }
    (void)printf("Wrote %s. Next: fill it in, and let `cordon check -c %s` say what is missing.\n",
                 file, file);
    return CLI_DONE;
}
