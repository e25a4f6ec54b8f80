"""medtaskatlas: an atlas of how medical vision tasks relate."""

__version__ = "0.1.0"
