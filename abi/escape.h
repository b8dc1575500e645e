/* SPDX-License-Identifier: Apache-2.0
 *
 * escape.h: JSON strings that no header can break out of, and UTF-8 that is sound.
 *
 * Nearly all text stands in JSON as it is. So it is copied and looked at in one go, up to sixteen
 * bytes at once, and done again byte by byte when something special was in it.
 */
#ifndef PYFILTER_ESCAPE_H
#define PYFILTER_ESCAPE_H

#include "text.h"

/* A byte becomes at most six ("\u00ff"). */
enum { WORST_ESCAPE = 6, ESCAPE_SLACK = 16 };

/* Appends s as a JSON string, with its quotes. False when it was not UTF-8 and was repaired. */
bool text_json(text *t, slice s);
/* Appends JSON text from Python so that it stays on one line. */
void text_json_value(text *t, slice json);
/* Appends s with what is not UTF-8 replaced. */
void text_utf8(text *t, slice s);
bool slice_is_utf8(slice s);
/* How much of s, which is UTF-8, is left when it is cut to so many bytes between characters. */
size_t utf8_cut(slice s, size_t most);

/* What compares true becomes 0xff. Signed, so that a byte from 0x80 on is less than a space, too. */
typedef signed char block __attribute__((vector_size(16)));
typedef unsigned char unsigned_block __attribute__((vector_size(16)));
enum { BLOCK = sizeof(block) };

static inline block block_at(const void *at) {
  block b;
  memcpy(&b, at, sizeof b);
  return b;
}

/* The bytes that can stand in a JSON string as they are. With one added, 0x7f is negative, too. */
static inline block block_plain(block b) {
  return (block)(((block)((unsigned_block)b + 1) > ' ') & ~((b == '"') | (b == '\\')));
}

static inline bool block_all(block plain) {
#ifdef __SSE2__
  return __builtin_ia32_pmovmskb128((char __attribute__((vector_size(16))))plain) == 0xffff;
#else
  uint64_t halves[2];
  memcpy(halves, &plain, sizeof plain);
  return (halves[0] & halves[1]) == UINT64_MAX;
#endif
}

static inline block block_ascii(block b) { return (block)(b >= 0); }

/* Copies s where `good` is true of all its bytes; else false, and out holds anything. Both ends are
 * taken in one piece each, so that no byte is left for a loop; the middle may be copied twice. */
__attribute__((always_inline)) static inline bool copy_good(char *out, slice s,
                                                            block (*good)(block)) {
  const char *in = s.data;
  size_t n = s.length;
  if (n >= BLOCK) {
    block last = block_at(in + n - BLOCK);
    block all = good(last);
    for (size_t i = 0; i + BLOCK < n; i += BLOCK) {
      block b = block_at(in + i);
      memcpy(out + i, &b, BLOCK);
      all &= good(b);
    }
    memcpy(out + n - BLOCK, &last, BLOCK);
    return block_all(all);
  }
  uint64_t ends[2];
  if (n >= 8) {
    ends[0] = load64(in);
    ends[1] = load64(in + n - 8);
    memcpy(out, &ends[0], 8);
    memcpy(out + n - 8, &ends[1], 8);
  } else if (n >= 4) {
    uint32_t first = load32(in);
    uint32_t last = load32(in + n - 4);
    memcpy(out, &first, 4);
    memcpy(out + n - 4, &last, 4);
    ends[0] = ends[1] = (uint64_t)first << 32 | last;
  } else if (n > 0) {
    unsigned char few[3] = {(unsigned char)in[0], (unsigned char)in[n / 2],
                            (unsigned char)in[n - 1]};
    out[0] = (char)few[0];
    out[n / 2] = (char)few[1];
    out[n - 1] = (char)few[2];
    ends[0] = ends[1] = UINT64_C(0x6161616161000000) | /* 'a' is always good */
                        (uint64_t)few[0] << 16 | (uint64_t)few[1] << 8 | few[2];
  } else {
    return true;
  }
  return block_all(good(block_at(ends)));
}

/* Copies s when it can stand in a JSON string as it is. */
static inline bool copy_plain(char *out, slice s) { return copy_good(out, s, block_plain); }

/* Copies s when no byte is from 0x80 on; such text is UTF-8. */
static inline bool copy_ascii(char *out, slice s) { return copy_good(out, s, block_ascii); }

/* Writes s escaped. */
char *json_escape(char *out, slice s, bool *valid);

/* Writes the inside of a JSON string where there is room for WORST_ESCAPE bytes for each of s, and
 * returns its end. *valid becomes false when s was not UTF-8 and was repaired. */
static inline char *json_at(char *out, slice s, bool *valid) {
  return copy_plain(out, s) ? out + s.length : json_escape(out, s, valid);
}

#endif
