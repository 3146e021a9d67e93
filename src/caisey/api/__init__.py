"""JSON over HTTP: the API, the runtimes' entrances, event streams, problem details.

Owns the mapping between HTTP and the control plane, and no decision of its own. One table says what there is
(`routes`); what is served, what OpenAPI says and what the tests try are all made from it.
"""
