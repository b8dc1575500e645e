/* SPDX-License-Identifier: Apache-2.0
 *
 * stream.h: one HTTP stream as C knows it, and what happens to it in each hook.
 */
#ifndef PYFILTER_STREAM_H
#define PYFILTER_STREAM_H

#include "config.h"
#include "plan.h"

struct pyfilter_stream {
  filter_config *owner;          /* held until the stream leaves */
  const pyfilter_config *config; /* what it loaded: the same address, for short */
  void *envoy;                   /* Envoy's side; NULL once it was destroyed */
  void *python;                  /* handle of Python's side; NULL before the first crossing */
  void **watched;                /* Python's copy of envoy, set to NULL together with it */
  unsigned depth;                /* hooks of this stream that are on the stack */
  bool held;                     /* Python paused or buffers the request: its entry waits */
  bool response_held;            /* the same of the response */
  bool response_begun;           /* a response's headers went past us: no other can begin */
  record record;
};

pyfilter_stream *stream_new(filter_config *owner, void *envoy);
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
