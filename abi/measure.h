/* SPDX-License-Identifier: Apache-2.0
 *
 * measure.h: metrics of the user's own, from a captured stream.
 *
 * A metric is what Envoy knows: a name, a type, names of labels. A measure is one value of each
 * stream that goes into a metric; several may go into the same one, each with its own labels.
 */
#ifndef PYFILTER_MEASURE_H
#define PYFILTER_MEASURE_H

#include "entry.h"

/* Ready to be carried out: once all is told, and the plan's header tables are made. */
void measures_compile(struct measures *m, plan *p);
/* How many measures of a stream had no number, and how many a label whose value was one too many. */
typedef struct measure_tally {
  uint64_t skipped, over;
} measure_tally;

/* Takes every measure of a stream. */
measure_tally measures_take(const plan *p, const entry *e, const host *h);
void measures_free(struct measures *m);

#endif
