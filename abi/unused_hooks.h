/* SPDX-License-Identifier: Apache-2.0
 *
 * unused_hooks.h: the hooks that Envoy wants to exist and never calls, because nobody here starts a
 * callout or a config-level event; and the short names by which hooks are written.
 */
#ifndef PYFILTER_UNUSED_HOOKS_H
#define PYFILTER_UNUSED_HOOKS_H

#include "envoy_abi.h"

#define HOOK(name) envoy_dynamic_module_on_http_filter_##name
#define TYPE(name) envoy_dynamic_module_type_##name
#define STATUS(name) envoy_dynamic_module_type_on_http_filter_##name##_status
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

#endif
