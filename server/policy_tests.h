/* policy_tests.h - what a policy is to say of facts, written beside it: `tests:` of the configuration.
 *
 *     tests:
 *       - name: nobody isolates a server unasked
 *         facts: {alert.severity: High, machine.os: WindowsServer2022}
 *         expect: {rule: contain-high, steps: [email], withheld: "protected: machine.os*"}
 *
 * They are judged whenever the file is read, as `decide` would judge, and one that fails is a fault of the
 * file: `cordon check` shows it, and a reload is refused. They judge as if nothing were in shadow mode, so that
 * they hold before and after a policy goes live.
 *
 * `facts` names fields as rules do. What it does not say is, of the machine, an ordinary workstation, and of
 * the alert nothing: a rule that asks for more of it is in doubt. A time is a timestamp or an age (2h); null
 * is what Defender did not send. `alert` and `machine` are documents as Defender sends them, in the place
 * of those; `machine: none` is one that Defender does not know. A machine's id that is said in one document alone
 * holds for both. `at` is the present, 2026-01-01T00:00:00Z unless it is said.
 *
 * `steps` are those that would be done, in order; `withheld` is a glob for the reason of those that are held
 * back, or none; `rule` is the rule's name, or none. What is not said is not looked at.
 */
#ifndef CORDON_POLICY_TESTS_H
#define CORDON_POLICY_TESTS_H

#include <stddef.h>

#include "policy.h"

/* Whose alerts a test may be about; a test's `source` names one. */
struct policy_tests_source {
    const char *name, *tenant;
    bool may_isolate;
};

/**
 * Judges every test of a list. Faults of the list, and tests that fail, go to reader->faults with their
 * places; nothing of it stays in reader->arena.
 *
 * sources, n  a test that names none is about the first one, which may isolate then.
 * Returns     how many there are.
 */
size_t policy_tests_run(const struct settings_reader *reader, const struct yaml_node *tests,
                        const struct policy *p, const struct policy_tests_source *sources,
                        size_t n);

#endif
