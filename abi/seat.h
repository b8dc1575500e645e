/* SPDX-License-Identifier: Apache-2.0
 *
 * seat.h: where Python knows a stream by a number.
 *
 * A stream takes a seat of its worker before its first crossing and leaves it with its memory. Seats
 * are never freed, so what Python keeps of a stream (the seat, and the serial number with which the
 * stream took it) can be asked at any time, on any thread, whether the stream is still there: no call
 * into Python is needed to tell it that it is not.
 */
#ifndef PYFILTER_SEAT_H
#define PYFILTER_SEAT_H

#include <pthread.h>
#include <stdatomic.h>

#include "services.h"

struct pyfilter_seat {
  _Atomic(void *) envoy;    /* Envoy's side of the stream that sits here, NULL once it is gone */
  _Atomic(uint64_t) serial; /* of the stream that sits here, or will next */
  pyfilter_stream *stream;  /* as long as one sits here */
  pthread_t worker;         /* whose seat it is, for good */
  uint32_t number;          /* from 0, over all workers */
  pyfilter_seat *next;      /* of the free ones of this worker */
  char *area;               /* SEAT_AREA bytes, one for all seats of the worker */
};

/* A free seat of this thread, taken by the stream. */
pyfilter_seat *seat_take(pyfilter_stream *s, void *envoy);
/* Envoy's side is gone; the stream keeps the seat until it leaves. */
void seat_gone(pyfilter_seat *seat);
/* The stream leaves, on the thread that took the seat. Python holds nothing of it any more. */
void seat_leave(pyfilter_seat *seat);
/* The same, but Python still holds something of it: no stream takes the seat again. */
void seat_abandon(pyfilter_seat *seat);

#endif
