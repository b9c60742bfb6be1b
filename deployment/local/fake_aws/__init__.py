"""The fake AWS: moto's server, with the behaviours added that cloudigrade needs and moto lacks.

moto keeps accounts strictly apart. cloudigrade's work is between accounts: customers' trails write
to our bucket, customers run images of others and share snapshots with us. The modules here change
moto's classes before its server starts; moto is pinned to one version because of that.
"""
