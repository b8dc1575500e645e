/* SPDX-License-Identifier: Apache-2.0
 *
 * notes.c: what a Python hook says of its stream. The only thing in the record lane that allocates
 * for a stream, because only the stream's own filter knows how much it says.
 */
#include <stdlib.h>

#include "entry.h"
#include "stream.h"

static const slice REDACTED_JSON = {"\"[redacted]\"", 12};

/* Control bytes could end the line of an access log that prints the note; they become spaces. */
static void without_controls(char *at, size_t length) {
  for (size_t i = 0; i < length; i++) {
    if ((unsigned char)at[i] < 0x20 || at[i] == 0x7f) {
      at[i] = ' ';
    }
  }
}

/* Copies what may be nothing at all to at, and returns where it went. */
static slice keep(char *at, slice s) {
  if (s.length > 0) {
    memcpy(at, s.data, s.length);
  }
  return (slice){at, s.length};
}

/* A note in one piece of memory: the struct, then its key, its text, its JSON. */
static note *note_new(int kind, slice key, slice plain, slice json) {
  note *n = must_allocate(sizeof *n + key.length + plain.length + json.length);
  char *at = (char *)(n + 1);
  n->next = NULL;
  n->kind = kind;
  n->key = keep(at, key);
  n->text = keep(at + key.length, plain);
  n->json = keep(at + key.length + plain.length, json);
  without_controls(at + key.length, plain.length);
  return n;
}

/* Whether the new note takes the place of this one: a key of notes stands once. */
static bool replaces(const note *added, const note *old) {
  return added->kind == NOTE_NOTE && old->kind == NOTE_NOTE && slice_is(added->key, old->key);
}

/* Whether a note tells the value of a request header that entries do not show. Header names in
 * notes are as their author wrote them, in rules they are lower-case. */
static bool is_secret(const plan *p, int kind, slice name) {
  if (kind == NOTE_NOTE) {
    return false;
  }
  slice lower = slice_copy(name.data, name.length);
  char *at = (char *)lower.data;
  for (size_t i = 0; i < lower.length; i++) {
    at[i] = at[i] >= 'A' && at[i] <= 'Z' ? (char)(at[i] | 0x20) : at[i];
  }
  bool secret = rules_hide(&p->rules[PLAN_REQUEST], lower);
  free(at);
  return secret;
}

enum { MOST_NOTES = 256 }; /* the list is walked for each new one, on the worker */

/* Puts a note at its place in the list: that of the note it replaces, or the end. */
static void place(record *r, note *added) {
  note **at = &r->notes;
  while (*at != NULL && !replaces(added, *at)) {
    at = &(*at)->next;
  }
  if (*at == NULL) {
    r->note_count++;
  } else {
    note *old = *at;
    added->next = old->next;
    free(old);
  }
  *at = added;
}

void pyfilter_record_note(pyfilter_stream *s, int kind, const char *key, size_t key_length,
                          const char *plain, size_t plain_length, const char *json,
                          size_t json_length) {
  const plan *p = s->config->plan;
  if (p == NULL) {
    return;
  }
  if (s->record.note_count >= MOST_NOTES) {
    host_http.count(s->envoy, p->counters[COUNT_DROPPED_NOTES], 1);
    return;
  }
  slice name = {key, key_length};
  if (is_secret(p, kind, name)) {
    place(&s->record, note_new(kind, name, REDACTED, REDACTED_JSON));
  } else {
    place(&s->record,
          note_new(kind, name, (slice){plain, plain_length}, (slice){json, json_length}));
  }
}

void record_end(pyfilter_stream *s) {
  note *next;
  for (note *n = s->record.notes; n != NULL; n = next) {
    next = n->next;
    free(n);
  }
  s->record.notes = NULL;
  s->record.note_count = 0;
  free(s->record.details);
  s->record.details = NULL;
}
