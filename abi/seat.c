/* SPDX-License-Identifier: Apache-2.0
 *
 * seat.c: each worker keeps its free seats in a list of its own; the lock is for making one.
 */
#include "seat.h"

#include <stdlib.h>

static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;
static pyfilter_seat **seats; /* all that were made, by number */
static size_t made;
static __thread pyfilter_seat *free_seats;
static __thread char *area;

static void *must(void *memory) {
  if (memory == NULL) {
    abort();
  }
  return memory;
}

static pyfilter_seat *seat_make(void) {
  if (area == NULL) {
    area = must(malloc(SEAT_AREA));
  }
  pyfilter_seat *seat = must(calloc(1, sizeof *seat));
  seat->worker = pthread_self();
  seat->area = area;
  pthread_mutex_lock(&making);
  if ((made & (made + 1)) == 0) { /* 0, 1, 3, 7, …: the table is full */
    seats = must(realloc(seats, 2 * (made + 1) * sizeof *seats));
  }
  seat->number = (uint32_t)made;
  seats[made++] = seat;
  pthread_mutex_unlock(&making);
  return seat;
}

pyfilter_seat *seat_take(pyfilter_stream *s, void *envoy) {
  pyfilter_seat *seat = free_seats;
  if (seat == NULL) {
    seat = seat_make();
  } else {
    free_seats = seat->next;
  }
  seat->stream = s;
  atomic_store_explicit(&seat->envoy, envoy, memory_order_release);
  return seat;
}

void seat_gone(pyfilter_seat *seat) {
  atomic_store_explicit(&seat->envoy, NULL, memory_order_release);
}

void seat_abandon(pyfilter_seat *seat) {
  seat_gone(seat);
  atomic_fetch_add_explicit(&seat->serial, 1, memory_order_release);
  seat->stream = NULL;
}

void seat_leave(pyfilter_seat *seat) {
  seat_abandon(seat);
  seat->next = free_seats;
  free_seats = seat;
}

/* --- what Python asks (services.h) --- */

pyfilter_seat *pyfilter_seat_at(uint32_t number) {
  pthread_mutex_lock(&making);
  pyfilter_seat *seat = seats[number];
  pthread_mutex_unlock(&making);
  return seat;
}

char *pyfilter_seat_area(pyfilter_seat *seat) { return seat->area; }

bool pyfilter_seat_gone(pyfilter_seat *seat, uint64_t serial) {
  return atomic_load_explicit(&seat->serial, memory_order_acquire) != serial ||
         atomic_load_explicit(&seat->envoy, memory_order_acquire) == NULL;
}

void *pyfilter_seat_envoy(pyfilter_seat *seat, uint64_t serial) {
  if (!pthread_equal(seat->worker, pthread_self()) || pyfilter_seat_gone(seat, serial)) {
    return NULL;
  }
  return atomic_load_explicit(&seat->envoy, memory_order_relaxed);
}

pyfilter_stream *pyfilter_seat_stream(pyfilter_seat *seat) { return seat->stream; }
