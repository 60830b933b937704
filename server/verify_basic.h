/* verify_basic.h - what a sender of a `basic` entry shows, for `cordon connect` and `cordon send`. */
#ifndef CORDON_VERIFY_BASIC_H
#define CORDON_VERIFY_BASIC_H

#include <stdbool.h>

#include "settings.h"

/**
 * Reads the settings of a `basic` entry: its user name, and of its passwords the newest that is good now.
 *
 * ret_username   in the reader's arena.
 * ret_password   yours to wipe; .file names it.
 * Returns        false: reader->faults say what is wrong, and nothing was written.
 */
bool basic_way(const struct settings_reader *reader, const struct yaml_node *node,
               const char **ret_username, struct secret *ret_password);

#endif
