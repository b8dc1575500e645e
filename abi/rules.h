/* SPDX-License-Identifier: Apache-2.0
 *
 * rules.h: which headers of one side an entry shows, and which values it hides.
 *
 * A header is shown when an include pattern matches it and no exclude pattern does. Its value is
 * hidden when a redact pattern matches it. All of it is decided while the config loads, as far as
 * names are known then.
 */
#ifndef PYFILTER_RULES_H
#define PYFILTER_RULES_H

#include "services.h"
#include "text.h"

enum { RULE_KINDS = 3 }; /* PLAN_INCLUDE, PLAN_EXCLUDE, PLAN_REDACT */

/* A verdict on a name: a set of these. */
enum { HEADER_SHOWN = 1, HEADER_HIDDEN = 2 };

struct rules_entry; /* a name that stands in a pattern, and its verdict */
struct pattern;

typedef struct rules {
  struct pattern *patterns; /* of all kinds, as given */
  size_t count;
  struct rules_entry *table; /* open addressing, a power of two */
  size_t table_size;
  bool has_globs;       /* other than a lone "*" */
  unsigned other_names; /* the verdict on a name that no pattern spells out, globs aside */
} rules;

/* Adds a pattern and compiles anew; only while the config loads. */
void rules_add(rules *r, int kind, const char *pattern);
void rules_free(rules *r);
/* A cheap hash of a name, for the table and for telling names apart. */
static inline uint32_t name_hash(slice name) {
  const unsigned char *at = (const unsigned char *)name.data;
  size_t length = name.length;
  if (length == 0) {
    return 0;
  }
  uint32_t mixed = (uint32_t)length * 0x9e3779b1u ^ (uint32_t)at[0] << 24 ^
                   (uint32_t)at[length / 2] << 16 ^ (uint32_t)at[length / 3] << 8 ^ at[length - 1];
  mixed *= 0x85ebca6bu;
  return mixed ^ mixed >> 15;
}
/* What stands for a hidden value. */
extern const slice REDACTED;
/* Whether the values of a lower-case name are hidden. */
bool rules_hide(const rules *r, slice name);
/* key: for a name that a pattern spells out, the name as a JSON key with its colon; else empty. */
unsigned rules_verdict(const rules *r, slice name, uint32_t hash, slice *key);

#endif
