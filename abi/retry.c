/* SPDX-License-Identifier: Apache-2.0 */
#include "retry.h"

#include <stdlib.h>

#include "sink.h"

enum {
  SHORTEST_PAUSE = 10, /* ms */
  LONGEST_PAUSE = 1000,
  STALLED_MS = 1000, /* no room for so long is trouble */
};

bool retry_is_ready(const retry *r, uint64_t now) { return !r->full && r->at <= now; }

void retry_back_off(retry *r) {
  r->pause = r->pause == 0 ? SHORTEST_PAUSE : r->pause * 2;
  r->pause = r->pause > LONGEST_PAUSE ? LONGEST_PAUSE : r->pause;
  uint64_t wait = r->pause;
  if (r->dice != NULL) { /* somewhere in the second half */
    uint64_t least = r->pause / 2;
    wait = least + (uint64_t)rand_r(r->dice) % (r->pause - least + 1);
  }
  r->at = now_ms() + wait;
}

void retry_no_room(retry *r) {
  r->full = !r->told_room;
  if (r->told_room) {
    r->told_room = false;
    retry_back_off(r);
  }
  if (r->full_since == 0) {
    r->full_since = now_ms();
  }
}

void retry_told_room(retry *r) {
  r->full = false;
  r->told_room = true;
}

void retry_worked(retry *r) {
  r->told_room = false;
  r->full_since = r->pause = 0;
}

bool retry_is_stalled(const retry *r, uint64_t now) {
  return r->full_since != 0 && now - r->full_since >= STALLED_MS;
}

int64_t retry_patience(const retry *r, uint64_t now, bool said) {
  if (r->at > now) {
    return (int64_t)(r->at - now);
  }
  if (r->full && !said) {
    uint64_t stalled = r->full_since + STALLED_MS;
    return stalled > now ? (int64_t)(stalled - now) : 0;
  }
  return -1;
}
