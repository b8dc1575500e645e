/* SPDX-License-Identifier: Apache-2.0
 *
 * state.c: see state.h. A key that is there already keeps its value: up to 1.38 Envoy itself
 * refuses the second write, and logs a bug with a stack trace; from 1.39 on it would overwrite it
 * without a word. The metadata of such a key is left alone too, so that both tell the same.
 */
#include "state.h"

#include "worker.h"

static const slice MISSING_VALUE = {"-", 1};

/* Logs a conflict, once for each key of a plan. */
static void log_conflict(const plan *p, state_key *key) {
  if (!atomic_load_explicit(&key->conflict_told, memory_order_relaxed) &&
      !atomic_exchange_explicit(&key->conflict_told, true, memory_order_relaxed)) {
    host_log(envoy_dynamic_module_type_log_level_Warn,
             "envoy_pyfilter: %.*s: the filter state %.*s was written before by another filter of "
             "the same stream; its value stays (said once, counted in state_conflicts)",
             (int)p->instance.length, p->instance.data, (int)key->key.length, key->key.data);
  }
}

/* Appends a header's first value, as Envoy's own formats do, unless it is redacted; false: no such
 * header. */
static bool put_header(const entry *e, const plan *p, const state_part *part, text *out) {
  const rules *r = &p->rules[part->map <= MAP_REQUEST_TRAILERS ? PLAN_REQUEST : PLAN_RESPONSE];
  slice value;
  bool found = header_find(&e->maps[part->map], part->text, &value);
  if (found) {
    text_put(out, rules_hide(r, part->text) ? REDACTED : value);
  }
  return found;
}

/* Appends the text of a note; false: no such note. */
static bool put_note(const entry *e, slice key, text *out) {
  for (const note *n = e->notes; n != NULL; n = n->next) {
    if (n->kind == NOTE_NOTE && slice_is(n->key, key)) {
      text_put(out, n->text);
      return true;
    }
  }
  return false;
}

/* Appends one part: what it names, cut to its limit, or "-". */
static void put_part(const entry *e, const plan *p, const state_part *part, text *out) {
  size_t start = out->length;
  bool known = true;
  switch (part->op) {
  case PART_LITERAL:
    text_put(out, part->text);
    return;
  case PART_HEADER:
    known = put_header(e, p, part, out);
    break;
  case PART_FIELD:
    known = entry_field_text(e, part->field, out);
    break;
  default:
    known = put_note(e, part->text, out);
  }
  if (!known) {
    text_put(out, MISSING_VALUE);
  } else if (part->max_length > 0 && out->length - start > part->max_length) {
    out->length = start + part->max_length;
  }
}

/* The value of a key; it has an address although it may be empty. */
static slice value_of(const state_key *key, const entry *e, const plan *p, text *out) {
  out->length = 0;
  text_need(out, 1);
  for (size_t i = 0; i < key->count; i++) {
    put_part(e, p, &key->parts[i], out);
  }
  return (slice){out->data, out->length};
}

/* Metadata is a protobuf string, so it has to be UTF-8; filter state takes any bytes. False: the
 * key is taken. */
static bool write_key(const state_key *key, const plan *p, const host *h, slice value) {
  if (!h->call->state_set(h->envoy, key->key, value)) {
    return false;
  }
  if (!slice_is_utf8(value)) {
    text *repaired = &worker_self()->repaired;
    repaired->length = 0;
    text_utf8(repaired, value);
    value = (slice){repaired->data, repaired->length};
  }
  h->call->metadata_set(h->envoy, p->instance, key->key, value);
  return true;
}

uint64_t state_write(const entry *e, const plan *p, const host *h) {
  uint64_t conflicts = 0;
  for (size_t i = 0; i < p->state_count; i++) {
    state_key *key = &p->states[i];
    if (h->call->state_exists(h->envoy, key->key) ||
        !write_key(key, p, h, value_of(key, e, p, &worker_self()->value))) {
      log_conflict(p, key);
      conflicts++;
    }
  }
  return conflicts;
}
