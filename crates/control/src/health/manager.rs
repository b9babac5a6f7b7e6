//! The health manager's shell: socket, clock and store around [`Heard`] and the pure roll-up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use octavia_cloud::{CertIssuer, Trust};
use octavia_model::{AmphoraId, LoadBalancerId, ProvisioningStatus};
use octavia_plan::{StatusChange, StatusChanges, is_lifeless, own_fault, rollup, rollup_silent};
use octavia_store::{Acknowledged, HealthContext, Mark, StatusWrite, StatusWrites, Store, StoreError};
use octavia_wire::{Heartbeat, HeartbeatError, MAX_DATAGRAM};
use tokio::net::UdpSocket;
use tokio::sync::Notify;

use super::heard::{Due, Heard, Noted, Pace};
use super::pairs::Disagreements;
use crate::metrics::{KeyAge, Refusal};
use crate::{Clock, HealthOptions, Stop};

/// At most one line of log of each kind of complaint in this time.
const COMPLAIN_EVERY: SignedDuration = SignedDuration::from_secs(60);
/// So many acknowledgements are written together: few enough not to hold up others that write.
const TOGETHER: usize = 400;
/// A load balancer is woken at most once in this time for what its heartbeats say.
const WAKE_EVERY: SignedDuration = SignedDuration::from_secs(5);

/// Cheap to clone; clones share what was heard.
#[derive(Debug, Clone)]
pub struct HealthManager {
    pub(super) store: Store,
    clock: Arc<dyn Clock>,
    certs: Arc<dyn CertIssuer>,
    pub(super) options: Arc<HealthOptions>,
    state: Arc<Mutex<State>>,
    to_review: Arc<Notify>,
}

/// A task that ends with this.
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) heard: Heard,
    /// With the keys that are taken, as they were when somebody last looked.
    trust: Arc<Trust>,
    /// Load balancers whose amphorae do not agree on who holds the VIPs, as of the last look.
    pub(super) disagreeing: Disagreements,
    /// Silence is counted from here: the start, or the end of a trouble of our own.
    listening_since: Timestamp,
    /// The store failed, and has not answered since.
    store_in_trouble: bool,
    silent: BTreeSet<AmphoraId>,
    woken: BTreeMap<LoadBalancerId, Timestamp>,
    complained: BTreeMap<Complaint, Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Complaint {
    BadDatagram,
    Unknown,
    OwnFault,
}

impl HealthManager {
    pub fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        certs: Arc<dyn CertIssuer>,
        options: HealthOptions,
    ) -> Self {
        let state = State {
            heard: Heard::default(),
            disagreeing: Disagreements::new(),
            trust: certs.trust(),
            listening_since: clock.now(),
            store_in_trouble: false,
            silent: BTreeSet::new(),
            woken: BTreeMap::new(),
            complained: BTreeMap::new(),
        };
        Self {
            store,
            clock,
            certs,
            options: Arc::new(options),
            state: Arc::new(Mutex::new(state)),
            to_review: Arc::default(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves until asked to stop, then writes what was heard last.
    pub async fn run(self, socket: UdpSocket, mut stop: Stop) {
        // On its own: datagrams wait for nobody who writes.
        let receiver = AbortOnDrop(tokio::spawn(self.clone().receive(socket)));
        tokio::select! {
            () = self.review_always() => {}
            () = self.acknowledge_always() => {}
            () = self.scan_always() => {}
            () = stop.asked() => {}
        }
        drop(receiver);
        if let Err(error) = self.flush().await {
            tracing::warn!(%error, "what was heard last is not written");
        }
    }

    async fn receive(self, socket: UdpSocket) {
        let mut buffer = vec![0; MAX_DATAGRAM];
        loop {
            match socket.recv_from(&mut buffer).await {
                Ok((length, _)) => self.datagram(&buffer[..length]),
                Err(error) => {
                    tracing::warn!(%error, "could not receive heartbeats");
                    self.clock.sleep(self.options.flush_interval).await;
                }
            }
        }
    }

    async fn review_always(&self) {
        loop {
            self.to_review.notified().await;
            self.clock.sleep(self.options.flush_interval).await;
            if let Err(error) = self.review().await {
                tracing::warn!(%error, "could not write what was heard");
                self.clock.sleep(self.options.scan_interval).await;
                self.to_review.notify_one();
            }
        }
    }

    async fn acknowledge_always(&self) {
        loop {
            self.clock.sleep(self.options.flush_interval).await;
            if let Err(error) = self.acknowledge().await {
                tracing::warn!(%error, "could not write who was heard");
                self.clock.sleep(self.options.scan_interval).await;
            }
        }
    }

    async fn scan_always(&self) {
        loop {
            self.clock.sleep(self.options.scan_interval).await;
            if let Err(error) = self.scan().await {
                tracing::warn!(%error, "could not look for silent amphorae");
            }
        }
    }

    /// Takes one datagram in. Whatever is not a fresh heartbeat under a key of ours changes nothing.
    pub fn datagram(&self, datagram: &[u8]) {
        match self.open(datagram) {
            Ok((beat, key)) => {
                self.options.metrics.signed(key);
                let noted = self.state().heard.note(beat, self.clock.now());
                match noted {
                    Noted::Old => self.options.metrics.refused(Refusal::Old),
                    Noted::Same | Noted::New => self.options.metrics.accepted(),
                }
                if noted == Noted::New {
                    self.to_review.notify_one();
                }
            }
            Err(error) => {
                self.options.metrics.refused(Refusal::NoHeartbeat(&error));
                if self.state().may_complain(Complaint::BadDatagram, self.clock.now()) {
                    tracing::warn!(%error, "a datagram that is no heartbeat of ours (more may follow unsaid)");
                }
            }
        }
    }

    /// The beat, and whether it is signed with the newest key. Keys are looked for anew when no known one fits: there may
    /// be one that an amphora has sooner than we.
    fn open(&self, datagram: &[u8]) -> Result<(Heartbeat, KeyAge), HeartbeatError> {
        let known = Arc::clone(&self.state().trust);
        match open_with(&known, datagram) {
            Err(HeartbeatError::Signature) => {}
            opened => return opened,
        }
        let now = self.certs.trust();
        if now == known {
            return Err(HeartbeatError::Signature);
        }
        self.state().trust = Arc::clone(&now);
        open_with(&now, datagram)
    }

    /// Writes what was heard and is worth it. After an error, what was not written is still due.
    pub async fn flush(&self) -> Result<(), StoreError> {
        self.acknowledge().await?;
        self.review().await
    }

    /// Writes what beats that say something new mean.
    async fn review(&self) -> Result<(), StoreError> {
        let due = self.state().heard.reviews();
        for due in due {
            let written = self.write(&due).await;
            self.note_store(&written);
            let mut state = self.state();
            match written? {
                Some((alive, mark)) => state.heard.reviewed(due, alive, mark, self.clock.now()),
                None => state.heard.refused(&due),
            }
        }
        Ok(())
    }

    /// Writes of beats that say nothing new that they were heard, and what they counted.
    async fn acknowledge(&self) -> Result<(), StoreError> {
        let pace =
            Pace { life: self.options.heartbeat_timeout / 4, statistics: self.options.statistics_interval };
        loop {
            let due = self.state().heard.acknowledgements(self.clock.now(), pace);
            for batch in
                due.chunk_by(|a, b| a.statistics == b.statistics).flat_map(|same| same.chunks(TOGETHER))
            {
                self.acknowledge_together(batch).await?;
            }
            // There may be more whose statistics are due.
            if !due.last().is_some_and(|due| due.statistics) {
                return Ok(());
            }
        }
    }

    async fn acknowledge_together(&self, batch: &[Due]) -> Result<(), StoreError> {
        let writes: Vec<_> = {
            let state = self.state();
            batch.iter().map(|due| state.heard.write(due)).collect()
        };
        let written = self.store.heartbeats_apply(&writes).await;
        self.note_store(&written);
        let mut state = self.state();
        let mut stale = false;
        for (due, outcome) in batch.iter().zip(written?) {
            let now = self.clock.now();
            stale |= match outcome {
                Acknowledged::Taken(mark) => state.heard.acknowledged(due.clone(), mark, now),
                Acknowledged::Late(mark) => state.heard.late(due, mark, now),
                Acknowledged::Gone => {
                    state.heard.refused(due);
                    false
                }
            };
        }
        if stale {
            self.to_review.notify_one();
        }
        Ok(())
    }

    /// After trouble with the database nobody is silent until everybody had time to be heard and written.
    fn note_store<T>(&self, result: &Result<T, StoreError>) {
        let mut state = self.state();
        if state.store_in_trouble && result.is_ok() {
            state.listening_since = self.clock.now();
        }
        state.store_in_trouble = result.is_err();
    }
}

fn open_with(trust: &Trust, datagram: &[u8]) -> Result<(Heartbeat, KeyAge), HeartbeatError> {
    for (age, key) in trust.heartbeat_keys().enumerate() {
        match Heartbeat::open(datagram, key.reveal().as_bytes()) {
            Err(HeartbeatError::Signature) => {}
            Err(error) => return Err(error),
            Ok(beat) => return Ok((beat, if age == 0 { KeyAge::Newest } else { KeyAge::Previous })),
        }
    }
    Err(HeartbeatError::Signature)
}

impl State {
    fn may_complain(&mut self, about: Complaint, now: Timestamp) -> bool {
        self.complained.retain(|_, at| now.duration_since(*at) < COMPLAIN_EVERY);
        let first = !self.complained.contains_key(&about);
        if first {
            self.complained.insert(about, now);
        }
        first
    }

    fn may_wake(&mut self, lb: LoadBalancerId, now: Timestamp) -> bool {
        self.woken.retain(|_, at| now.duration_since(*at) < WAKE_EVERY);
        let first = !self.woken.contains_key(&lb);
        if first {
            self.woken.insert(lb, now);
        }
        first
    }
}

impl HealthManager {
    /// Whether it was a sign of life, and what the rows were like where that was judged; `None` = they took nothing of it.
    async fn write(&self, due: &Due) -> Result<Option<(bool, Mark)>, StoreError> {
        let beat = &due.beat;
        let mut write = self.state().heard.write(due);
        let Some(context) = self.store.health_context(beat.id).await? else {
            // Of no load balancer yet: all there is to know is that it lives, with a proxy.
            if beat.boot.is_some() && self.store.spare_heard(beat.id, due.heard_at).await? {
                self.state().heard.forget(beat.id);
                return Ok(None);
            }
            self.options.metrics.refused(Refusal::UnknownAmphora);
            let mut state = self.state();
            state.heard.forget(beat.id);
            if state.may_complain(Complaint::Unknown, self.clock.now()) {
                tracing::warn!(amphora = %beat.id, "a heartbeat of an amphora that has no row");
            }
            return Ok(None);
        };
        let lb = &context.graph.load_balancer;
        write.alive = !is_lifeless(&context.graph, beat);
        let changes = rollup(&context.graph, beat).with_disagreement(lb, self.disagreement(lb.id));
        write.statuses = status_writes(changes);
        write.applied_generation =
            beat.generation.filter(|generation| *generation > context.amphora.applied_generation);
        let Some(mark) = self.store.heartbeat_review(&write, context.mark).await? else { return Ok(None) };
        if write.alive {
            self.state().silent.remove(&beat.id);
        }
        if needs_work(&context, beat) && self.state().may_wake(lb.id, self.clock.now()) {
            tracing::info!(lb = %lb.id, amphora = %beat.id, "a heartbeat says that the amphora is not as desired");
            self.store.lb_wake(lb.id).await?;
        }
        Ok(Some((write.alive, mark)))
    }

    /// Looks for amphorae that have not been heard for too long: their load balancers are shown as `ERROR` and
    /// looked at by a worker at once, which asks, and restarts or replaces what does not answer.
    pub async fn scan(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        let timeout = self.options.heartbeat_timeout;
        {
            let trust = self.certs.trust();
            let mut state = self.state();
            // Also those that are not taken any more.
            state.trust = trust;
            state.heard.forget_silent(now - timeout - timeout);
            if state.store_in_trouble {
                return Ok(());
            }
        }
        // What the rows say of who holds the VIPs says for itself how old it is.
        let pairs = self.scan_pairs().await;
        self.note_store(&pairs);
        pairs?;
        if now.duration_since(self.state().listening_since) < timeout {
            return Ok(());
        }
        let rows = self.store.amphorae_silent(now - timeout).await;
        self.note_store(&rows);
        let rows = rows?;
        let (heard, silent): (_, BTreeSet<AmphoraId>) = {
            let heard = &self.state().heard;
            let there = heard.heard_since(now - timeout);
            let silent = rows.into_iter().filter(|row| !there.contains(&row.id));
            let silent = silent.filter(|row| !heard.is_on_its_way(row.id, row.seq));
            (there.clone(), silent.map(|row| row.id).collect())
        };
        self.options.metrics.silent.set(silent.len().try_into().unwrap_or(i64::MAX));
        if own_fault(silent.len(), heard.len()) {
            if self.state().may_complain(Complaint::OwnFault, now) {
                let (silent, heard) = (silent.len(), heard.len());
                tracing::error!(
                    silent,
                    heard,
                    "most amphorae fell silent at once: this controller is suspected, and nothing is repaired for silence"
                );
            }
            return Ok(());
        }
        let fresh: Vec<AmphoraId> = {
            let mut state = self.state();
            let fresh = silent.difference(&state.silent).copied().collect();
            state.silent = silent;
            fresh
        };
        for amphora in fresh {
            self.blame(amphora).await.inspect_err(|_| {
                self.state().silent.remove(&amphora);
            })?;
        }
        Ok(())
    }

    async fn blame(&self, amphora: AmphoraId) -> Result<(), StoreError> {
        let Some(context) = self.store.health_context(amphora).await? else { return Ok(()) };
        let lb = context.graph.load_balancer.id;
        if self.state().heard.is_lifeless(amphora) {
            // Its beats have said why, and are still to be heard.
            tracing::warn!(%lb, %amphora, "the amphora has had no proxy for too long");
            return self.store.lb_wake(lb).await;
        }
        tracing::warn!(%lb, %amphora, "the amphora has not been heard for too long");
        self.store.statuses_apply(lb, &status_writes(rollup_silent(&context.graph))).await?;
        self.state().heard.review(amphora);
        self.store.lb_wake(lb).await
    }
}

/// Whether a worker should look: the amphora runs an older generation than its row says (it was restarted with an
/// old spec), or the listeners that could not be opened are others than those the rows tell of.
fn needs_work(context: &HealthContext, beat: &Heartbeat) -> bool {
    let Some(generation) = beat.generation else { return false };
    let graph = &context.graph;
    let settled = graph.load_balancer.statuses.provisioning == ProvisioningStatus::Active
        && generation == graph.load_balancer.generation;
    let faults_differ = graph.listeners.iter().any(|listener| {
        let fault = beat.faults.iter().any(|fault| fault.listener == listener.id);
        fault != (listener.statuses.provisioning == ProvisioningStatus::Error)
    });
    generation < context.amphora.applied_generation || (settled && faults_differ)
}

fn status_writes(changes: StatusChanges) -> StatusWrites {
    let write = |change: StatusChange| StatusWrite { operating: change.operating, reason: change.reason };
    StatusWrites {
        load_balancer: changes.load_balancer.map(write),
        listeners: changes.listeners.into_iter().map(|(id, change)| (id, write(change))).collect(),
        pools: changes.pools.into_iter().map(|(id, change)| (id, write(change))).collect(),
        members: changes.members.into_iter().map(|(id, change)| (id, write(change))).collect(),
    }
}
