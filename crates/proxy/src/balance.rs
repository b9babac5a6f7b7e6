//! Which member serves next: pure functions of weights, health and load.
