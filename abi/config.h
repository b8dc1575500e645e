/* SPDX-License-Identifier: Apache-2.0
 *
 * config.h: filter configs and route configs, from load to the end.
 */
#ifndef PYFILTER_CONFIG_H
#define PYFILTER_CONFIG_H

#include <stdatomic.h>

#include "services.h"

/* NULL: refused, and Envoy keeps the config that it had. */
pyfilter_config *config_new(void *envoy, envoy_dynamic_module_type_envoy_buffer name,
                            envoy_dynamic_module_type_envoy_buffer text);
void config_destroy(pyfilter_config *c);
/* A stream whose host died inside our own callback still needs its config until it leaves. */
void config_hold(pyfilter_config *c);
void config_release(pyfilter_config *c);
/* Hook errors whose stream was gone; the config's next stream tells Envoy of them. */
atomic_ullong *config_pending_hook_errors(pyfilter_config *c);

void *route_config_new(envoy_dynamic_module_type_envoy_buffer name,
                       envoy_dynamic_module_type_envoy_buffer text);
void route_config_destroy(void *route_config);

#endif
