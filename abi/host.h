/* SPDX-License-Identifier: Apache-2.0
 *
 * host.h: all that the record lane asks of what it runs in.
 *
 * One table of functions for each kind of host; the first argument is Envoy's side of the stream.
 * The types are the ABI's own, so a table can hold Envoy's callbacks themselves.
 */
#ifndef PYFILTER_HOST_H
#define PYFILTER_HOST_H

#include <stdatomic.h>

#include "envoy_abi_logger.h"
#include "text.h"

typedef struct host_functions {
  size_t (*headers_size)(void *envoy, envoy_dynamic_module_type_http_header_type map);
  bool (*headers)(void *envoy, envoy_dynamic_module_type_http_header_type map,
                  envoy_dynamic_module_type_envoy_http_header *out);
  /* A header's first value. */
  bool (*header)(void *envoy, envoy_dynamic_module_type_http_header_type map, slice name,
                 slice *value);
  bool (*attribute_text)(void *envoy, envoy_dynamic_module_type_attribute_id id,
                         envoy_dynamic_module_type_envoy_buffer *out);
  bool (*attribute_number)(void *envoy, envoy_dynamic_module_type_attribute_id id, uint64_t *out);
  bool (*cluster)(void *envoy, envoy_dynamic_module_type_envoy_buffer *out);
  uint32_t (*worker)(void *envoy);
  /* Appends filter state or dynamic metadata as text; false: there is none, or it has no text. */
  bool (*state_text)(void *envoy, slice key, text *out);
  /* *last: 0 at first, kept by the caller from call to call of this key, whichever the worker. */
  bool (*metadata_text)(void *envoy, slice name_space, slice key, atomic_int *last, text *out);
  /* Filter state and metadata; NULL where the host cannot write them. */
  bool (*state_exists)(void *envoy, slice key);
  bool (*state_set)(void *envoy, slice key, slice value);
  void (*metadata_set)(void *envoy, slice name_space, slice key, slice value);
  /* Of these the first argument is host.metrics. */
  void (*count)(void *metrics, size_t counter, uint64_t n);
  void (*gauge)(void *metrics, size_t gauge, uint64_t value);
  /* A metric of the user's own, METRIC_*; an access logger's has no labels. */
  void (*measure)(void *metrics, int kind, size_t id,
                  envoy_dynamic_module_type_module_buffer *labels, size_t count, uint64_t number);
} host_functions;

typedef struct host {
  const host_functions *call;
  void *envoy;
  void *metrics; /* what stats are counted with: the stream, or an access logger's config */
} host;

/* A stream of an HTTP filter. */
extern const host_functions host_http;
/* A stream that an access logger is told of. */
extern const host_functions host_logger;

/* A text as the ABI takes it. */
static inline envoy_dynamic_module_type_module_buffer lent(slice s) {
  return (envoy_dynamic_module_type_module_buffer){s.data, s.length};
}

/* An IP address with its port, as Envoy writes it: made there. Without a port: as it is. */
slice host_address(slice ip, uint32_t port, text *made);
/* Appends a whole number as it is written, another with as few digits as tell it. */
void host_put_double(text *out, double number);

/* One line in Envoy's log; any thread. */
void host_log(envoy_dynamic_module_type_log_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
