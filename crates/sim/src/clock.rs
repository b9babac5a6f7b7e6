//! The simulation's clock and its randomness, as control sees them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use octavia_control::{Clock, Random};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use uuid::Uuid;

use crate::stage::{Gate, Gates};

/// Shows what the director says; sleeping is waiting at a gate.
#[derive(Debug, Clone)]
pub struct SimClock(pub Gates);

#[async_trait]
impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        self.0.wall()
    }

    async fn sleep(&self, duration: Duration) {
        let length = SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
        let until = self.0.now().checked_add(length).unwrap_or(Timestamp::MAX);
        self.0.pass(Gate::Sleep(until), format!("sleep {duration:?}")).await;
    }
}

/// Randomness from a seed.
#[derive(Debug, Clone)]
pub struct SimRandom(Arc<Mutex<StdRng>>);

impl SimRandom {
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }
}

impl Random for SimRandom {
    fn unit(&self) -> f64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).random()
    }

    fn uuid(&self) -> Uuid {
        let bytes: [u8; 16] = self.0.lock().unwrap_or_else(PoisonError::into_inner).random();
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }
}
