/* SPDX-License-Identifier: Apache-2.0
 *
 * config.h: filter configs and route configs, from load to the end.
 */
#ifndef PYFILTER_CONFIG_H
#define PYFILTER_CONFIG_H

#include <stdatomic.h>

#include "services.h"

typedef struct filter_config {
  pyfilter_config loaded;            /* what Python filled */
  atomic_uint references;            /* Envoy's, and one for each stream that outlives its host */
  atomic_ullong pending_hook_errors; /* counted when their stream was gone; the next one publishes */
} filter_config;

/* NULL: refused, and Envoy keeps the config that it had. */
filter_config *config_new(void *envoy, envoy_dynamic_module_type_envoy_buffer name,
                          envoy_dynamic_module_type_envoy_buffer text);
void config_destroy(filter_config *c);
/* A stream whose host died inside our own callback still needs its config until it leaves. */
void config_hold(filter_config *c);
void config_release(filter_config *c);
void *route_config_new(envoy_dynamic_module_type_envoy_buffer name,
                       envoy_dynamic_module_type_envoy_buffer text);
void route_config_destroy(void *route_config);

#endif
