/* SPDX-License-Identifier: Apache-2.0
 *
 * hooks.c: what Envoy calls, in the order of a config's and a stream's life. Each hook is one
 * statement: it names its step. What a step does is in stream.c (streams) and config.c (configs).
 */
#include "config.h"
#include "interp.h"
#include "stream.h"

#define HOOK(name) envoy_dynamic_module_on_http_filter_##name
#define TYPE(name) envoy_dynamic_module_type_##name
#define STATUS(name) envoy_dynamic_module_type_on_http_filter_##name##_status

/* The whole process and its configs: on the main thread (a destroy may come from any). */

const char *envoy_dynamic_module_on_program_init(void) { return interp_start(); }

const void *HOOK(config_new)(void *envoy, TYPE(envoy_buffer) name, TYPE(envoy_buffer) config) {
  return config_new(envoy, name, config);
}

void HOOK(config_destroy)(const void *config) { config_destroy((filter_config *)config); }

const void *HOOK(per_route_config_new)(TYPE(envoy_buffer) name, TYPE(envoy_buffer) config) {
  return route_config_new(name, config);
}

void HOOK(per_route_config_destroy)(const void *config) { route_config_destroy((void *)config); }

/* A stream: on its worker, in this order. */

const void *HOOK(new)(const void *config, void *envoy) {
  return stream_new((filter_config *)config, envoy);
}

STATUS(request_headers) HOOK(request_headers)(void *envoy, const void *stream, bool end) {
  (void)envoy;
  return (STATUS(request_headers))stream_request_headers((pyfilter_stream *)stream, end);
}

STATUS(request_body) HOOK(request_body)(void *envoy, const void *stream, bool end) {
  (void)envoy;
  return (STATUS(request_body))stream_request_body((pyfilter_stream *)stream, end);
}

STATUS(request_trailers) HOOK(request_trailers)(void *envoy, const void *stream) {
  (void)envoy;
  return (STATUS(request_trailers))stream_request_trailers((pyfilter_stream *)stream);
}

STATUS(response_headers) HOOK(response_headers)(void *envoy, const void *stream, bool end) {
  (void)envoy;
  return (STATUS(response_headers))stream_response_headers((pyfilter_stream *)stream, end);
}

STATUS(response_body) HOOK(response_body)(void *envoy, const void *stream, bool end) {
  (void)envoy;
  return (STATUS(response_body))stream_response_body((pyfilter_stream *)stream, end);
}

STATUS(response_trailers) HOOK(response_trailers)(void *envoy, const void *stream) {
  (void)envoy;
  return (STATUS(response_trailers))stream_response_trailers((pyfilter_stream *)stream);
}

STATUS(local_reply)
HOOK(local_reply)(void *envoy, const void *stream, uint32_t code, TYPE(envoy_buffer) details,
                  bool reset_imminent) {
  (void)envoy;
  return (STATUS(local_reply))stream_local_reply((pyfilter_stream *)stream, code, details.ptr,
                                                 details.length, reset_imminent);
}

void HOOK(stream_complete)(void *envoy, const void *stream) {
  (void)envoy;
  stream_complete((pyfilter_stream *)stream);
}

void HOOK(destroy)(const void *stream) { stream_destroy((pyfilter_stream *)stream); }

/* At any time of a stream's life. */

void HOOK(scheduled)(void *envoy, const void *stream, uint64_t event_id) {
  (void)envoy;
  stream_scheduled((pyfilter_stream *)stream, event_id);
}

void HOOK(downstream_above_write_buffer_high_watermark)(void *envoy, const void *stream) {
  (void)envoy;
  stream_above_watermark((pyfilter_stream *)stream);
}

void HOOK(downstream_below_write_buffer_low_watermark)(void *envoy, const void *stream) {
  (void)envoy;
  stream_below_watermark((pyfilter_stream *)stream);
}

/* Envoy wants these to exist. We start no callouts and no config-level events, so none ever comes. */

#define UNUSED __attribute__((unused))

void HOOK(config_scheduled)(UNUSED void *envoy, UNUSED const void *config, UNUSED uint64_t event) {}

void HOOK(http_callout_done)(UNUSED void *envoy, UNUSED const void *stream, UNUSED uint64_t id,
                             UNUSED TYPE(http_callout_result) result,
                             UNUSED TYPE(envoy_http_header) * headers, UNUSED size_t headers_size,
                             UNUSED TYPE(envoy_buffer) * chunks, UNUSED size_t chunks_size) {}

void HOOK(http_stream_headers)(UNUSED void *envoy, UNUSED const void *stream, UNUSED uint64_t id,
                               UNUSED TYPE(envoy_http_header) * headers, UNUSED size_t size,
                               UNUSED bool end) {}

void HOOK(http_stream_data)(UNUSED void *envoy, UNUSED const void *stream, UNUSED uint64_t id,
                            UNUSED const TYPE(envoy_buffer) * data, UNUSED size_t count,
                            UNUSED bool end) {}

void HOOK(http_stream_trailers)(UNUSED void *envoy, UNUSED const void *stream, UNUSED uint64_t id,
                                UNUSED TYPE(envoy_http_header) * trailers, UNUSED size_t size) {}

void HOOK(http_stream_complete)(UNUSED void *envoy, UNUSED const void *stream, UNUSED uint64_t id) {
}

void HOOK(http_stream_reset)(UNUSED void *envoy, UNUSED const void *stream, UNUSED uint64_t id,
                             UNUSED TYPE(http_stream_reset_reason) reason) {}

void HOOK(config_http_callout_done)(UNUSED void *envoy, UNUSED const void *config,
                                    UNUSED uint64_t id, UNUSED TYPE(http_callout_result) result,
                                    UNUSED TYPE(envoy_http_header) * headers,
                                    UNUSED size_t headers_size, UNUSED TYPE(envoy_buffer) * chunks,
                                    UNUSED size_t chunks_size) {}

void HOOK(config_http_stream_headers)(UNUSED void *envoy, UNUSED const void *config,
                                      UNUSED uint64_t id, UNUSED TYPE(envoy_http_header) * headers,
                                      UNUSED size_t size, UNUSED bool end) {}

void HOOK(config_http_stream_data)(UNUSED void *envoy, UNUSED const void *config,
                                   UNUSED uint64_t id, UNUSED const TYPE(envoy_buffer) * data,
                                   UNUSED size_t count, UNUSED bool end) {}

void HOOK(config_http_stream_trailers)(UNUSED void *envoy, UNUSED const void *config,
                                       UNUSED uint64_t id,
                                       UNUSED TYPE(envoy_http_header) * trailers,
                                       UNUSED size_t size) {}

void HOOK(config_http_stream_complete)(UNUSED void *envoy, UNUSED const void *config,
                                       UNUSED uint64_t id) {}

void HOOK(config_http_stream_reset)(UNUSED void *envoy, UNUSED const void *config,
                                    UNUSED uint64_t id,
                                    UNUSED TYPE(http_stream_reset_reason) reason) {}
