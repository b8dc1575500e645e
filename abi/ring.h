/* SPDX-License-Identifier: Apache-2.0
 *
 * ring.h: a bounded queue of bytes with one writer and one reader, and no lock.
 *
 * The writer puts whole entries or nothing, so what the reader sees always ends at the end of an
 * entry: a line, or a packet with its length before it. Positions count bytes since the beginning
 * and never go back; the place in the memory is the position modulo the size.
 */
#ifndef PYFILTER_RING_H
#define PYFILTER_RING_H

#include <stdalign.h>
#include <stdatomic.h>
#include <sys/uio.h>

#include "text.h"

enum { CACHE_LINE = 64, PACKET_FRAME = sizeof(uint32_t) };

typedef struct ring {
  alignas(CACHE_LINE) _Atomic size_t head; /* the writer's position */
  size_t tail_seen;                        /* the reader's, as the writer saw it last */
  _Atomic bool urgent; /* the writer asked the reader to hurry; cleared by reading */
  alignas(CACHE_LINE) _Atomic size_t tail; /* the reader's position */
  alignas(CACHE_LINE) size_t size;         /* a power of two */
  char *data;
} ring;

typedef enum { RING_PUT, RING_PUT_URGENT, RING_FULL } ring_result;

/* The memory that a ring of at least these many bytes takes. */
size_t ring_size_for(size_t bytes);
ring *ring_new(size_t size);
void ring_free(ring *r);

/* The writer: puts one entry, whole or not at all. URGENT, once until the reader reads: the ring is
 * half full, so wake the reader even if it did not ask. */
ring_result ring_put(ring *r, slice entry);
/* The same for a packet, which takes PACKET_FRAME bytes more. */
ring_result ring_put_packet(ring *r, slice packet);

/* The reader: the bytes that wait, in up to two pieces; returns how many pieces. */
int ring_peek(ring *r, struct iovec pieces[2]);
/* The reader: these many bytes were taken. */
void ring_take(ring *r, size_t bytes);
size_t ring_waiting(ring *r);
/* The reader: takes the rest of a line that was begun. */
void ring_skip_line(ring *r);
size_t ring_count_lines(ring *r);

/* The reader: the length of the first packet; false when none waits. */
bool ring_packet(ring *r, size_t *length);
/* The reader: copies the first packet out, of which ring_packet told the length; to NULL: drops
 * it. */
void ring_take_packet(ring *r, char *to, size_t length);
size_t ring_count_packets(ring *r);

#endif
