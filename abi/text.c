/* SPDX-License-Identifier: Apache-2.0
 *
 * text.c: growing text, numbers, and JSON strings that no header can break out of.
 */
#include "text.h"

#include <stdlib.h>

/* A byte becomes at most six ("\u00ff"). */
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

/* Sixteen bytes at once; what compares true becomes 0xff. Signed, so that a byte from 0x80 on is
 * less than a space, too. */
typedef signed char block __attribute__((vector_size(16)));

/* Whether one of sixteen bytes cannot stand in a JSON string as it is. */
static inline bool any_special(const uint64_t bytes[2]) {
  block b;
  memcpy(&b, bytes, sizeof b);
  block found = (block)((b < ' ') | (b == '"') | (b == '\\') | (b == 0x7f));
  uint64_t halves[2];
  memcpy(halves, &found, sizeof found);
  return (halves[0] | halves[1]) != 0;
}

/* Copies sixteen bytes, unless one is special. */
static inline bool put_block(char *out, const unsigned char *in) {
  uint64_t bytes[2];
  memcpy(bytes, in, 16);
  if (any_special(bytes)) {
    return false;
  }
  memcpy(out, bytes, 16);
  return true;
}

/* Whether one of eight bytes is special. */
static inline bool any_special_of_eight(uint64_t word) {
  return any_special((const uint64_t[2]){word, word});
}

/* Copies 1 to 3 bytes, unless one is special. */
static inline bool put_few(char *out, const unsigned char *in, size_t length) {
  unsigned char middle = in[length / 2];
  unsigned char last = in[length - 1];
  uint64_t three = (uint64_t)in[0] << 16 | (uint64_t)middle << 8 | last;
  if (any_special_of_eight(three | UINT64_C(0x6161616161000000))) { /* 'a' is not special */
    return false;
  }
  out[0] = (char)in[0];
  out[length / 2] = (char)middle;
  out[length - 1] = (char)last;
  return true;
}

/* Copies 1 to 16 bytes, unless one is special: from both ends, so that no byte is left for a loop;
 * the middle may be copied twice. */
static inline bool put_short(char *out, const unsigned char *in, size_t length) {
  const char *start = (const char *)in;
  const char *end = start + length;
  if (length >= 8) {
    uint64_t bytes[2] = {load64(start), load64(end - 8)};
    if (any_special(bytes)) {
      return false;
    }
    memcpy(out, &bytes[0], 8);
    memcpy(out + length - 8, &bytes[1], 8);
    return true;
  }
  if (length >= 4) {
    uint32_t halves[2] = {load32(start), load32(end - 4)};
    if (any_special_of_eight((uint64_t)halves[0] << 32 | halves[1])) {
      return false;
    }
    memcpy(out, &halves[0], 4);
    memcpy(out + length - 4, &halves[1], 4);
    return true;
  }
  return put_few(out, in, length);
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

/* Writes the character at *in, of any length, and moves *in behind it; false: replaced. */
static bool put_one(char **out, const unsigned char **in, const unsigned char *end,
                    escape_mode mode) {
  if (**in >= 0x80) {
    return put_wide(out, in, end, mode);
  }
  *out = put_ascii(*out, *(*in)++, mode);
  return true;
}

/* Appends s escaped; the caller made room. False when something was not UTF-8. */
static bool put_escaped(text *t, slice s, escape_mode mode) {
  const unsigned char *in = (const unsigned char *)s.data;
  const unsigned char *end = in + s.length;
  char *out = t->data + t->length;
  bool valid = true;
  while (in < end) {
    size_t left = (size_t)(end - in);
    size_t part = left > 16 ? 16 : left;
    if (left > 16 ? put_block(out, in) : put_short(out, in, left)) {
      in += part;
      out += part;
    } else {
      valid &= put_one(&out, &in, end, mode);
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
