"""The operators' console below ``/internal/console/`` (spec 12 §1): pages, without JavaScript too.

- ``access``: who may read, and who may act.
- ``tables``: what a page lists, as HTML and as CSV.
- ``grafana``: the panels of Grafana beside the tables.
- ``views``: what all pages share: access, headers, errors.
- ``fleet``, ``customer``, ``day``, ``instance``, ``search``, ``audit``: the pages; each calls one
  function of ``api.overview``.
- ``actions``: what operators do, each written to the audit log.
- ``assets``: style, scripts and what is vendored, served by the application itself.
"""
