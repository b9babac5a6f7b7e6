//! What comes to the controller from outside: what users ask for, and heartbeats of agents.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use newtype_uuid::GenericUuid;
use octavia_cloud::{CertIssuer, ServerState};
use octavia_model::{AmphoraId, LoadBalancerId};
use octavia_plan::not_yet_of;
use octavia_store::ListQuery;
use rand::Rng;
use rand::seq::IndexedRandom;

use super::Simulation;
use crate::actors;
use crate::wish::{self, Wish};

const BEAT_EVERY: SignedDuration = SignedDuration::from_secs(10);
/// No API request takes longer: its process gives up.
const REQUEST_TIMEOUT: SignedDuration = SignedDuration::from_secs(60);

impl Simulation {
    // ---- users

    pub(super) fn user(&mut self, name: &str, part: impl Future<Output = ()> + Send + 'static) {
        let actor = self.stage.enter(name, part);
        self.users.push((actor, self.gates.now() + REQUEST_TIMEOUT));
    }

    pub(super) fn user_creates(&mut self) {
        let lb = wish::id(&mut self.rng);
        self.load_balancers.push(lb);
        let seed = self.rng.random();
        self.journal.note(format!("* a user creates {}", self.journal.name("lb", lb.into_untyped_uuid())));
        self.user("user", actors::user_creates(self.world.clone(), self.store.clone(), lb, seed));
    }

    pub(super) fn user_changes(&mut self) {
        let Some(lb) = self.load_balancers.choose(&mut self.rng).copied() else { return };
        if self.rng.random_bool(0.15) {
            return self.user_deletes(lb);
        }
        let wish = Wish::random(&mut self.rng);
        self.user_wishes(lb, wish);
    }

    pub(super) fn user_wishes(&mut self, lb: LoadBalancerId, wish: Wish) {
        let name = self.journal.name("lb", lb.into_untyped_uuid());
        self.journal.note(format!("* a user of {name} wishes {}", wish.words()));
        let (store, now, journal) = (self.store.clone(), self.gates.wall(), self.journal.clone());
        self.user("user", actors::user_changes(store, lb, wish, now, journal));
    }

    pub(super) fn user_deletes(&mut self, lb: LoadBalancerId) {
        self.journal.note(format!("* a user deletes {}", self.journal.name("lb", lb.into_untyped_uuid())));
        self.user("user", actors::user_deletes(self.store.clone(), lb, self.journal.clone()));
    }

    // ---- operators

    /// Another authority and heartbeat key; or, while there are two, the end of the older ones, unless somebody needs them.
    pub(super) async fn operator_changes_trust(&mut self) {
        let trust = self.world.trust();
        if trust.retiring.is_empty() {
            self.journal.note("* an operator changes authority and heartbeat key");
            let mut state = self.world.state();
            state.rolls += 1;
            state.rolling = true;
            return;
        }
        let Ok(rows) = self.tap.inspect(self.store.amphora_list(&ListQuery::default())).await else { return };
        if not_yet_of(&rows.items, &trust.issuing.name).is_empty() {
            self.journal.note("* an operator drops the authority and heartbeat key of before");
            self.world.state().rolling = false;
        }
    }

    // ---- heartbeats

    /// Agents whose time has come send a beat; one that slept through several sends one.
    pub(super) fn send_beats(&mut self) {
        let now = self.gates.now();
        let mut state = self.world.state();
        state.boot(now);
        let there: BTreeSet<AmphoraId> = state.servers.keys().copied().collect();
        self.beats_at.retain(|id, _| there.contains(id));
        for (id, server) in &mut state.servers {
            let at = self.beats_at.entry(*id).or_insert(now);
            if *at > now {
                continue;
            }
            if server.state != ServerState::Running {
                *at = now + SignedDuration::from_secs(1);
                continue;
            }
            *at = now + BEAT_EVERY;
            let Some(beat) = server.agent.beat(*id) else { continue };
            if !self.calm && self.rng.random_bool(self.profile.lost_beat) {
                continue;
            }
            let Some(papers) = &server.agent.papers else { continue };
            if let Ok(datagram) = beat.seal(papers.heartbeat_key.as_bytes()) {
                self.beats.push(datagram);
            }
        }
    }

    pub(super) fn deliver(&mut self, datagram: &[u8]) {
        self.manager.datagram(datagram);
        if !self.flush.is_some_and(|actor| self.stage.is_playing(actor)) {
            let part = actors::health_flush(self.manager.clone(), self.journal.clone());
            self.flush = Some(self.stage.enter("flush", part));
        }
    }
}
