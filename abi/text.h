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
/* Room for one more in an array that grows one at a time; only while a config loads. */
void *one_more(void *array, size_t count, size_t size);
/* A copy with a zero byte behind it; the caller frees data. */
slice slice_copy(const char *data, size_t length);

void text_grow(text *t, size_t more);
/* Appends a decimal number. */
void text_number(text *t, uint64_t number);
/* The same at a place that has this much room; returns the end. */
enum { NUMBER_ROOM = 20 };
char *number_at(char *out, uint64_t number);

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

/* Whether no byte is from 0x80 on; such text is UTF-8 as it is. */
static inline bool slice_is_ascii(slice s) {
  size_t n = s.length;
  uint64_t any = 0;
  if (n >= 8) {
    any = load64(s.data + n - 8);
    for (size_t i = 0; i + 8 < n; i += 8) {
      any |= load64(s.data + i);
    }
  } else if (n >= 4) {
    any = load32(s.data) | load32(s.data + n - 4);
  } else if (n > 0) {
    any = (uint64_t)(s.data[0] | s.data[n / 2] | s.data[n - 1]) & 0xff;
  }
  return (any & UINT64_C(0x8080808080808080)) == 0;
}

static inline void text_need(text *t, size_t more) {
  if (t->capacity - t->length < more) {
    text_grow(t, more);
  }
}

/* For who writes piece after piece: the place behind the text; the same, or another, once there is
 * room for so many bytes more; and the end of what was written. */
static inline char *text_end(text *t) { return t->data + t->length; }

static inline void text_end_at(text *t, char *at) { t->length = (size_t)(at - t->data); }

static inline char *text_room(text *t, char *at, size_t more) {
  if (t->capacity - (size_t)(at - t->data) >= more) {
    return at;
  }
  t->length = (size_t)(at - t->data);
  text_grow(t, more);
  return text_end(t);
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
