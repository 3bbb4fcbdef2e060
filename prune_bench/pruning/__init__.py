"""The theory: criterion x structure x allocation x schedule x revival. Imports torch alone."""


class Infeasible(ValueError):
    """The asked sparsity cannot be reached with the units this method may remove."""
