/* SPDX-License-Identifier: Apache-2.0
 *
 * stream.h: one HTTP stream as C knows it, and what happens to it in each hook.
 */
#ifndef PYFILTER_STREAM_H
#define PYFILTER_STREAM_H

#include "config.h"
#include "plan.h"
#include "seat.h"
#include "statistics.h"

struct pyfilter_stream {
  pyfilter_config *config; /* there until the stream leaves */
  void *envoy;             /* Envoy's side; NULL once it was destroyed */
  pyfilter_seat *seat;     /* where Python knows it; NULL before the first crossing */
  bool kept;               /* Python may hold something of it, and is told of its end */
  unsigned depth;          /* hooks of this stream that are on the stack */
  bool config_held;        /* a hook on the stack outlives Envoy's hold of the config */
  bool request_held;       /* Python paused or buffers the request: its entry waits */
  bool response_held;      /* the same of the response */
  bool response_begun;     /* a response's headers went past us: no other can begin */
  bool answered;           /* by a local reply, Envoy's or a filter's: the request goes nowhere */
  record record;
};

/* The memory of a stream. Its second part is only looked at where the config keeps statistics. */
typedef struct whole_stream {
  pyfilter_stream stream;
  statistics statistics;
} whole_stream;

static inline whole_stream *whole_of(pyfilter_stream *s) { return (whole_stream *)s; }

pyfilter_stream *stream_new(pyfilter_config *config, void *envoy);
void stream_destroy(pyfilter_stream *s);

int stream_request_headers(pyfilter_stream *s, bool end_of_stream);
int stream_request_body(pyfilter_stream *s, bool end_of_stream);
int stream_request_trailers(pyfilter_stream *s);
int stream_response_headers(pyfilter_stream *s, bool end_of_stream);
int stream_response_body(pyfilter_stream *s, bool end_of_stream);
int stream_response_trailers(pyfilter_stream *s);
int stream_local_reply(pyfilter_stream *s, uint32_t status, const char *details,
                       size_t details_length, bool reset_imminent);
void stream_complete(pyfilter_stream *s);
void stream_above_watermark(pyfilter_stream *s);
void stream_below_watermark(pyfilter_stream *s);
void stream_scheduled(pyfilter_stream *s, uint64_t event_id);

#endif
