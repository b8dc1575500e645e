/* SPDX-License-Identifier: Apache-2.0
 *
 * settle.h: what happens when a hook failed, as far as C has to do with it.
 */
#ifndef PYFILTER_SETTLE_H
#define PYFILTER_SETTLE_H

#include "stream.h"

/* Envoy's statuses that C itself answers with; the numbers are the same for each kind of hook. */
enum { CONTINUE = 0, STOP = 1, STOP_NO_BUFFER = 3 };

/* What a hook answers when the seam itself failed (status -1): Python could not even settle its own
 * failure, say for want of memory. The policy is the one for a hook that raised. Any other status
 * is passed on. stop: the status with which this hook stops. */
int settle(pyfilter_stream *s, int status, int stop);
/* Counts failures of streams that were gone when they failed. */
void settle_publish(pyfilter_stream *s);

#endif
