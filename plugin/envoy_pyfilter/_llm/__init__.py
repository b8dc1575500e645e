# SPDX-License-Identifier: Apache-2.0
"""
How a response of an LLM API becomes a model and numbers of tokens.

1. ``codings`` takes the content coding off a chunk, in small pieces.
2. ``events`` cuts server-sent events out of the pieces; a JSON body is one text.
3. ``text`` keeps what is not whole yet, and keeps it small.
4. ``usage`` reads the JSON, whichever API it is of, and adds up.
5. ``reading`` is all of this for one response.

None of it knows of streams or of Envoy: ``envoy_pyfilter.llm_usage`` does.
"""
