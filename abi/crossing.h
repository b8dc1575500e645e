/* SPDX-License-Identifier: Apache-2.0
 *
 * crossing.h: every call from C into Python, and nothing else.
 *
 * cffi takes the GIL for each of them. The int of a hook is Envoy's status for that hook, or -1 when
 * Python itself failed (zero would mean Continue). One that holds its side until a resume has PAUSED
 * in it, for the statistics: Envoy's number alone does not tell that from a side that is buffered.
 */
#ifndef PYFILTER_CROSSING_H
#define PYFILTER_CROSSING_H

#include "services.h"

/* Loads a config into out. false: refused, and the reason is in Envoy's log. */
bool pyfilter_config_new(pyfilter_config *out, const char *name, size_t name_length,
                         const char *config, size_t config_length);
void pyfilter_config_destroy(uint32_t number);
/* The same of an access logger: there is a plan in out then, and nothing else. */
bool pyfilter_logger_config_new(pyfilter_config *out, const char *name, size_t name_length,
                                const char *config, size_t config_length);
/* The handle of a route's config; NULL: refused. */
void *pyfilter_route_config_new(const char *name, size_t name_length, const char *config,
                                size_t config_length);
void pyfilter_route_config_destroy(void *route_config);

/* The hooks of a stream: of the filter with this number, in a seat that it took with this serial
 * number. Python makes its side in the first of them. given: bytes in the seat's area that hold what
 * the hook reads (reads.h). */
int pyfilter_request_headers(uint32_t filter, uint32_t seat, uint64_t serial, size_t given,
                             bool end_of_stream);
int pyfilter_request_body(uint32_t filter, uint32_t seat, uint64_t serial, size_t given,
                          bool end_of_stream);
int pyfilter_request_trailers(uint32_t filter, uint32_t seat, uint64_t serial, size_t given);
int pyfilter_response_headers(uint32_t filter, uint32_t seat, uint64_t serial, size_t given,
                              bool end_of_stream);
int pyfilter_response_body(uint32_t filter, uint32_t seat, uint64_t serial, size_t given,
                           bool end_of_stream);
int pyfilter_response_trailers(uint32_t filter, uint32_t seat, uint64_t serial, size_t given);
int pyfilter_local_reply(uint32_t filter, uint32_t seat, uint64_t serial, size_t given,
                         uint32_t status, const char *details, size_t details_length,
                         bool reset_imminent);
/* true: Python has let go of the stream, and is not told of its end. */
bool pyfilter_stream_complete(uint32_t filter, uint32_t seat, uint64_t serial, size_t given);
void pyfilter_above_watermark(uint32_t filter, uint32_t seat, uint64_t serial, size_t given);
void pyfilter_below_watermark(uint32_t filter, uint32_t seat, uint64_t serial, size_t given);
void pyfilter_scheduled(uint32_t seat, uint64_t event_id);
/* Envoy's side is gone: Python lets go of the stream. false: it failed, so ask again later. */
bool pyfilter_stream_destroy(uint32_t seat);

#endif
