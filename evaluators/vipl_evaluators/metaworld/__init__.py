"""The suite `metaworld`: five tasks of a Sawyer arm at a table.

They and the cameras are those of the visual imitation study of R3M (arXiv 2203.12601), which VIP's
(arXiv 2210.00030) repeats, on version 3 of the MetaWorld package and MuJoCo's own bindings. What
differs from the study is listed in docs/reference/suites.md.
"""
