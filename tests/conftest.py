"""What holds for all tests."""

import os

# The tests run beside each other, one on a core. Two threads of scikit-learn's trees, where one core is busy with
# something else, wait for each other in a loop: a fit of half a second then takes 40.
os.environ.setdefault("OMP_NUM_THREADS", "1")
