/* SPDX-License-Identifier: Apache-2.0
 *
 * due.h: which entry of a stream is due, and when. plan.c writes what these say.
 *
 * Whatever the order of the hooks: a request's entry comes before the response's, neither comes
 * twice, and none comes once the stream is complete.
 */
#ifndef PYFILTER_DUE_H
#define PYFILTER_DUE_H

#include "host.h"
#include "plan.h"

/* How a stream ended, for its response's entry. */
typedef enum {
  ENDED_ANSWERED,   /* a response came past us, or somebody replied in its place */
  ENDED_REDIRECTED, /* Envoy began anew with another stream: the client got nothing of this one */
  ENDED_ABORTED,    /* the client got no response */
} ending;

ending due_ending(const record *r, const host *h);

/* Whether the request's entry is due though no hook of the request wrote it: the stream ends, or the
 * response's entry comes next. */
bool due_late_request(const record *r, const plan *p, const host *h);
/* Whether the response's entry is due: as the response begins, as its end passes, at the end of the
 * stream. */
bool due_at_response(const record *r, const plan *p, const host *h);
bool due_at_end_of_stream(const record *r, const plan *p, const host *h);
bool due_at_complete(const record *r, const plan *p, ending how);

#endif
