"""Which learner with which hyper-parameters: candidates, tuning over folds of customers, calibration, the choice."""
