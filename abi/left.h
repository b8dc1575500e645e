/* SPDX-License-Identifier: Apache-2.0
 *
 * left.h: what was counted behind a sink after the last stream of its config. The next stream of a
 * config with the same instance name tells Envoy.
 */
#ifndef PYFILTER_LEFT_H
#define PYFILTER_LEFT_H

#include "sink.h"

extern _Atomic bool left_waits;

/* An outlet ends; under sinks_lock. The instance is that of the last plan that let go of it. */
void left_by(outlet *o);
/* Whether something was left for anybody. */
static inline bool left_any(void) {
  return atomic_load_explicit(&left_waits, memory_order_relaxed);
}

/* Takes over what was left for an instance; false: nothing, or somebody else is at it just now, and
 * a later stream takes it. Never waits. */
bool left_take(slice instance, uint64_t counts[COUNT_KINDS]);

#endif
