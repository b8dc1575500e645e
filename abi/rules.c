/* SPDX-License-Identifier: Apache-2.0
 *
 * rules.c: see rules.h.
 */
#include "rules.h"

#include <fnmatch.h>
#include <stdlib.h>

const slice REDACTED = {"[redacted]", 10};

enum { LONGEST_ON_STACK = 256 };

typedef enum { PATTERN_NAME, PATTERN_ALL, PATTERN_PREFIX, PATTERN_GLOB } pattern_type;

typedef struct pattern {
  int kind;
  pattern_type type;
  slice text; /* of a prefix without its "*"; zero-terminated otherwise */
} pattern;

/* What fnmatch has to be asked for, and what a comparison can tell. */
static pattern_type type_of(const char *given) {
  size_t first = strcspn(given, "*?[\\");
  if (given[first] == '\0') {
    return PATTERN_NAME;
  }
  if (given[first] == '*' && given[first + 1] == '\0') {
    return first == 0 ? PATTERN_ALL : PATTERN_PREFIX;
  }
  return PATTERN_GLOB;
}

static bool pattern_matches(const pattern *p, slice name, const char *terminated) {
  switch (p->type) {
  case PATTERN_NAME:
    return slice_is(p->text, name);
  case PATTERN_PREFIX:
    return name.length >= p->text.length && memcmp(name.data, p->text.data, p->text.length) == 0;
  case PATTERN_GLOB:
    return fnmatch(p->text.data, terminated, 0) == 0;
  case PATTERN_ALL:
    break;
  }
  return true;
}

/* The verdict from the patterns of one kind each: matched[kind]. */
static unsigned verdict_of(const bool matched[RULE_KINDS]) {
  return (matched[PLAN_INCLUDE] && !matched[PLAN_EXCLUDE] ? HEADER_SHOWN : 0) |
         (matched[PLAN_REDACT] ? HEADER_HIDDEN : 0);
}

/* fnmatch wants a zero byte behind the name. */
unsigned rules_verdict(const rules *r, slice name) {
  bool matched[RULE_KINDS] = {false, false, false};
  char stack[LONGEST_ON_STACK];
  char *copy = name.length < sizeof stack ? stack : must_allocate(name.length + 1);
  if (name.length > 0) {
    memcpy(copy, name.data, name.length);
  }
  copy[name.length] = '\0';
  for (size_t i = 0; i < r->count; i++) {
    const pattern *p = &r->patterns[i];
    matched[p->kind] = matched[p->kind] || pattern_matches(p, name, copy);
  }
  if (copy != stack) {
    free(copy);
  }
  return verdict_of(matched);
}

/* What all of them say of a name that none spells out, globs aside. */
static void sum_up(rules *r) {
  bool all[RULE_KINDS] = {false, false, false};
  r->has_globs = false;
  for (size_t i = 0; i < r->count; i++) {
    const pattern *p = &r->patterns[i];
    all[p->kind] = all[p->kind] || p->type == PATTERN_ALL;
    r->has_globs = r->has_globs || p->type == PATTERN_GLOB || p->type == PATTERN_PREFIX;
  }
  r->other_names = verdict_of(all);
}

void rules_add(rules *r, int kind, const char *given) {
  r->patterns = one_more(r->patterns, r->count, sizeof *r->patterns);
  pattern *added = &r->patterns[r->count++];
  added->kind = kind;
  added->type = type_of(given);
  added->text = slice_copy(given, strlen(given));
  if (added->type == PATTERN_PREFIX) {
    added->text.length--;
  }
  sum_up(r);
}

slice rules_name(const rules *r, size_t i) {
  return r->patterns[i].type == PATTERN_NAME ? r->patterns[i].text : (slice){NULL, 0};
}

void rules_free(rules *r) {
  for (size_t i = 0; i < r->count; i++) {
    free((char *)r->patterns[i].text.data);
  }
  free(r->patterns);
}

bool rules_hide(const rules *r, slice name) { return rules_verdict(r, name) & HEADER_HIDDEN; }
