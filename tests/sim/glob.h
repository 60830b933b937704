/* glob.h - * and ?, without case: how faults and journal queries name paths. */
#ifndef SIM_GLOB_H
#define SIM_GLOB_H

#include <stdbool.h>

/** true when the whole of text matches; pattern NULL matches everything. */
bool glob_matches(const char *pattern, const char *text);

#endif
