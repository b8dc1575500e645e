/* SPDX-License-Identifier: Apache-2.0
 *
 * kernel.h: what stands between the flusher and the kernel (the linker wraps the calls), so that a
 * test decides what the time is and what a call gives, and sees which calls were made.
 */
#ifndef PYFILTER_PARTS_KERNEL_H
#define PYFILTER_PARTS_KERNEL_H

/* Carries a test's command out. -1: it is none of those about the kernel.
 *
 *   move N      the clock goes N ms forward
 *   stand       the clock stands; a poll that times out takes no time, and moves it instead
 *   reads       how often the clock was read
 *   polls       how often somebody polled
 *   for_ever    whether somebody is in a poll without a time-out
 *   hold, go    polls do not return until "go"
 *   no_events   there are no more eventfds
 *   closed N    1: connect returns when the other end has closed the connection
 *   no_room N   1: a socket takes no packet, whatever poll says
 *   tries       how many packets were tried to be sent, or connections to be made
 *   tried_at N  the time of the Nth */
long kernel_obey(const char *what, long number);

#endif
