/* fuzz_policy.c - any text as a policy, any document as facts: a policy without a fault decides, its
 * verdict replays to the bit, and it never acts on a machine that Defender did not name.
 *
 * The input is the policy; behind a first zero byte, a JSON object {"alert":…,"machine":…}. Without one
 * it decides over a sample. Documents are short here: how long an expression may run on a long one is
 * the business of test_match.c.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include <sanitizer/lsan_interface.h>

#include "decide.h"
#include "yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW           ((int64_t)1735689600000)
#define DOCUMENTS_MAX 2048

static const char sample[] =
    "{\"alert\":{\"id\":\"da1\",\"severity\":\"High\",\"title\":\"Bad thing\",\"machineId\":\"m1\","
    "\"detectionSource\":\"MTP, Oracle\",\"mitreTechniques\":[\"T1003\"],"
    "\"alertCreationTime\":\"2024-12-31T23:00:00Z\",\"incidentId\":7},"
    "\"machine\":{\"id\":\"m1\",\"osPlatform\":\"Windows11\",\"machineTags\":[\"lab\"],"
    "\"deviceValue\":\"Normal\",\"lastIpAddress\":\"10.0.0.1\",\"isAadJoined\":true}}";

static const char *environment(const char *name)
{
    return strcmp(name, "A") == 0 ? "High" : NULL;
}

static const struct policy *compile(struct arena *a, const char *text, size_t len)
{
    struct yaml_faults faults;
    const struct settings_reader reader = {.arena = a, .faults = &faults, .env = environment};
    const struct policy *p;
    struct yaml_node *root;
    enum err_code code;

    yaml_faults_init(&faults, a);
    __lsan_disable(); /* libfyaml 0.7.12 loses memory on some faults; a configuration is read seldom */
    code = yaml_read(a, "policy", text, len, &root, NULL);
    __lsan_enable();
    if (code)
        return NULL;
    p = policy_compile(&reader, yaml_get(root, "rules"), yaml_get(root, "safety"));
    assert((p == NULL) == (faults.count > 0));
    return p;
}

/* What is kept of a policy makes the same one. */
static const struct policy *keep(struct arena *a, const struct policy *p)
{
    const struct policy *again;
    struct err e = {0};

    assert(policy_restore(a, policy_text(p), &again, &e) == ERR_OK);
    assert(strcmp(policy_hash(again), policy_hash(p)) == 0);
    return again;
}

static void judge(struct arena *a, const struct policy *p, const struct json *documents)
{
    AUTO(buf_clear) struct buf stored = BUF_INIT(1 << 20);
    AUTO(json_freep) struct json *doc = NULL, *text = NULL;
    const char *id = json_get_string(json_get(documents, "alert"), "id");
    struct facts f = {
        .tenant = "contoso",
        .source = "relay",
        .may_isolate = true,
        .alert_id = id ? id : "da1",
        .alert = json_get(documents, "alert"),
        .machine = json_get(documents, "machine"),
        .read_ms = NOW,
    };
    struct verdict v, again, read;
    const struct policy *kept = keep(a, p);
    struct facts g;

    if (decide(p, &f, NOW, a, &v, NULL)) {
        assert(json_type(f.alert) != JSON_OBJECT);
        return;
    }
    for (size_t i = 0; i < v.n_steps; i++)
        if (v.steps[i].acts && !v.steps[i].withheld) {
            const char *machine = json_get_string(f.machine, "id");

            assert(v.rule && !v.doubt && !policy_is_shadow(p) && id && machine);
            assert(strcasecmp(machine, json_get_string(f.alert, "machineId")) == 0);
        }
    assert(v.n_steps > 0); /* nobody stays silent */
    assert(json_parse(v.json, strlen(v.json), &text, NULL) == ERR_OK);
    assert(verdict_read(text, a, &read, NULL) == ERR_OK && strcmp(read.json, v.json) == 0);
    facts_write(&stored, &f);
    if (buf_failed(&stored) || json_parse(buf_text(&stored), stored.len, &doc, NULL) ||
        facts_read(doc, &g, NULL)) {
        /* too deep once it is wrapped, or a machine that is no object */
        assert(buf_failed(&stored) || json_type(f.machine) != JSON_OBJECT);
        return;
    }
    assert(decide(kept, &g, NOW, a, &again, NULL) == ERR_OK && strcmp(again.json, v.json) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *zero = memchr(data, 0, size);
    size_t len = zero ? (size_t)(zero - data) : size;
    const char *documents = zero ? (const char *)zero + 1 : sample;
    size_t documents_len = zero ? size - len - 1 : sizeof sample - 1;
    AUTO(arena_freep) struct arena *a = arena_new(0);
    AUTO(json_freep) struct json *doc = NULL;
    const struct policy *p;

    if (documents_len > DOCUMENTS_MAX || json_parse(documents, documents_len, &doc, NULL))
        return 0;
    p = compile(a, (const char *)data, len);
    if (p)
        judge(a, p, doc);
    return 0;
}
