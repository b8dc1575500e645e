/* SPDX-License-Identifier: Apache-2.0
 *
 * interp.h: starts Python in Envoy's process, once.
 */
#ifndef PYFILTER_INTERP_H
#define PYFILTER_INTERP_H

/* The ABI string that this host wants to hear, or NULL: the host is unknown, or Python does not
 * start; the reason is in Envoy's log. */
const char *interp_start(void);

/* Attaches Python's side of crossing.h. In the source that cffi makes; 0: done. */
int pyfilter_attach_python(void);

#endif
