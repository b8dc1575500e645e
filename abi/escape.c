/* SPDX-License-Identifier: Apache-2.0
 *
 * escape.c: JSON strings that no header can break out of, and UTF-8 that is sound.
 */
#include "escape.h"

/* How text is escaped: a string's inside, JSON that Python made, or plain UTF-8. */
typedef enum { ESCAPE_STRING, ESCAPE_JSON, ESCAPE_NOTHING } escape_mode;

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

/* Writes s escaped; where many bytes in a row are not special, sixteen at a time. */
static char *put_escaped(char *out, slice s, escape_mode mode, bool *valid) {
  const unsigned char *in = (const unsigned char *)s.data;
  const unsigned char *end = in + s.length;
  while (in < end) {
    slice part = {(const char *)in, (size_t)(end - in) < BLOCK ? 1 : BLOCK};
    if (copy_plain(out, part)) {
      in += part.length;
      out += part.length;
    } else {
      *valid &= put_one(&out, &in, end, mode);
    }
  }
  return out;
}

char *json_escape(char *out, slice s, bool *valid) {
  return put_escaped(out, s, ESCAPE_STRING, valid);
}

bool text_json(text *t, slice s) {
  bool valid = true;
  char *out = text_room(t, text_end(t), s.length * WORST_ESCAPE + ESCAPE_SLACK);
  *out++ = '"';
  out = json_at(out, s, &valid);
  *out++ = '"';
  text_end_at(t, out);
  return valid;
}

/* Appends s in one of the other modes. */
static void append(text *t, slice s, escape_mode mode) {
  bool ignored = true;
  char *out = text_room(t, text_end(t), s.length * WORST_ESCAPE + ESCAPE_SLACK);
  text_end_at(t, put_escaped(out, s, mode, &ignored));
}

void text_json_value(text *t, slice json) { append(t, json, ESCAPE_JSON); }

void text_utf8(text *t, slice s) { append(t, s, ESCAPE_NOTHING); }

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

size_t utf8_cut(slice s, size_t most) {
  if (s.length <= most) {
    return s.length;
  }
  while (most > 0 && ((unsigned char)s.data[most] & 0xc0) == 0x80) {
    most--;
  }
  return most;
}
