/* SPDX-License-Identifier: Apache-2.0
 *
 * text.c: growing text, numbers, and JSON strings that no header can break out of.
 */
#include "text.h"

#include <stdlib.h>

/* A byte becomes at most six ("\u00ff"); the fast path stores eight at a time. */
enum { WORST_ESCAPE = 6, SLACK = 16 };

/* How text is escaped: a string's inside, JSON that Python made, or plain UTF-8. */
typedef enum { ESCAPE_STRING, ESCAPE_JSON, ESCAPE_NOTHING } escape_mode;

/* malloc, or the end of the process. */
void *must_allocate(size_t size) {
  void *memory = malloc(size);
  if (memory == NULL) {
    abort();
  }
  return memory;
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

/* Appends a decimal number. */
void text_number(text *t, uint64_t number) {
  char digits[20];
  char *first = digits + sizeof digits;
  do {
    *--first = (char)('0' + number % 10);
    number /= 10;
  } while (number > 0);
  text_put(t, (slice){first, (size_t)(digits + sizeof digits - first)});
}

/* True when one of eight bytes cannot be copied as it is into a JSON string. */
static inline bool any_special(uint64_t word) {
  const uint64_t ones = 0x0101010101010101u;
  const uint64_t highs = ones * 0x80;
  uint64_t quote = word ^ (ones * '"');
  uint64_t backslash = word ^ (ones * '\\');
  uint64_t delete = word ^ (ones * 0x7f);
  uint64_t found = word | ((word - ones * 0x20) & ~word) | ((quote - ones) & ~quote) |
                   ((backslash - ones) & ~backslash) | ((delete -ones) & ~delete);
  return (found & highs) != 0;
}

/* The length of the UTF-8 character at in, 0 when it is none; then *bad is how many bytes stand for
 * one replacement character (the longest start of a character, as Unicode recommends). */
static size_t utf8_length(const unsigned char *in, const unsigned char *end, size_t *bad) {
  unsigned char lead = in[0];
  unsigned char low = 0x80;
  unsigned char high = 0xbf;
  size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  *bad = 1;
  if (lead < 0xc2 || lead > 0xf4) {
    return 0;
  }
  /* The second byte of four leads is narrower: no overlong forms, surrogates, or above U+10FFFF. */
  low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : low;
  high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : high;
  for (size_t i = 1; i < length; i++) {
    if (in + i >= end || in[i] < low || in[i] > high) {
      *bad = i;
      return 0;
    }
    low = 0x80;
    high = 0xbf;
  }
  return length;
}

/* Writes \u and four hexadecimal digits. */
static char *put_unicode(char *out, unsigned code) {
  static const char hex[] = "0123456789abcdef";
  *out++ = '\\';
  *out++ = 'u';
  for (int shift = 12; shift >= 0; shift -= 4) {
    *out++ = hex[(code >> shift) & 15];
  }
  return out;
}

/* Writes one ASCII byte, escaped where the mode wants it. */
static char *put_ascii(char *out, unsigned char byte, escape_mode mode) {
  if (mode == ESCAPE_NOTHING || (byte >= 0x20 && byte != 0x7f && byte != '"' && byte != '\\')) {
    *out++ = (char)byte;
    return out;
  }
  if (mode == ESCAPE_JSON && byte < 0x20) { /* only white space between values can be one */
    *out++ = ' ';
    return out;
  }
  if (byte == '"' || byte == '\\') {
    if (mode == ESCAPE_STRING) {
      *out++ = '\\';
    }
    *out++ = (char)byte;
    return out;
  }
  const char *brief = byte == '\n' ? "\\n" : byte == '\r' ? "\\r" : byte == '\t' ? "\\t" : NULL;
  if (brief == NULL) {
    return put_unicode(out, byte);
  }
  *out++ = brief[0];
  *out++ = brief[1];
  return out;
}

/* The code of a character that ends lines or steers terminals (C1, U+2028, U+2029), else 0. */
static unsigned dangerous(const unsigned char *in, size_t length) {
  if (length == 2 && in[0] == 0xc2 && in[1] < 0xa0) {
    return in[1];
  }
  if (length == 3 && in[0] == 0xe2 && in[1] == 0x80 && (in[2] == 0xa8 || in[2] == 0xa9)) {
    return 0x2000u + (in[2] - 0x80u);
  }
  return 0;
}

/* Writes the character of more than one byte at *in and moves *in behind it; false: replaced. */
static bool put_wide(char **out, const unsigned char **in, const unsigned char *end,
                     escape_mode mode) {
  size_t bad;
  size_t length = utf8_length(*in, end, &bad);
  if (length == 0) {
    memcpy(*out, "\xef\xbf\xbd", 3); /* U+FFFD */
    *out += 3;
    *in += bad;
    return false;
  }
  unsigned code = mode == ESCAPE_NOTHING ? 0 : dangerous(*in, length);
  if (code != 0) {
    *out = put_unicode(*out, code);
  } else {
    memcpy(*out, *in, length);
    *out += length;
  }
  *in += length;
  return true;
}

/* Appends s escaped; the caller made room. False when something was not UTF-8. */
static bool put_escaped(text *t, slice s, escape_mode mode) {
  const unsigned char *in = (const unsigned char *)s.data;
  const unsigned char *end = in + s.length;
  char *out = t->data + t->length;
  bool valid = true;
  while (in < end) {
    uint64_t word;
    while (end - in >= 8 && (memcpy(&word, in, 8), !any_special(word))) {
      memcpy(out, &word, 8);
      in += 8;
      out += 8;
    }
    if (in < end && *in < 0x80) {
      out = put_ascii(out, *in++, mode);
    } else if (in < end) {
      valid &= put_wide(&out, &in, end, mode);
    }
  }
  t->length = (size_t)(out - t->data);
  return valid;
}

bool text_json(text *t, slice s) {
  text_need(t, s.length * WORST_ESCAPE + SLACK);
  t->data[t->length++] = '"';
  bool valid = s.length == 0 || put_escaped(t, s, ESCAPE_STRING);
  t->data[t->length++] = '"';
  return valid;
}

void text_json_value(text *t, slice json) {
  text_need(t, json.length * WORST_ESCAPE + SLACK);
  if (json.length > 0) {
    put_escaped(t, json, ESCAPE_JSON);
  }
}

void text_utf8(text *t, slice s) {
  text_need(t, s.length * WORST_ESCAPE + SLACK);
  if (s.length > 0) {
    put_escaped(t, s, ESCAPE_NOTHING);
  }
}

bool slice_is_utf8(slice s) {
  const unsigned char *in = (const unsigned char *)s.data;
  const unsigned char *end = in + s.length;
  while (in < end) {
    size_t bad;
    size_t length = *in < 0x80 ? 1 : utf8_length(in, end, &bad);
    if (length == 0) {
      return false;
    }
    in += length;
  }
  return true;
}
