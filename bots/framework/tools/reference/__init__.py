"""The reference of the plugin API: its pages, and the record of what is public.

``python -m bots.framework.tools.reference`` writes ``docs/api/``; with ``--check`` it says what is missing and what is
out of date; with ``--record`` it writes down the public API, and asks for a higher ``API_VERSION`` when that is due;
with ``--release`` it keeps the record as the one that later ones are compared with.

Runs in the source tree, and needs griffelib (of the ``dev`` dependencies): it reads the code without importing it, and
knows the texts behind attributes, which nothing at run time does.
"""
