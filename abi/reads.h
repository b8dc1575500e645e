/* SPDX-License-Identifier: Apache-2.0
 *
 * reads.h: what the hooks of a config read on earlier streams, so that it comes with the crossing.
 *
 * Each hook has a list of header names and attributes. Python adds to it when a hook asks for
 * something new; workers read it without a lock, because a list is never changed: a longer copy takes
 * its place. A list only grows at its end, so what was made with an older one is its beginning.
 */
#ifndef PYFILTER_READS_H
#define PYFILTER_READS_H

#include "services.h"

pyfilter_reads *reads_new(void);
void reads_free(pyfilter_reads *all);
/* Writes what the hook reads into the area and gives its length. In the list's order, a line feed
 * between two; a carriage return stands for what the stream does not have. 0: nothing can be handed
 * over (no list, too long, a value with one of the two in it), so the hook asks for each. */
size_t reads_run(const pyfilter_reads *all, int hook, void *envoy, char *area);

#endif
