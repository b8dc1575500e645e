/* SPDX-License-Identifier: Apache-2.0
 *
 * label.h: what a stream tells, as the value of a metric's label.
 *
 * Anybody who sends a header may choose such a text, and Envoy takes any bytes: its text page of
 * stats and its statsd sinks print them as they are, and Prometheus refuses a whole page for a byte
 * that is not UTF-8.
 */
#ifndef PYFILTER_LABEL_H
#define PYFILTER_LABEL_H

#include "text.h"

enum { LABEL_LONGEST = 128 };

/* Appends raw as a label's value: never empty, at most LABEL_LONGEST bytes of UTF-8, nothing in it
 * that ends a line, a name or a tag; and no dots where what stands between them is one of the
 * metric's labels, so that a stat's name can be read in one way only. */
void label_put(text *out, slice raw, const slice *names, size_t count);

#endif
