/* SPDX-License-Identifier: Apache-2.0
 *
 * parts.c: parts of the record lane by themselves, for test_parts.py, without structs.
 */
#include <stdlib.h>

#include "flags.h"
#include "rules.h"

enum { STRING = 0, JSON_VALUE = 1, REPAIRED = 2 };

/* Writes data to out, which has room for six bytes for each of data and two more. Returns the
 * length; *valid: data was UTF-8 (STRING and REPAIRED). */
size_t part_text(int what, const char *data, size_t length, char *out, bool *valid) {
  text t = {NULL, 0, 0};
  slice s = {data, length};
  *valid = slice_is_utf8(s);
  if (what == STRING && text_json(&t, s) != *valid) {
    abort();
  }
  if (what == JSON_VALUE) {
    text_json_value(&t, s);
  }
  if (what == REPAIRED) {
    text_utf8(&t, s);
  }
  memcpy(out, t.data, t.length);
  free(t.data);
  return t.length;
}

void *part_rules_new(void) { return calloc(1, sizeof(rules)); }

void part_rules_free(rules *r) {
  rules_free(r);
  free(r);
}

void part_rules_add(rules *r, int kind, const char *pattern) { rules_add(r, kind, pattern); }

/* The verdict on a name; *key_length is 0 when no pattern spells the name out. */
unsigned part_verdict(const rules *r, const char *name, size_t length, size_t *key_length) {
  slice key;
  slice s = {name, length};
  unsigned verdict = rules_verdict(r, s, name_hash(s), &key);
  *key_length = key.length;
  return verdict;
}

size_t part_flags(uint64_t flags, char *out, size_t size) { return flags_text(flags, out, size); }
