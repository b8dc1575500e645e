/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PYFILTER_QUEUE_LIMITS_H
#define PYFILTER_QUEUE_LIMITS_H

#include <stdbool.h>
#include <stddef.h>

/* How much may wait. Each plan that uses the queue has its own; the newest of them hold. */
typedef struct queue_limits {
  struct queue_limits *next; /* older */
  size_t entries;
  size_t bytes;     /* of the packets themselves */
  bool drop_oldest; /* when one more does not fit; else that one is dropped */
} queue_limits;

#endif
