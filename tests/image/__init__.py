# SPDX-License-Identifier: Apache-2.0
"""
Tests of the image on a real engine, through the ``docker`` package; ``make test-docker`` runs them.

``Engine`` makes containers, networks and volumes, labelled with its session's name; ``reaper.py``
removes what has the label when the session is over, however it ended.
"""
