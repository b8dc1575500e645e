/* SPDX-License-Identifier: Apache-2.0
 *
 * rules.c: see rules.h. Names that patterns spell out have their verdict in a hash table; a name
 * that is not there takes the verdict on all others, and only where there are globs is it matched.
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
  slice key;  /* of a name: as a JSON key */
} pattern;

typedef struct rules_entry {
  slice name; /* data NULL: free */
  uint32_t hash;
  unsigned verdict;
  slice key; /* the name as a JSON key, its colon included */
} rules_entry;

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

/* Matches a name with every pattern. fnmatch wants a zero byte behind the name. */
static unsigned match_all(const rules *r, slice name) {
  bool matched[RULE_KINDS] = {false, false, false};
  char stack[LONGEST_ON_STACK];
  char *copy = name.length < sizeof stack ? stack : must_allocate(name.length + 1);
  memcpy(copy, name.data, name.length);
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

/* The place of a name in the table: where it stands, or where it would. */
static rules_entry *find(const rules *r, slice name, uint32_t hash) {
  size_t at = hash & (r->table_size - 1);
  while (r->table[at].name.data != NULL &&
         (r->table[at].hash != hash || !slice_is(r->table[at].name, name))) {
    at = (at + 1) & (r->table_size - 1);
  }
  return &r->table[at];
}

/* Makes the table anew: at least half of it stays free, so that a search ends soon. */
static void compile(rules *r) {
  bool all[RULE_KINDS] = {false, false, false};
  r->table_size = 16;
  while (r->table_size < r->count * 2) {
    r->table_size *= 2;
  }
  free(r->table);
  r->table = calloc(r->table_size, sizeof *r->table);
  if (r->table == NULL) {
    abort();
  }
  r->has_globs = false;
  for (size_t i = 0; i < r->count; i++) {
    const pattern *p = &r->patterns[i];
    all[p->kind] = all[p->kind] || p->type == PATTERN_ALL;
    r->has_globs = r->has_globs || p->type == PATTERN_GLOB || p->type == PATTERN_PREFIX;
    if (p->type == PATTERN_NAME) {
      uint32_t hash = name_hash(p->text);
      *find(r, p->text, hash) = (rules_entry){p->text, hash, match_all(r, p->text), p->key};
    }
  }
  r->other_names = verdict_of(all);
}

/* A name as it stands in an entry. */
static slice json_key(slice name) {
  text key = {NULL, 0, 0};
  text_json(&key, name);
  text_byte(&key, ':');
  slice exact = slice_copy(key.data, key.length);
  free(key.data);
  return exact;
}

void rules_add(rules *r, int kind, const char *given) {
  r->patterns = realloc(r->patterns, (r->count + 1) * sizeof *r->patterns);
  if (r->patterns == NULL) {
    abort();
  }
  pattern *added = &r->patterns[r->count++];
  added->kind = kind;
  added->type = type_of(given);
  added->text = slice_copy(given, strlen(given));
  if (added->type == PATTERN_PREFIX) {
    added->text.length--;
  }
  added->key = added->type == PATTERN_NAME ? json_key(added->text) : (slice){NULL, 0};
  compile(r);
}

void rules_free(rules *r) {
  for (size_t i = 0; i < r->count; i++) {
    free((char *)r->patterns[i].text.data);
    free((char *)r->patterns[i].key.data);
  }
  free(r->patterns);
  free(r->table);
}

unsigned rules_verdict(const rules *r, slice name, uint32_t hash, slice *key) {
  *key = (slice){NULL, 0};
  if (r->table == NULL) {
    return 0;
  }
  const rules_entry *entry = find(r, name, hash);
  if (entry->name.data != NULL) {
    *key = entry->key;
    return entry->verdict;
  }
  return r->has_globs ? match_all(r, name) : r->other_names;
}

bool rules_hide(const rules *r, slice name) {
  slice key;
  return rules_verdict(r, name, name_hash(name), &key) & HEADER_HIDDEN;
}
