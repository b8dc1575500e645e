/* SPDX-License-Identifier: Apache-2.0
 *
 * decimal.c: see decimal.h. Digit by digit: strtod would ask the locale what a point looks like.
 */
#include "decimal.h"

/* Digits with a point somewhere between them, or far to the left or right of them. */
typedef struct decimal {
  slice whole, fraction;
  long point; /* how many digits stand before it; may be less than 0 */
} decimal;

enum { FARTHEST = 1000 }; /* a point: no text that a stream has is as long */

static bool is_digit(char byte) { return byte >= '0' && byte <= '9'; }

/* Takes the digits that s begins with. */
static slice digits(slice *s) {
  slice found = {s->data, 0};
  while (found.length < s->length && is_digit(s->data[found.length])) {
    found.length++;
  }
  *s = (slice){s->data + found.length, s->length - found.length};
  return found;
}

/* Takes one byte if it is next. */
static bool take(slice *s, char byte) {
  bool next = s->length > 0 && s->data[0] == byte;
  *s = (slice){s->data + next, s->length - next};
  return next;
}

/* Takes an exponent, which is added to the point; false: there is none behind its letter. */
static bool exponent(slice *s, long *point) {
  long value = 0;
  if (!take(s, 'e') && !take(s, 'E')) {
    return true;
  }
  bool minus = take(s, '-');
  if (!minus) {
    take(s, '+');
  }
  slice found = digits(s);
  for (size_t i = 0; i < found.length && value < FARTHEST; i++) {
    value = value * 10 + (found.data[i] - '0');
  }
  *point += minus ? -value : value;
  return found.length > 0;
}

static bool parse(slice s, decimal *d) {
  d->whole = digits(&s);
  bool has_point = take(&s, '.');
  d->fraction = digits(&s);
  d->point = (long)d->whole.length;
  return d->whole.length > 0 && has_point == (d->fraction.length > 0) && exponent(&s, &d->point) &&
         s.length == 0;
}

/* The digit at that place, counted from the first one; behind the last one there are zeros. */
static unsigned digit(const decimal *d, long at) {
  size_t i = (size_t)at;
  if (at < 0) {
    return 0;
  }
  if (i < d->whole.length) {
    return (unsigned)(d->whole.data[i] - '0');
  }
  i -= d->whole.length;
  return i < d->fraction.length ? (unsigned)(d->fraction.data[i] - '0') : 0;
}

bool decimal_whole(slice s, uint64_t *number) {
  decimal d;
  if (!parse(s, &d)) {
    return false;
  }
  uint64_t n = 0;
  for (long at = 0; at < d.point && n <= LARGEST_WHOLE; at++) {
    n = n * 10 + digit(&d, at);
  }
  n += n <= LARGEST_WHOLE && digit(&d, d.point) >= 5;
  *number = n;
  return n <= LARGEST_WHOLE;
}
