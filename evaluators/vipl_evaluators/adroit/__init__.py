"""The suite `adroit`: two tasks of a hand with 24 joints.

They and the cameras are those of the visual imitation study of R3M (arXiv 2203.12601), which VIP's
(arXiv 2210.00030) repeats, on gymnasium-robotics' models and MuJoCo's own bindings. What differs
from the study is listed in docs/reference/suites.md.
"""
