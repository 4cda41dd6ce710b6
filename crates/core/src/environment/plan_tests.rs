//! Tables for the choice of the next step.
