//! Chance, as something that can be given.

use uuid::Uuid;

/// The only source of randomness in this crate; a simulation brings one with a seed.
pub trait Random: Send + Sync + std::fmt::Debug {
    /// In `0.0..1.0`.
    fn unit(&self) -> f64;

    /// For a new row's id.
    fn uuid(&self) -> Uuid;
}

/// The system's randomness.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn unit(&self) -> f64 {
        rand::random()
    }

    fn uuid(&self) -> Uuid {
        Uuid::new_v4()
    }
}
