# SPDX-License-Identifier: Apache-2.0
"""
The operator ``%EG_EXT_FILTER_STATE(name:attribute)%`` in Envoy's formats, made into what Envoy has.

1. ``lexer`` cuts a format as Envoy does; ``gateway`` as Envoy Gateway's regular expressions did.
2. ``aliases`` knows, for each kind of filter, which of Envoy's commands reads an attribute.
3. ``strict`` and ``gateway`` make a format's text of that: the profiles.
4. ``places`` finds every format of a configuration, ``chains`` the filters whose state it can read
   and ``found`` the names that they have there, ``visible`` whether the state is there by then.
5. ``rewrite`` writes the configuration again, and only the formats are other than before.

``command`` is what the command line has of it, ``envoy_pyfilter.operators`` what programs have.
"""
