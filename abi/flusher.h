/* SPDX-License-Identifier: Apache-2.0
 *
 * flusher.h: one thread that empties the rings of all file sinks.
 *
 * It is started with the first file sink and ends when none is left. With nothing to write it
 * sleeps until a worker wakes it; it has a timer only while something waits that could not be
 * written.
 */
#ifndef PYFILTER_FLUSHER_H
#define PYFILTER_FLUSHER_H

#include <stdbool.h>

/* Whether the thread is there; under sinks_lock. */
bool flusher_runs(void);

#endif
