"""Checkers that prove a contract on anybody's work, and name the clause that is broken.

`check_vector_env(env)` judges a Gymnasium vector environment, in NumPy or torch;
`check_foveation(wrapper)` a wrapper that gives eyes to an environment, single or vector.
"""

from saccade.testing.contract import ContractError
from saccade.testing.foveation import check_foveation
from saccade.testing.vector import check_vector_env

__all__ = ["ContractError", "check_foveation", "check_vector_env"]
