/* SPDX-License-Identifier: Apache-2.0
 *
 * flusher.h: one thread that empties the rings of all sinks that have an outlet (outlet.h).
 *
 * It is started with the first such sink and ends when none is left. With nothing to deliver it
 * sleeps until a worker wakes it; it has a timer only while something waits that could not be
 * delivered.
 */
#ifndef PYFILTER_FLUSHER_H
#define PYFILTER_FLUSHER_H

#include "outlet.h"

/* All of them under sinks_lock. */
/* Whether the thread is there. */
bool flusher_runs(void);
/* The sink of that kind and path with rings of that size, made when there is none; the thread looks
 * at it. */
sink *flusher_sink(const outlet_kind *kind, const char *path, size_t ring_bytes);

#endif
