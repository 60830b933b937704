/* analyzer.h - what clang's analyzer cannot see in another file, included first by `make lint`: an error
 * that was set is never ERR_OK, and a test that failed does not go on. Without it every early return looks
 * as if it might. */
#ifndef LINT_ANALYZER_H
#define LINT_ANALYZER_H

#include "err.h"

#define err_set(e, code, ...) (err_set((e), (code), __VA_ARGS__), (code))

/* cmocka's fail() and assert_…() end in this one. */
void _fail(const char *const file, const int line) __attribute__((noreturn));

#endif
