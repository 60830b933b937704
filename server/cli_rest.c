/* cli_rest.c - how the commands reach the outside world. */
#include "cli.h"
#include "rest.h"

enum err_code cli_rest_new(struct rest **ret, struct err *e)
{
    struct rest_options o = {.user_agent = "cordon/" CORDON_VERSION};

    rest_proxy_of_environment(&o);
    return rest_new(&o, ret, e);
}
