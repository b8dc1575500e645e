/* SPDX-License-Identifier: Apache-2.0
 *
 * label.c: see label.h.
 */
#include "label.h"

#include "escape.h"

enum { SUBSTITUTE = '_' };

/* White space and control bytes, and what separates tags in the protocols of statsd. */
static bool is_unfit(unsigned char byte) {
  return byte <= ' ' || byte == 0x7f || byte == ',' || byte == ';' || byte == '|';
}

/* U+2028 to U+202E and U+2066 to U+2069, by their last two bytes. */
static bool ends_or_turns_line(unsigned char middle, unsigned char last) {
  return (middle == 0x80 && last >= 0xa8 && last <= 0xae) ||
         (middle == 0x81 && last >= 0xa6 && last <= 0xa9);
}

/* How long the character is that begins here, if it is a control character, the space that does not
 * break, ends a line or turns its direction, though it is none of ASCII; else 0. */
static size_t unfit_sequence(const unsigned char *at, size_t left) {
  if (left >= 2 && at[0] == 0xc2 && at[1] <= 0xa0) {
    return 2;
  }
  return left >= 3 && at[0] == 0xe2 && ends_or_turns_line(at[1], at[2]) ? 3 : 0;
}

/* Writes a substitute for each character that is unfit, over the text itself. */
static size_t without_unfit(unsigned char *data, size_t length) {
  size_t out = 0;
  for (size_t i = 0; i < length;) {
    size_t sequence = unfit_sequence(data + i, length - i);
    bool unfit = sequence > 0 || is_unfit(data[i]);
    data[out++] = unfit ? SUBSTITUTE : data[i];
    i += sequence > 0 ? sequence : 1;
  }
  return out;
}

static bool is_name(slice piece, const slice *names, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (slice_is(piece, names[i])) {
      return true;
    }
  }
  return false;
}

/* Whether one of the pieces between dots is a label's name. */
static bool has_name(slice s, const slice *names, size_t count) {
  const char *end = s.data + s.length;
  for (const char *at = s.data; at <= end;) {
    const char *dot = memchr(at, '.', (size_t)(end - at));
    dot = dot != NULL ? dot : end;
    if (is_name((slice){at, (size_t)(dot - at)}, names, count)) {
      return true;
    }
    at = dot + 1;
  }
  return false;
}

/* A single piece needs no care: where there are no dots it can pass for nothing else. */
static void without_dots(char *data, size_t length) {
  for (size_t i = 0; i < length; i++) {
    data[i] = data[i] == '.' ? SUBSTITUTE : data[i];
  }
}

void label_put(text *out, slice raw, const slice *names, size_t count) {
  size_t start = out->length;
  slice cut = {raw.data, utf8_cut(raw, LABEL_LONGEST)};
  if (slice_is_ascii(cut) || slice_is_utf8(cut)) {
    text_put(out, cut);
  } else {
    text_utf8(out, cut);
  }
  char *data = out->data + start;
  size_t length = utf8_cut((slice){data, out->length - start}, LABEL_LONGEST);
  length = without_unfit((unsigned char *)data, length);
  if (length > 0 && has_name((slice){data, length}, names, count)) {
    without_dots(data, length);
  }
  out->length = start + length;
  if (length == 0) {
    text_put(out, SLICE("-"));
  }
}
