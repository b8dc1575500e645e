/* SPDX-License-Identifier: Apache-2.0
 *
 * crossing.h: every call from C into Python, and nothing else.
 *
 * cffi takes the GIL for each of them. The int of a hook is Envoy's status for that hook, or -1 when
 * Python itself failed (zero would mean Continue). "stream" and "config" are handles that Python made
 * and C only keeps.
 */
#ifndef PYFILTER_CROSSING_H
#define PYFILTER_CROSSING_H

#include "services.h"

/* Loads a config into out. false: refused, and the reason is in Envoy's log. */
bool pyfilter_config_new(pyfilter_config *out, const char *name, size_t name_length,
                         const char *config, size_t config_length);
void pyfilter_config_destroy(void *config);
/* The handle of a route's config; NULL: refused. */
void *pyfilter_route_config_new(const char *name, size_t name_length, const char *config,
                                size_t config_length);
void pyfilter_route_config_destroy(void *route_config);

/* Makes the Python side of a stream, before the first hook that its class wants. NULL: it failed.
 * watched: where Python keeps envoy; C writes NULL there when Envoy's side is gone. */
void *pyfilter_stream_new(void *config, pyfilter_stream *stream, void *envoy, void ***watched);
int pyfilter_request_headers(void *stream, bool end_of_stream);
int pyfilter_request_body(void *stream, bool end_of_stream);
int pyfilter_request_trailers(void *stream);
int pyfilter_response_headers(void *stream, bool end_of_stream);
int pyfilter_response_body(void *stream, bool end_of_stream);
int pyfilter_response_trailers(void *stream);
int pyfilter_local_reply(void *stream, uint32_t status, const char *details, size_t details_length,
                         bool reset_imminent);
void pyfilter_stream_complete(void *stream);
void pyfilter_above_watermark(void *stream);
void pyfilter_below_watermark(void *stream);
void pyfilter_scheduled(void *stream, uint64_t event_id);
/* Envoy's side is gone: Python lets go of the stream. false: it failed, so ask again later. */
bool pyfilter_stream_destroy(void *stream);

#endif
