/* SPDX-License-Identifier: Apache-2.0
 *
 * host.h: all that the record lane asks of what it runs in.
 *
 * One table of functions for each kind of host; the first argument is Envoy's side of the stream.
 * The types are the ABI's own, so a table can hold Envoy's callbacks themselves.
 */
#ifndef PYFILTER_HOST_H
#define PYFILTER_HOST_H

#include "envoy_abi.h"
#include "text.h"

typedef struct host_functions {
  size_t (*headers_size)(void *envoy, envoy_dynamic_module_type_http_header_type map);
  bool (*headers)(void *envoy, envoy_dynamic_module_type_http_header_type map,
                  envoy_dynamic_module_type_envoy_http_header *out);
  bool (*attribute_text)(void *envoy, envoy_dynamic_module_type_attribute_id id,
                         envoy_dynamic_module_type_envoy_buffer *out);
  bool (*attribute_number)(void *envoy, envoy_dynamic_module_type_attribute_id id, uint64_t *out);
  bool (*cluster)(void *envoy, envoy_dynamic_module_type_envoy_buffer *out);
  uint32_t (*worker)(void *envoy);
  /* Filter state and metadata; NULL where the host cannot write them. */
  bool (*state_exists)(void *envoy, slice key);
  bool (*state_set)(void *envoy, slice key, slice value);
  void (*metadata_set)(void *envoy, slice name_space, slice key, slice value);
  void (*count)(void *envoy, size_t counter, uint64_t n);
} host_functions;

typedef struct host {
  const host_functions *call;
  void *envoy;
} host;

/* A stream of an HTTP filter. */
extern const host_functions host_http;

/* One line in Envoy's log; any thread. */
void host_log(envoy_dynamic_module_type_log_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
