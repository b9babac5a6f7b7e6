//! What may happen next, and letting it happen.

use jiff::SignedDuration;
use rand::Rng;
use rand::seq::IndexedRandom;

use super::Simulation;
use crate::mishap::Mishap;
use crate::stage::{Gate, Verdict, Waiting};

impl Simulation {
    /// Everybody who can runs until they wait, then the invariants are looked at. `true` = rows changed.
    pub(super) async fn look(&mut self) -> bool {
        self.stage.settle().await;
        self.events += 1;
        let call = self.tap.take_changed();
        let changed = call.is_some();
        self.inspector.look(&self.store, self.gates.wall(), call).await;
        let now = self.gates.now();
        let stage = &mut self.stage;
        self.users.retain(|(actor, until)| {
            if stage.is_playing(*actor) && *until <= now {
                stage.kill(*actor);
            }
            stage.is_playing(*actor)
        });
        changed
    }

    pub(super) fn tick(&mut self) {
        let took = self.profile.pace.mul_f64(self.rng.random());
        self.stage.advance(took);
        self.send_beats();
    }

    /// One event without faults: the one who has waited longest goes on, or the clock moves to who sleeps least.
    pub(super) async fn calm_event(&mut self) -> bool {
        self.revive();
        let changed = self.look().await;
        self.send_beats();
        if !self.beats.is_empty() {
            let beat = self.beats.remove(0);
            self.deliver(&beat);
        } else if let Some(next) = self.stage.ready().into_iter().min_by_key(|w| w.id) {
            let verdict = self.verdict(&next);
            self.release(&next, verdict);
            self.stage.advance(SignedDuration::from_millis(5));
        } else {
            let beat = self.beats_at.values().min().copied();
            let next = self.stage.next_wake().into_iter().chain(beat).min();
            match next {
                Some(at) => self.stage.advance_to(at),
                None => self.stage.advance(SignedDuration::from_secs(1)),
            }
        }
        changed
    }

    pub(super) fn freeze_somebody(&mut self) {
        let mut there = self.stage.ready();
        // Best where it does something outside: what it does late meets what others did meanwhile.
        const OUTSIDE: [&str; 6] =
            ["server_ensure", "server_delete", "spec_push", "papers_push", "vip_ensure", "vip_release"];
        let outside = |w: &Waiting| w.gate == Gate::Before && OUTSIDE.iter().any(|p| w.what.starts_with(p));
        let fateful = there.iter().any(outside);
        if fateful {
            there.retain(outside);
        }
        if let Some(actor) = there.choose(&mut self.rng).map(|w| w.actor) {
            let events = self.rng.random_range(if fateful { 40..200 } else { 5..80 });
            self.journal.note(format!("* {} is frozen for {events} events", self.stage.name(actor)));
            self.frozen.insert(actor, self.events + events);
            if self.rng.random_bool(if fateful { 0.7 } else { 0.3 }) {
                let jump = SignedDuration::from_secs(self.rng.random_range(25..70));
                self.journal.note(format!("* and the clock jumps by {jump:#}"));
                self.stage.advance(jump);
                // What wakes up then may find that all it worked for is gone.
                if self.rng.random_bool(0.3)
                    && let Some(lb) = self.load_balancers.choose(&mut self.rng).copied()
                {
                    self.user_deletes(lb);
                }
            }
        }
    }

    pub(super) fn let_somebody_go(&mut self) {
        self.frozen.retain(|_, until| *until > self.events);
        let mut ready = self.stage.ready();
        ready.retain(|w| !self.frozen.contains_key(&w.actor));
        // Heartbeats arrive in any order.
        if !self.beats.is_empty() && self.rng.random_bool(0.2) {
            let at = self.rng.random_range(0..self.beats.len());
            let beat = self.beats.swap_remove(at);
            self.deliver(&beat);
            if self.rng.random_bool(0.1) {
                self.beats.push(beat);
            }
        } else if let Some(chosen) = ready.choose(&mut self.rng).cloned() {
            let verdict = self.verdict(&chosen);
            self.release(&chosen, verdict);
        } else if let Some(at) = self.stage.next_wake() {
            self.stage.advance_to(at);
        }
    }

    pub(super) fn verdict(&mut self, waiting: &Waiting) -> Verdict {
        let cloud = ["server_", "vip_", "port_get", "spec_push", "papers_push", "agent_info", "issue"];
        let of_cloud = cloud.iter().any(|prefix| waiting.what.starts_with(prefix));
        let fault = match waiting.gate {
            Gate::Sleep(_) => false,
            Gate::Before if self.outage && of_cloud => true,
            _ if self.calm => false,
            _ => self.rng.random_bool(self.profile.fault),
        };
        if fault { Verdict::Fault } else { Verdict::Go }
    }

    pub(super) fn release(&mut self, waiting: &Waiting, verdict: Verdict) {
        let when = match (waiting.gate, verdict) {
            (Gate::Sleep(_), _) => "",
            (Gate::Before, Verdict::Go) => "",
            (Gate::Before, Verdict::Fault) => " FAILS",
            (Gate::After, Verdict::Go) => " done",
            (Gate::After, Verdict::Fault) => " done, ANSWER LOST",
        };
        self.journal.note(format!("{} {}{when}", self.stage.name(waiting.actor), waiting.what));
        self.stage.release(waiting.id, verdict);
    }

    pub(super) fn mishap(&mut self) {
        self.world.state().boot_time = self.profile.longest_boot.mul_f64(self.rng.random());
        Mishap::random(&mut self.rng).happen(&self.world, &mut self.rng);
    }
}
