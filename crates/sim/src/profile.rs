//! How rough a simulation is: chosen by its seed, so that some are calm and deep, others wild and short.

use jiff::SignedDuration;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

/// Probabilities are per event.
#[derive(Debug, Clone)]
pub struct Profile {
    pub workers: usize,
    /// Amphorae that are made before anybody needs them.
    pub spares: usize,
    /// Load balancers whose servers may be in the making at once.
    pub builds: Option<usize>,
    /// Load balancers made in the course of it.
    pub load_balancers: usize,
    /// Changes users make while there are faults.
    pub changes: usize,
    /// Somebody asks for the next of them.
    pub ask: f64,
    /// Events while there are faults.
    pub events: usize,
    /// A call that could fail, does.
    pub fault: f64,
    /// Some process dies where it stands.
    pub kill: f64,
    /// Something breaks in the world: a server, an agent, an address.
    pub mishap: f64,
    /// An operator changes authorities, or ends such a change.
    pub trust: f64,
    /// Somebody does not get on for a while, sometimes for longer than a lease lasts.
    pub freeze: f64,
    /// The most an event takes.
    pub pace: SignedDuration,
    /// The clock jumps, while those at gates stay: slow calls, paused processes.
    pub jump: f64,
    pub longest_jump: SignedDuration,
    /// A heartbeat does not arrive.
    pub lost_beat: f64,
    pub longest_boot: SignedDuration,
    /// For a while every call to the cloud fails, long enough for everything pending to be shown as `ERROR`.
    pub outage: bool,
}

impl Profile {
    pub fn random(rng: &mut StdRng) -> Self {
        let mut pick = |choices: &[f64]| *choices.choose(rng).unwrap_or(&0.0);
        let (fault, kill, mishap) =
            (pick(&[0.0, 0.02, 0.1, 0.25]), pick(&[0.0, 0.005, 0.03]), pick(&[0.0, 0.01, 0.05]));
        let (jump, lost_beat, freeze) =
            (pick(&[0.0, 0.01, 0.05]), pick(&[0.0, 0.1, 0.5]), pick(&[0.0, 0.01, 0.03]));
        let ask = pick(&[0.03, 0.08, 0.3]);
        let trust = pick(&[0.0, 0.0, 0.01, 0.03]);
        Self {
            ask,
            workers: rng.random_range(1..=3),
            builds: *[None, None, Some(1), Some(2)].choose(rng).unwrap_or(&None),
            spares: *[0, 0, 1, 2].choose(rng).unwrap_or(&0),
            load_balancers: *[1, 1, 2, 3].choose(rng).unwrap_or(&1),
            changes: rng.random_range(0..=16),
            events: rng.random_range(100..=700),
            pace: SignedDuration::from_millis(*[30, 30, 400, 3000].choose(rng).unwrap_or(&30)),
            fault,
            kill,
            mishap,
            trust,
            freeze,
            jump,
            longest_jump: SignedDuration::from_secs(*[2, 15, 45].choose(rng).unwrap_or(&2)),
            lost_beat,
            longest_boot: SignedDuration::from_secs(*[0, 2, 20].choose(rng).unwrap_or(&2)),
            outage: rng.random_bool(0.05),
        }
    }
}
