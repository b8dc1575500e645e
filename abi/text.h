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

/* Most texts here are some ten bytes long, so a call of memcmp or memcpy would cost more than its
 * work. From 4 bytes on both ends are taken in one piece each; they may overlap. */
enum { SHORT_TEXT = 32 };

static inline uint64_t load64(const char *at) {
  uint64_t word;
  memcpy(&word, at, sizeof word);
  return word;
}

static inline uint32_t load32(const char *at) {
  uint32_t word;
  memcpy(&word, at, sizeof word);
  return word;
}

static inline bool slice_is(slice a, slice b) {
  size_t n = a.length;
  if (n != b.length) {
    return false;
  }
  if (n > SHORT_TEXT) {
    return memcmp(a.data, b.data, n) == 0;
  }
  if (n >= 8) {
    uint64_t different = load64(a.data + n - 8) ^ load64(b.data + n - 8);
    for (size_t i = 0; i + 8 < n; i += 8) {
      different |= load64(a.data + i) ^ load64(b.data + i);
    }
    return different == 0;
  }
  if (n >= 4) {
    return load32(a.data) == load32(b.data) && load32(a.data + n - 4) == load32(b.data + n - 4);
  }
  return n == 0 || (a.data[0] == b.data[0] && a.data[n / 2] == b.data[n / 2] &&
                    a.data[n - 1] == b.data[n - 1]);
}

static inline void text_need(text *t, size_t more) {
  if (t->capacity - t->length < more) {
    text_grow(t, more);
  }
}

static inline void text_put(text *t, slice s) {
  text_need(t, s.length + SHORT_TEXT);
  char *out = t->data + t->length;
  size_t n = s.length;
  t->length += n;
  if (n > SHORT_TEXT) {
    memcpy(out, s.data, n);
  } else if (n >= 8) {
    for (size_t i = 0; i + 8 < n; i += 8) {
      memcpy(out + i, s.data + i, 8);
    }
    memcpy(out + n - 8, s.data + n - 8, 8);
  } else if (n >= 4) {
    memcpy(out, s.data, 4);
    memcpy(out + n - 4, s.data + n - 4, 4);
  } else {
    for (size_t i = 0; i < n; i++) {
      out[i] = s.data[i];
    }
  }
}

static inline void text_byte(text *t, char byte) {
  text_need(t, 1);
  t->data[t->length++] = byte;
}

#endif
