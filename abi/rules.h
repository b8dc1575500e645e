/* SPDX-License-Identifier: Apache-2.0
 *
 * rules.h: which headers of one side an entry shows, and which values it hides.
 *
 * A header is shown when an include pattern matches it and no exclude pattern does. Its value is
 * hidden when a redact pattern matches it. What is known of names while the config loads is decided
 * then, in a table (headers.h).
 */
#ifndef PYFILTER_RULES_H
#define PYFILTER_RULES_H

#include "services.h"
#include "text.h"

enum { RULE_KINDS = 3 }; /* PLAN_INCLUDE, PLAN_EXCLUDE, PLAN_REDACT */

/* A verdict on a name: a set of these. */
enum { HEADER_SHOWN = 1, HEADER_HIDDEN = 2 };

struct pattern;

typedef struct rules {
  struct pattern *patterns; /* of all kinds, as given */
  size_t count;
  bool has_globs;       /* other than a lone "*" */
  unsigned other_names; /* the verdict on a name that no pattern spells out, globs aside */
} rules;

/* Adds a pattern; only while the config loads. */
void rules_add(rules *r, int kind, const char *pattern);
void rules_free(rules *r);
/* The name that a pattern spells out; nothing when it is no name. */
slice rules_name(const rules *r, size_t pattern);
/* What stands for a hidden value. */
extern const slice REDACTED;
/* Whether the values of a lower-case name are hidden. */
bool rules_hide(const rules *r, slice name);
/* Matches a name with every pattern. */
unsigned rules_verdict(const rules *r, slice name);

#endif
