/* SPDX-License-Identifier: Apache-2.0
 *
 * retry.h: when an outlet that could not deliver is tried again: when poll says that there is room,
 * or by the clock, later each time.
 */
#ifndef PYFILTER_RETRY_H
#define PYFILTER_RETRY_H

#include <stdbool.h>
#include <stdint.h>

typedef struct retry {
  bool full;           /* the last try found no room: wait until poll says that there is */
  uint64_t full_since; /* when it was first found so, 0: it had room */
  bool told_room;      /* there should be room since then */
  uint64_t at;         /* 0: now */
  uint64_t pause;      /* before the next try, growing */
  unsigned *dice;      /* spreads the tries of many Envoys; NULL: they need not be spread */
} retry;

/* Whether a try is worth it at that time. */
bool retry_is_ready(const retry *r, uint64_t now);
/* The next try is later each time, up to a second. */
void retry_back_off(retry *r);
/* No room: wait until poll says that there is; by the clock when poll said so and was wrong. */
void retry_no_room(retry *r);
/* Poll says that there is room. */
void retry_told_room(retry *r);
/* Something was taken. */
void retry_worked(retry *r);
/* Whether there is no room for so long that it is trouble. */
bool retry_is_stalled(const retry *r, uint64_t now);
/* How long nothing can be done, in ms, if nothing happens: -1 for ever. said: that it is stalled was
 * said, and is no reason to wake up. */
int64_t retry_patience(const retry *r, uint64_t now, bool said);

#endif
