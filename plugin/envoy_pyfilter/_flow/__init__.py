# SPDX-License-Identifier: Apache-2.0
"""
One HTTP stream's way through its filter: hooks in, verdicts settled, Envoy's statuses out.

Rule 1: every way in which a hook can go wrong is settled in this package, once for each stream.
Rule 2: this package does not know about C; it asks the proxy through ``Host``.
Rule 3: a call to the proxy may come back here, and may even end the stream, before it returns.
Rule 4: a failed stream never enters its filter again. Under ``deny`` nothing passes after that.

How a hook goes:

1. ``_hooks.py`` calls ``_request_headers`` and the like (``hooks.py``), on the stream's worker.
2. ``_early`` answers for streams that were answered or have failed, without the filter.
3. The filter's hook runs and returns a verdict, or raises.
4. ``_settle`` turns the verdict into Envoy's status, or ``_fail`` (``failures.py``) does so for an
   exception. A reply goes through ``answers.py``.
5. Tasks that other threads left meanwhile get a scheduler that wakes the worker for them
   (``threads.py``).

A stream is one object. Its class is made in layers, one for each question, and each layer knows
only those below it: ``state``, ``answers``, ``failures``, ``threads``, ``hooks``, ``resume``.
"""
