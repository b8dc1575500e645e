/* SPDX-License-Identifier: Apache-2.0
 *
 * agent_queue.h: the packets that the agent has not taken yet, bounded in number and in bytes.
 *
 * Only the flusher uses it; the limits may be changed by another thread at any time.
 */
#ifndef PYFILTER_AGENT_QUEUE_H
#define PYFILTER_AGENT_QUEUE_H

#include "queue_limits.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct packet {
  struct packet *next;
  size_t length;
  char data[];
} packet;

typedef struct agent_queue {
  packet *first; /* the oldest */
  packet *last;
  size_t entries;
  size_t bytes; /* of the packets themselves */
  queue_limits *limits; /* of the plans that live, the newest first; under sinks_lock */
  /* Those that hold; when no plan is left, the last one's. */
  _Atomic size_t most_entries;
  _Atomic size_t most_bytes;
  _Atomic bool drop_oldest;
} agent_queue;

/* Limits come with a plan, and go with it; under sinks_lock. */
void queue_add_limits(agent_queue *q, queue_limits *added);
void queue_remove_limits(agent_queue *q, const queue_limits *removed);

/* Whether a packet of that length fits as the queue is. */
bool queue_fits(const agent_queue *q, size_t length);
/* Makes room by the policy. Returns how many packets were dropped for it; *fits: whether there is
 * room. When there is none, the packet that should come is dropped, and is in the count. */
uint64_t queue_make_room(agent_queue *q, size_t length, bool *fits);
/* Adds a packet at the end; the caller fills in its data. */
packet *queue_add(agent_queue *q, size_t length);
/* Takes the first packets out. */
void queue_pop(agent_queue *q, size_t count);

#endif
