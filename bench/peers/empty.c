/* SPDX-License-Identifier: Apache-2.0
 *
 * empty.c: a dynamic module that does nothing; what is left is the price of having one.
 */
#include "rest.h"

static const char SOMETHING; /* NULL would be a refusal. */

const void *HOOK(config_new)(UNUSED void *envoy, UNUSED TYPE(envoy_buffer) name,
                             UNUSED TYPE(envoy_buffer) config) {
  return &SOMETHING;
}

const void *HOOK(new)(UNUSED const void *config, UNUSED void *envoy) { return &SOMETHING; }

void HOOK(stream_complete)(UNUSED void *envoy, UNUSED const void *stream) {}
