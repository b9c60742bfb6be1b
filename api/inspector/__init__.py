"""The inspector: what a disk says of the system on it (spec 13). Knows nothing else of ours.

The modules, in the order in which the data pass through them:

========================  =======================================================================
``sources``, ``ebs``      something that can be read at an offset: file, block device, snapshot
``partitions``            GPT, MBR with extended partitions, or no partition table at all
``lvm``                   logical volumes: linear and striped ones
``magic``                 the name of what lies in a volume
``xfs``, ``ext``          file systems, by the libraries of libyal
``directory``             a directory of this machine in the place of a file system
``tree``                  paths and symbolic links of an image, resolved inside it only
``deployment``            the root of an image: the tree's own, or that of an ostree deployment
``packages``, ``copies``  the databases of rpm, by ``sqlite``, ``berkeley`` and ``ndb``
``rpmheader``,            one package: its name, and the key id of its signature
``openpgp``
``releases``,             further facts of a root
``certificates``,
``repositories``,
``purpose``, ``machine``
``facts``                 all facts of one root
``drive``                 all partitions and logical volumes of a drive
``child``, ``isolation``  drives are looked into by a process of its own, which may die
``results``               the result file of spec 05 §8
``delivery``, ``command`` the program
========================  =======================================================================

``errors`` and ``limits`` serve all of them. Only ``xfs`` and ``ext`` need packages of the
dependency group ``inspector``, only ``ebs`` and ``delivery`` need AWS's SDK.
"""

NAME = "cloudigrade-inspector"
VERSION = "1.0.0"
