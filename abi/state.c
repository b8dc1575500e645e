/* SPDX-License-Identifier: Apache-2.0
 *
 * state.c: see state.h. A key that is there already keeps its value: up to 1.38 Envoy itself
 * refuses the second write, and logs a bug with a stack trace; from 1.39 on it would overwrite it
 * without a word. The metadata of such a key is left alone too, so that both tell the same.
 */
#include "state.h"

#include "escape.h"
#include "format.h"
#include "worker.h"

static const slice MISSING_VALUE = {"-", 1};

/* Logs a conflict, once for each key of a plan. */
static void log_conflict(const plan *p, state_key *key) {
  if (!atomic_load_explicit(&key->conflict, memory_order_relaxed) &&
      !atomic_exchange_explicit(&key->conflict, true, memory_order_relaxed)) {
    host_log(envoy_dynamic_module_type_log_level_Warn,
             "envoy_pyfilter: %.*s: the filter state %.*s was written before by another filter of "
             "the same stream; its value stays (said once, counted in state_conflicts)",
             (int)p->instance.length, p->instance.data, (int)key->key.length, key->key.data);
  }
}

/* The value of a key; it has an address although it may be empty. */
static slice value_of(const state_key *key, const entry *e, const host *h, text *out) {
  out->length = 0;
  text_need(out, 1);
  format_put(&key->value, e, h, MISSING_VALUE, out);
  return (slice){out->data, out->length};
}

/* Metadata is a protobuf string, so it has to be UTF-8; filter state takes any bytes. */
static void write_metadata(const state_key *key, const plan *p, const host *h, slice value) {
  if (!slice_is_ascii(value) && !slice_is_utf8(value)) {
    text *repaired = &worker_self()->repaired;
    repaired->length = 0;
    text_utf8(repaired, value);
    value = (slice){repaired->data, repaired->length};
  }
  h->call->metadata_set(h->envoy, p->instance, key->key, value);
}

/* False: the key is taken. */
static bool write_key(const state_key *key, const plan *p, const host *h, slice value) {
  if (!h->call->state_set(h->envoy, key->key, value)) {
    return false;
  }
  if (p->flags & PLAN_STATE_METADATA) {
    write_metadata(key, p, h, value);
  }
  return true;
}

uint64_t state_write(const entry *e, const plan *p, const host *h) {
  uint64_t conflicts = 0;
  for (size_t i = 0; i < p->state_count; i++) {
    state_key *key = &p->states[i];
    if (h->call->state_exists(h->envoy, key->key) ||
        !write_key(key, p, h, value_of(key, e, h, &worker_self()->value))) {
      log_conflict(p, key);
      conflicts++;
    }
  }
  return conflicts;
}
