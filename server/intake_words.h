/* intake_words.h - what names and ids look like in the bodies of senders. */
#ifndef CORDON_INTAKE_WORDS_H
#define CORDON_INTAKE_WORDS_H

#include <stdbool.h>

#define MACHINE_ID_MIN 32
#define MACHINE_ID_MAX 64 /* SHA-1 in hexadecimal is 40; room for what may come */

/** Is `name` the word `plain` (lower case letters), whatever its case and the `_`, `-` and blanks in it?
 *  AlertId, alert_id and "Alert ID" are alertid (webhook-sources.md section 2.2, shape 3). */
bool word_is(const char *name, const char *plain);
/** Does `id` name an alert by its looks? A provider's two letters (webhook-sources.md section 2.1), then a
 *  number or a GUID, and perhaps `_` and another number, which may be negative (defender-api.md section 2.5; of today's
 *  alerts Defender makes `da`, a GUID and `_1`). Not less: the plain GUID of some other product's message may begin with `da`,
 *  too. */
bool word_looks_like_alert(const char *id);
/** defender-api.md section 2.5: 1 to 128 letters, digits, `_`, `.`, `-`; and no dots alone, which a path
 *  would take for a folder. */
bool word_is_alert_id(const char *id);
/** MACHINE_ID_MIN to MACHINE_ID_MAX hexadecimal digits of either case. */
bool word_is_machine_id(const char *id);
bool word_is_guid(const char *s);
/** The product Defender for Endpoint, by one of its names in Graph, the streaming API or Sentinel. */
bool word_is_endpoint_product(const char *name);

#endif
