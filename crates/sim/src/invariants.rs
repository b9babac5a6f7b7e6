//! What must hold whatever happens (design §3), looked at after every event.
//!
//! I1 pending rows are leased or due · I2 nothing is pending for too long · I3 a write under an old epoch changes
//! nothing, and nobody is given a lease that another holds · I4 an amphora's generation never goes back (looked at in
//! [`crate::agents`]) · I5 not more amphorae than wanted and one, no orphan in the end · I6 it converges · I7 an address
//! is kept until deletion · I8 no secret in the database or the log.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use newtype_uuid::GenericUuid;
use octavia_cloud::{CertIssuer, ServerState};
use octavia_model::{AmphoraStatus, LoadBalancerGraph, LoadBalancerId, ProvisioningStatus, WorkerId};
use octavia_plan::{BACKOFF_MAX, Identities, SpecOptions, compile, rollup};
use octavia_store::{AmphoraRow, Call, Inspection, LoadBalancerRow, Store};
use octavia_wire::{AmphoraSpec, PoolTlsSpec};

use crate::journal::Journal;
use crate::secrets::key_mark;
use crate::simulation::{MAX_PENDING, SPARE_BUILDS};
use crate::tap::Tap;
use crate::world::{SECRET_MARK, World};

/// One amphora is wanted (the topology is SINGLE), and one more may be there while it is replaced.
const MOST_AMPHORAE: usize = 2;
/// After the most that something may be pending: the longest backoff, a sweep, and a lease to run out.
const PENDING_SLACK: SignedDuration = SignedDuration::from_secs(170);

pub(crate) struct Inspector {
    journal: Journal,
    world: World,
    tap: Tap,
    /// Spares there should be.
    spares: usize,
    before: Inspection,
    workers: BTreeMap<WorkerId, usize>,
    /// Times in rows may lie anywhere ahead, and count as past there.
    went_back: bool,
}

impl Inspector {
    pub(crate) fn new(journal: Journal, world: World, tap: Tap, spares: usize) -> Self {
        Self {
            journal,
            world,
            tap,
            spares,
            before: Inspection::default(),
            workers: BTreeMap::new(),
            went_back: false,
        }
    }

    pub(crate) fn want_spares(&mut self, size: usize) {
        self.spares = size;
    }

    pub(crate) fn worker(&mut self, id: WorkerId, number: usize) {
        self.workers.insert(id, number);
    }

    pub(crate) fn clock_went_back(&mut self) {
        self.went_back = true;
    }

    fn lb_name(&self, id: LoadBalancerId) -> String {
        self.journal.name("lb", id.into_untyped_uuid())
    }

    async fn rows(&self, store: &Store) -> Inspection {
        match self.tap.inspect(store.inspect()).await {
            Ok(rows) => rows,
            Err(error) => {
                self.journal.broken(format!("the rows cannot be read: {error}"));
                Inspection::default()
            }
        }
    }

    /// Looks at everything that may have changed; `call` = the store's call that changed rows.
    pub(crate) async fn look(&mut self, store: &Store, now: Timestamp, call: Option<Call>) {
        if let Some(call) = call {
            let rows = self.rows(store).await;
            self.leases(&rows, &call, now);
            self.pending(&rows, now);
            self.amphorae(&rows);
            self.before = rows;
        }
        self.addresses();
        self.traffic();
    }

    /// I3, and that numbers only grow.
    fn leases(&self, rows: &Inspection, call: &Call, now: Timestamp) {
        for row in &rows.load_balancers {
            let Some(before) = self.before.load_balancers.iter().find(|b| b.id == row.id) else { continue };
            let name = self.lb_name(row.id);
            if row.generation < before.generation || row.lease_epoch < before.lease_epoch {
                self.journal.broken(format!("I3: generation or epoch of {name} went back"));
            }
            if call.load_balancer != Some(row.id) {
                continue;
            }
            let leased = before
                .lease_owner
                .filter(|_| before.lease_until.is_some_and(|until| until > now && !self.beyond(until, now)));
            if call.name == "lease_acquire"
                && let (Some(old), Some(new)) = (leased, row.lease_owner)
                && row.lease_epoch != before.lease_epoch
            {
                self.journal.broken(format!(
                    "I3: {name} was leased to worker{} and is given to worker{}",
                    self.number(old),
                    self.number(new)
                ));
            }
            let Some(worker) = call.worker.filter(|_| call.name != "lease_acquire") else { continue };
            if before.lease_owner != Some(worker) && self.changed(before, row, rows) {
                self.journal.broken(format!(
                    "I3: {} of worker{} changed {name} without its lease",
                    call.name,
                    self.number(worker)
                ));
            }
        }
    }

    fn number(&self, worker: WorkerId) -> String {
        self.workers.get(&worker).map_or_else(|| "?".to_owned(), ToString::to_string)
    }

    fn changed(&self, before: &LoadBalancerRow, row: &LoadBalancerRow, rows: &Inspection) -> bool {
        let amphorae = |rows: &Inspection| -> Vec<AmphoraRow> {
            rows.amphorae.iter().filter(|a| a.load_balancer_id == Some(row.id)).cloned().collect()
        };
        before != row || amphorae(&self.before) != amphorae(rows)
    }

    /// Only a clock that has gone back since can have put it there.
    fn beyond(&self, at: Timestamp, now: Timestamp) -> bool {
        self.went_back && at > now + BACKOFF_MAX
    }

    /// I1.
    fn pending(&self, rows: &Inspection, now: Timestamp) {
        for row in rows.load_balancers.iter().filter(|row| row.provisioning.is_pending()) {
            let leased = row.lease_until.is_some_and(|until| until > now);
            let due = |at| at <= now + BACKOFF_MAX || self.beyond(at, now);
            let due = row.next_attempt_at.is_some_and(due);
            if !leased && !due {
                let name = self.lb_name(row.id);
                self.journal.broken(format!("I1: {name} is {} and neither leased nor due", row.provisioning));
            }
        }
    }

    /// I5 in the rows.
    fn amphorae(&self, rows: &Inspection) {
        let mut counts = BTreeMap::<_, usize>::new();
        let leaving =
            |row: &AmphoraRow| row.load_balancer_id.is_none() && row.status == AmphoraStatus::PendingDelete;
        let there = rows.amphorae.iter().filter(|row| row.status != AmphoraStatus::Deleted && !leaving(row));
        for row in there {
            *counts.entry(row.load_balancer_id).or_default() += 1;
        }
        for (lb, count) in counts {
            let name = lb.map_or_else(|| "no load balancer".to_owned(), |lb| self.lb_name(lb));
            let most = if lb.is_some() { MOST_AMPHORAE } else { self.spares + SPARE_BUILDS };
            if count > most {
                self.journal.broken(format!("I5: {name} has {count} amphorae"));
            }
        }
    }

    /// I7.
    fn addresses(&self) {
        let released = std::mem::take(&mut self.world.state().released);
        for lb in released {
            let row = self.before.load_balancers.iter().find(|row| row.id == lb);
            if row.is_some_and(|row| !row.deleting && row.provisioning != ProvisioningStatus::Deleted) {
                self.journal.broken(format!("I7: the address of {} was given back", self.lb_name(lb)));
            }
        }
    }

    /// I5 in the world.
    fn traffic(&self) {
        let mut carrying = BTreeMap::<_, usize>::new();
        for server in self.world.state().servers.values() {
            let listeners = server.agent.spec.as_ref().is_some_and(|spec| !spec.listeners.is_empty());
            if server.state == ServerState::Running && server.agent.carries && listeners {
                let of = server.agent.spec.as_ref().map(|spec| spec.load_balancer_id);
                *carrying.entry(of.or(server.load_balancer)).or_default() += 1;
            }
        }
        for (lb, count) in carrying {
            if count > MOST_AMPHORAE {
                let name = lb.map_or_else(|| "nobody".to_owned(), |lb| self.lb_name(lb));
                self.journal.broken(format!("I5: {count} amphorae carry traffic of {name}"));
            }
        }
    }

    /// I2.
    pub(crate) async fn nothing_pending_for_long(&self, store: &Store, now: Timestamp) {
        for row in self.rows(store).await.load_balancers {
            let name = self.lb_name(row.id);
            let long = row
                .pending_since
                .is_some_and(|since| now.duration_since(since) > MAX_PENDING + PENDING_SLACK);
            if long && row.provisioning.is_pending() {
                self.journal.broken(format!("I2: {name} is still {}", row.provisioning));
            }
            if row.provisioning == ProvisioningStatus::Error
                && let Some(graph) = self.graph(store, row.id).await
                && graph.load_balancer.statuses.reason.is_none()
            {
                self.journal.broken(format!("I2: {name} is ERROR without a reason"));
            }
        }
    }

    /// I8, as far as the database and the log are concerned.
    pub(crate) async fn secrets(&self, store: &Store) {
        match self.tap.inspect(store.dump()).await {
            Ok(text) if text.contains(SECRET_MARK) || text.contains(&key_mark()) => {
                self.journal.broken("I8: a secret is in the database")
            }
            Ok(_) => {}
            Err(error) => self.journal.broken(format!("the database cannot be read: {error}")),
        }
        if self.journal.lines().iter().any(|line| line.contains(SECRET_MARK)) {
            self.journal.broken("I8: a secret is in the log");
        }
    }

    /// Load balancers nobody has asked to delete.
    pub(crate) async fn not_deleting(&self, store: &Store) -> Vec<LoadBalancerId> {
        let rows = self.rows(store).await.load_balancers;
        let there =
            rows.iter().filter(|row| !row.deleting && row.provisioning != ProvisioningStatus::Deleted);
        there.map(|row| row.id).collect()
    }

    /// What keeps the world from being as asked for; `None` = nothing. `statuses` = operating statuses must be true,
    /// too.
    pub(crate) async fn difference(&self, store: &Store, statuses: bool) -> Option<String> {
        let rows = self.rows(store).await;
        let alive: Vec<&LoadBalancerRow> = rows
            .load_balancers
            .iter()
            .filter(|row| row.provisioning != ProvisioningStatus::Deleted)
            .collect();
        for row in &alive {
            let name = self.lb_name(row.id);
            if row.deleting {
                return Some(format!("{name} is being deleted"));
            }
            if row.provisioning != ProvisioningStatus::Active {
                return Some(format!("{name} is {}: {:?}", row.provisioning, row.last_error));
            }
            if row.applied_generation != row.generation {
                return Some(format!("{name} applied {} of {}", row.applied_generation, row.generation));
            }
        }
        if let Some(difference) = self.spares(&rows) {
            return Some(difference);
        }
        if let Some(difference) = self.orphans(&rows, &alive) {
            return Some(difference);
        }
        for row in alive {
            let Some(graph) = self.graph(store, row.id).await else {
                return Some(format!("{} cannot be fetched", self.lb_name(row.id)));
            };
            if let Some(difference) = self.lb_difference(&rows, row, &graph, statuses) {
                return Some(format!("{}: {difference}", self.lb_name(row.id)));
            }
        }
        None
    }

    async fn graph(&self, store: &Store, id: LoadBalancerId) -> Option<LoadBalancerGraph> {
        match self.tap.inspect(store.lb_fetch(id)).await {
            Ok(graph) => graph,
            Err(error) => {
                self.journal.broken(format!("{} cannot be read: {error}", self.lb_name(id)));
                None
            }
        }
    }

    /// As many spares as there should be, all of them ready.
    fn spares(&self, rows: &Inspection) -> Option<String> {
        let spares = rows.amphorae.iter().filter(|row| row.load_balancer_id.is_none());
        let there: Vec<_> = spares.filter(|row| row.status != AmphoraStatus::Deleted).collect();
        let state = self.world.state();
        let well = |row: &&&AmphoraRow| {
            let server = state.servers.get(&row.id).filter(|server| server.state == ServerState::Running);
            row.status == AmphoraStatus::Ready
                && server.is_some_and(|server| server.agent.alive && server.agent.carries)
        };
        let ready = there.iter().filter(well).count();
        let as_wanted = ready == self.spares && there.len() == self.spares;
        (!as_wanted)
            .then(|| format!("{ready} of {} spares are ready, {} are wanted", there.len(), self.spares))
    }

    /// Every server and address has its row, and every row its address.
    fn orphans(&self, rows: &Inspection, alive: &[&LoadBalancerRow]) -> Option<String> {
        let state = self.world.state();
        for id in state.servers.keys() {
            let row = rows.amphorae.iter().find(|row| row.id == *id && row.status != AmphoraStatus::Deleted);
            if row.is_none() {
                let name = self.journal.name("amp", id.into_untyped_uuid());
                return Some(format!("server {name} belongs to nobody"));
            }
        }
        for row in alive {
            let held = state.vips.get(&row.id).map(|vip| vip.address);
            if held != Some(row.vip_address) {
                return Some(format!("{} has {} and holds {held:?}", self.lb_name(row.id), row.vip_address));
            }
        }
        let wanted: BTreeSet<LoadBalancerId> = alive.iter().map(|row| row.id).collect();
        let surplus = state.vips.keys().find(|id| !wanted.contains(id))?;
        Some(format!("an address is held for {}", self.lb_name(*surplus)))
    }

    fn lb_difference(
        &self,
        rows: &Inspection,
        row: &LoadBalancerRow,
        graph: &LoadBalancerGraph,
        statuses: bool,
    ) -> Option<String> {
        let children = (graph.listeners.iter().map(|l| &l.statuses))
            .chain(graph.pools.iter().map(|p| &p.statuses))
            .chain(graph.members.iter().map(|m| &m.statuses))
            .chain(graph.health_monitors.iter().map(|h| &h.statuses))
            .chain(graph.l7policies.iter().map(|p| &p.statuses))
            .chain(graph.l7rules.iter().map(|r| &r.statuses));
        if let Some(pending) = children.into_iter().find(|s| s.provisioning.is_pending()) {
            return Some(format!("a child is {}", pending.provisioning));
        }
        let amphorae: Vec<&AmphoraRow> = rows
            .amphorae
            .iter()
            .filter(|a| a.load_balancer_id == Some(row.id) && a.status != AmphoraStatus::Deleted)
            .collect();
        let [amphora] = amphorae.as_slice() else { return Some(format!("{} amphorae", amphorae.len())) };
        if amphora.status != AmphoraStatus::Allocated {
            return Some(format!("its amphora is {}", amphora.status));
        }
        let wanted_papers = self.world.trust().mark();
        let state = self.world.state();
        let Some(server) = state.servers.get(&amphora.id) else {
            return Some("its server is gone".to_owned());
        };
        if server.state != ServerState::Running || !server.agent.alive {
            return Some(format!("its server is {:?}", server.state));
        }
        if server.agent.papers.as_ref().is_none_or(|papers| papers.mark != wanted_papers) {
            return Some("its agent has not the papers of today".to_owned());
        }
        let mut wanted = compile(graph, amphora.id, 0, &Identities::new(), &SpecOptions::default());
        let runs = server.agent.spec.as_ref().map(|spec| AmphoraSpec { fence: 0, ..spec.clone() });
        // What it shall prove itself with is in no row.
        if let Some(runs) = &runs {
            wanted.keep_identities(runs);
        }
        if let Some(lacks) = wanted.listeners.iter().find(|listener| !listener.is_ready()) {
            return Some(format!("its listener on {} has no certificate", lacks.port));
        }
        let lacks = |tls: &PoolTlsSpec| !tls.is_ready();
        if let Some(pool) = wanted.pools.iter().find(|pool| pool.tls.as_ref().is_some_and(lacks)) {
            return Some(format!("its pool {} has nothing to prove itself with", pool.id));
        }
        if runs.as_ref() != Some(&wanted) {
            return Some(format!("its amphora runs generation {:?}", runs.map(|spec| spec.generation)));
        }
        if !statuses {
            return None;
        }
        let changes = rollup(graph, &server.agent.clone().beat(amphora.id)?);
        (!changes.is_empty()).then(|| format!("its statuses are not true: {changes:?}"))
    }
}
