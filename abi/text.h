/* SPDX-License-Identifier: Apache-2.0
 *
 * text.h: bytes that are read (slice) and bytes that are being written (text).
 *
 * A text grows as needed and is kept for the next entry, so a worker that has warmed up allocates
 * nothing. Out of memory ends the process: there is nothing sensible to do without it.
 */
#ifndef PYFILTER_TEXT_H
#define PYFILTER_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Borrowed bytes; data may be NULL when length is 0. */
typedef struct slice {
  const char *data;
  size_t length;
} slice;

typedef struct text {
  char *data;
  size_t length;
  size_t capacity;
} text;

#define SLICE(literal) ((slice){(literal), sizeof(literal) - 1})

void *must_allocate(size_t size);
/* A copy with a zero byte behind it; the caller frees data. */
slice slice_copy(const char *data, size_t length);

void text_grow(text *t, size_t more);
void text_number(text *t, uint64_t number);
/* Appends s as a JSON string, with its quotes. False when it was not UTF-8 and was repaired. */
bool text_json(text *t, slice s);
/* Appends JSON text from Python so that it stays on one line. */
void text_json_value(text *t, slice json);
/* Appends s with what is not UTF-8 replaced. */
void text_utf8(text *t, slice s);
bool slice_is_utf8(slice s);

static inline bool slice_is(slice a, slice b) {
  return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

static inline void text_need(text *t, size_t more) {
  if (t->capacity - t->length < more) {
    text_grow(t, more);
  }
}

static inline void text_put(text *t, slice s) {
  text_need(t, s.length);
  if (s.length > 0) {
    memcpy(t->data + t->length, s.data, s.length);
    t->length += s.length;
  }
}

static inline void text_byte(text *t, char byte) {
  text_need(t, 1);
  t->data[t->length++] = byte;
}

#endif
