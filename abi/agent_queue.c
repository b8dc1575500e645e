/* SPDX-License-Identifier: Apache-2.0 */
#include "agent_queue.h"

#include <stdlib.h>

#include "text.h"

static void apply_limits(agent_queue *q) {
  if (q->limits != NULL) {
    atomic_store(&q->most_entries, q->limits->entries);
    atomic_store(&q->most_bytes, q->limits->bytes);
    atomic_store(&q->drop_oldest, q->limits->drop_oldest);
  }
}

void queue_add_limits(agent_queue *q, queue_limits *added) {
  added->next = q->limits;
  q->limits = added;
  apply_limits(q);
}

void queue_remove_limits(agent_queue *q, const queue_limits *removed) {
  queue_limits **place = &q->limits;
  while (*place != removed) {
    place = &(*place)->next;
  }
  *place = removed->next;
  apply_limits(q);
}

bool queue_fits(const agent_queue *q, size_t length) {
  size_t most_bytes = atomic_load_explicit(&q->most_bytes, memory_order_relaxed);
  return q->entries < atomic_load_explicit(&q->most_entries, memory_order_relaxed) &&
         length <= most_bytes && q->bytes <= most_bytes - length;
}

uint64_t queue_make_room(agent_queue *q, size_t length, bool *fits) {
  uint64_t dropped = 0;
  bool oldest = atomic_load_explicit(&q->drop_oldest, memory_order_relaxed) &&
                length <= atomic_load_explicit(&q->most_bytes, memory_order_relaxed);
  while (!(*fits = queue_fits(q, length)) && oldest && q->entries > 0) {
    queue_pop(q, 1);
    dropped++;
  }
  return dropped + !*fits;
}

packet *queue_add(agent_queue *q, size_t length) {
  packet *p = must_allocate(sizeof *p + length);
  p->next = NULL;
  p->length = length;
  if (q->last == NULL) {
    q->first = p;
  } else {
    q->last->next = p;
  }
  q->last = p;
  q->entries++;
  q->bytes += length;
  return p;
}

void queue_pop(agent_queue *q, size_t count) {
  for (; count > 0; count--) {
    packet *p = q->first;
    q->first = p->next;
    q->entries--;
    q->bytes -= p->length;
    free(p);
  }
  if (q->first == NULL) {
    q->last = NULL;
  }
}
