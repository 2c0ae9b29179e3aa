"""Names of the array types that training passes around; shapes stand in the docstrings of those who use them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Vectors = NDArray[np.float32]  # [n, F] features, NaN where missing
Labels = NDArray[np.integer]  # [n] 0 or 1
Mask = NDArray[np.bool_]
Indices = NDArray[np.intp]
Times = NDArray[np.int64]  # microseconds since 1970 UTC
Texts = NDArray[Any]  # text, as numpy arrays of objects or of fixed width
