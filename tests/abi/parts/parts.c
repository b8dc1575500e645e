/* SPDX-License-Identifier: Apache-2.0
 *
 * parts.c: parts of the record lane by themselves, for test_parts.py, without structs.
 */
#include <stdlib.h>

#include "decimal.h"
#include "escape.h"
#include "flags.h"
#include "headers.h"
#include "label.h"
#include "seen.h"

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

/* Has a table made of the rules look at a map of these headers, values all "v". Writes each that is a
 * member of lines as its number, USE_HIDDEN and its key's length; returns how many. *repeated: a name
 * may have come before; *kept: the number of the first header of the name `keep`, or -1. */
size_t part_look(const rules *r, const char **names, size_t count, const char *keep,
                 size_t out[][3], bool *repeated, int *kept) {
  header_table t;
  header_room room = {.capacity = 0};
  header_view view;
  kept_headers places = {{NULL}};
  header_room_for(&room, count);
  for (size_t i = 0; i < count; i++) {
    room.headers[i] = (http_header){(char *)names[i], strlen(names[i]), (char *)"v", 1};
  }
  headers_compile(&t, r, true, false);
  headers_keep(&t, (slice){keep, strlen(keep)}, KEPT_FIXED);
  headers_compiled(&t);
  headers_look(&t, &room, count, &view, &places);
  headers_look(&t, &room, count, &view, &places); /* again, with what was found as a guess */
  for (size_t i = 0; i < view.listed_count; i++) {
    const listed_header *l = &view.listed[i];
    out[i][0] = (size_t)(l->header - room.headers);
    out[i][1] = l->use->use & USE_HIDDEN;
    out[i][2] = l->use->key.length;
  }
  *repeated = view.repeated;
  *kept = places.at[KEPT_FIXED] == NULL ? -1 : (int)(places.at[KEPT_FIXED] - room.headers);
  headers_free(&t);
  header_room_free(&room);
  return view.listed_count;
}

size_t part_flags(uint64_t flags, char *out, size_t size) { return flags_text(flags, out, size); }

bool part_decimal(const char *data, size_t length, uint64_t *number) {
  return decimal_whole((slice){data, length}, number);
}

/* Writes data as the value of a label, with these as the metric's labels; returns the length. */
size_t part_label(const char *data, size_t length, const char **names, size_t count, char *out) {
  slice known[8];
  text t = {NULL, 0, 0};
  for (size_t i = 0; i < count; i++) {
    known[i] = (slice){names[i], strlen(names[i])};
  }
  label_put(&t, (slice){data, length}, known, count);
  memcpy(out, t.data, t.length);
  free(t.data);
  return t.length;
}

void *part_seen_new(size_t most) {
  seen *made = malloc(sizeof *made);
  if (made == NULL) {
    abort();
  }
  seen_init(made, most);
  return made;
}

/* Where the text is from now on; NULL: the set is full. */
const void *part_seen_get(seen *s, const char *data, size_t length) {
  const seen_text *found = seen_get(s, (slice){data, length});
  if (found != NULL && !slice_is(found->text, (slice){data, length})) {
    abort();
  }
  return found;
}

void part_seen_free(seen *s) {
  seen_free(s);
  free(s);
}
