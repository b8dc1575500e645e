/* SPDX-License-Identifier: Apache-2.0
 *
 * ring.c: see ring.h. The head is stored, and read by the reader, in sequentially consistent order:
 * the bell (sink.h) relies on it.
 */
#include "ring.h"

#include <stdlib.h>
#include <sys/mman.h>

enum { SMALLEST = 4096, HEADER = 4096 };

size_t ring_size_for(size_t bytes) {
  size_t size = SMALLEST;
  while (size < bytes) {
    size *= 2;
  }
  return size;
}

/* One mapping for the positions and the bytes; the kernel gives a page when it is first written, so
 * a large ring that is never filled costs nothing. */
ring *ring_new(size_t size) {
  char *memory =
      mmap(NULL, HEADER + size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    abort();
  }
  ring *r = (ring *)memory;
  r->size = size;
  r->data = memory + HEADER;
  return r;
}

void ring_free(ring *r) { munmap(r, HEADER + r->size); }

/* Copies into the ring, around its end where needed. */
static void copy_in(ring *r, size_t position, slice entry) {
  size_t start = position & (r->size - 1);
  size_t first = r->size - start;
  if (first >= entry.length) {
    memcpy(r->data + start, entry.data, entry.length);
  } else {
    memcpy(r->data + start, entry.data, first);
    memcpy(r->data, entry.data + first, entry.length - first);
  }
}

/* Asks for the reader's position only when the position seen last would not do. */
static bool has_room(ring *r, size_t head, size_t length) {
  if (r->size - (head - r->tail_seen) >= length) {
    return true;
  }
  r->tail_seen = atomic_load_explicit(&r->tail, memory_order_acquire);
  return r->size - (head - r->tail_seen) >= length;
}

/* Lets the reader see what was copied in before the new head. */
static ring_result publish(ring *r, size_t head) {
  atomic_store_explicit(&r->head, head, memory_order_seq_cst);
  if (head - r->tail_seen <= r->size / 2) {
    return RING_PUT;
  }
  r->tail_seen = atomic_load_explicit(&r->tail, memory_order_acquire);
  if (head - r->tail_seen <= r->size / 2 ||
      atomic_exchange_explicit(&r->urgent, true, memory_order_relaxed)) {
    return RING_PUT;
  }
  return RING_PUT_URGENT;
}

ring_result ring_put(ring *r, slice entry) {
  size_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
  if (!has_room(r, head, entry.length)) {
    return RING_FULL;
  }
  copy_in(r, head, entry);
  return publish(r, head + entry.length);
}

ring_result ring_put_packet(ring *r, slice packet) {
  size_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
  uint32_t length = (uint32_t)packet.length;
  if (!has_room(r, head, PACKET_FRAME + packet.length)) {
    return RING_FULL;
  }
  copy_in(r, head, (slice){(const char *)&length, PACKET_FRAME});
  copy_in(r, head + PACKET_FRAME, packet);
  return publish(r, head + PACKET_FRAME + packet.length);
}

size_t ring_waiting(ring *r) {
  return atomic_load_explicit(&r->head, memory_order_seq_cst) -
         atomic_load_explicit(&r->tail, memory_order_relaxed);
}

int ring_peek(ring *r, struct iovec pieces[2]) {
  size_t waiting = ring_waiting(r);
  if (waiting == 0) {
    return 0;
  }
  size_t start = atomic_load_explicit(&r->tail, memory_order_relaxed) & (r->size - 1);
  size_t first = r->size - start;
  pieces[0] = (struct iovec){r->data + start, waiting < first ? waiting : first};
  if (waiting <= first) {
    return 1;
  }
  pieces[1] = (struct iovec){r->data, waiting - first};
  return 2;
}

void ring_take(ring *r, size_t bytes) {
  size_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
  atomic_store_explicit(&r->tail, tail + bytes, memory_order_release);
  atomic_store_explicit(&r->urgent, false, memory_order_relaxed);
}

/* The length of the first line, its end included; 0 when nothing waits. */
static size_t first_line(ring *r) {
  struct iovec pieces[2];
  int count = ring_peek(r, pieces);
  size_t before = 0;
  for (int i = 0; i < count; i++) {
    char *end = memchr(pieces[i].iov_base, '\n', pieces[i].iov_len);
    if (end != NULL) {
      return before + (size_t)(end - (char *)pieces[i].iov_base) + 1;
    }
    before += pieces[i].iov_len;
  }
  return before;
}

void ring_skip_line(ring *r) { ring_take(r, first_line(r)); }

size_t ring_count_lines(ring *r) {
  struct iovec pieces[2];
  int count = ring_peek(r, pieces);
  size_t lines = 0;
  for (int i = 0; i < count; i++) {
    const char *at = pieces[i].iov_base;
    const char *end = at + pieces[i].iov_len;
    while (at < end && (at = memchr(at, '\n', (size_t)(end - at))) != NULL) {
      lines++;
      at++;
    }
  }
  return lines;
}

/* Copies out of the ring, around its end where needed. */
static void copy_out(const ring *r, size_t position, char *to, size_t length) {
  size_t start = position & (r->size - 1);
  size_t first = r->size - start < length ? r->size - start : length;
  memcpy(to, r->data + start, first);
  memcpy(to + first, r->data, length - first);
}

/* The length of the packet at this position. */
static size_t packet_length(const ring *r, size_t position) {
  uint32_t length;
  copy_out(r, position, (char *)&length, PACKET_FRAME);
  return length;
}

bool ring_packet(ring *r, size_t *length) {
  if (ring_waiting(r) == 0) {
    return false;
  }
  *length = packet_length(r, atomic_load_explicit(&r->tail, memory_order_relaxed));
  return true;
}

void ring_take_packet(ring *r, char *to, size_t length) {
  if (to != NULL) {
    copy_out(r, atomic_load_explicit(&r->tail, memory_order_relaxed) + PACKET_FRAME, to, length);
  }
  ring_take(r, PACKET_FRAME + length);
}

size_t ring_count_packets(ring *r) {
  size_t at = atomic_load_explicit(&r->tail, memory_order_relaxed);
  size_t end = at + ring_waiting(r);
  size_t packets = 0;
  for (; at != end; packets++) {
    at += PACKET_FRAME + packet_length(r, at);
  }
  return packets;
}
