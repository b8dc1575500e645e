/* SPDX-License-Identifier: Apache-2.0
 *
 * text.c: growing text, and numbers.
 */
#include "text.h"

#include <stdlib.h>

/* malloc, or the end of the process. */
void *must_allocate(size_t size) {
  void *memory = malloc(size);
  if (memory == NULL) {
    abort();
  }
  return memory;
}

void *one_more(void *array, size_t count, size_t size) {
  void *grown = realloc(array, (count + 1) * size);
  if (grown == NULL) {
    abort();
  }
  return grown;
}

slice slice_copy(const char *data, size_t length) {
  char *copy = must_allocate(length + 1);
  if (length > 0) {
    memcpy(copy, data, length);
  }
  copy[length] = '\0';
  return (slice){copy, length};
}

/* Makes room for more bytes; at least doubles, so that growing stays rare. */
void text_grow(text *t, size_t more) {
  size_t capacity = t->capacity ? t->capacity * 2 : 4096;
  while (capacity - t->length < more) {
    capacity *= 2;
  }
  char *data = realloc(t->data, capacity);
  if (data == NULL) {
    abort();
  }
  t->data = data;
  t->capacity = capacity;
}

/* "00" to "99". */
static const char PAIRS[] = "00010203040506070809101112131415161718192021222324252627282930313233"
                            "34353637383940414243444546474849505152535455565758596061626364656667"
                            "6869707172737475767778798081828384858687888990919293949596979899";

char *number_at(char *out, uint64_t number) {
  if (number >= 100 && number < 1000) { /* a status */
    out[0] = (char)('0' + number / 100);
    memcpy(out + 1, PAIRS + number % 100 * 2, 2);
    return out + 3;
  }
  char digits[2 * NUMBER_ROOM]; /* as much is copied, whatever the length */
  char *first = digits + NUMBER_ROOM;
  while (number >= 100) {
    first -= 2;
    memcpy(first, PAIRS + number % 100 * 2, 2);
    number /= 100;
  }
  first -= 2;
  memcpy(first, PAIRS + number * 2, 2);
  first += number < 10;
  memcpy(out, first, NUMBER_ROOM);
  return out + (digits + NUMBER_ROOM - first);
}

void text_number(text *t, uint64_t number) {
  text_end_at(t, number_at(text_room(t, text_end(t), NUMBER_ROOM), number));
}
