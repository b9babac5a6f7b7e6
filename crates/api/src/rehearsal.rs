//! `dry_run=true`: a write is *rehearsed* in full, with every check, key, lock and quota, and taken back; the answer
//! says what it would have done, to objects, to traffic, and what workers would do about it.
//!
//! The store runs the very same transaction ([`octavia_store::Behalf`]), so nothing here knows any rule. What is not
//! asked is the network for an address: it gives none without taking it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use http::StatusCode;
use jiff::Timestamp;
use octavia_model::{Amphora, AmphoraId, AmphoraStatus, LoadBalancerGraph, Topology};
use octavia_plan::{Desired, Forecast, Impact, PlanOptions, forecast, impacts};
use octavia_store::{ListQuery, Which};
use serde_json::Value;

use crate::audit;
use crate::call::{Answer, Call};
use crate::fault::Fault;
use crate::view::rehearsal::RehearsalView;

/// The key of the answer.
const ROOT: &str = "dry_run";

/// What a rehearsed write did to a load balancer, before it was taken back. Off unless the request is a dry run.
#[derive(Debug, Default)]
pub(crate) struct Rehearsal(Option<Mutex<Option<Scene>>>);

#[derive(Debug)]
struct Scene {
    /// `None` = it was not there.
    before: Option<LoadBalancerGraph>,
    after: LoadBalancerGraph,
    wish: Wish,
}

/// What was asked of amphorae.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    Nothing,
    Replace(Which),
    Refresh(AmphoraId),
    Remove(AmphoraId),
}

impl Rehearsal {
    pub(crate) const fn new(on: bool) -> Self {
        Self(if on { Some(Mutex::new(None)) } else { None })
    }

    pub(crate) const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn note(&self, before: Option<&LoadBalancerGraph>, after: &LoadBalancerGraph, wish: Wish) {
        if let Some(scene) = &self.0 {
            let seen = Scene { before: before.cloned(), after: after.clone(), wish };
            *scene.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
        }
    }

    fn take(&self) -> Option<Scene> {
        self.0.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// What is answered instead of the `answer` of the write.
pub(crate) async fn told(call: &Call, answer: &Answer) -> Result<Answer, Fault> {
    let (status, body) = match answer {
        Answer::Json(status, body) => (*status, Some(body)),
        // Of lists, which are no writes.
        Answer::Text(status, _) | Answer::Empty(status) => (*status, None),
    };
    let (kind, id) = audit::target(call.endpoint, &call.parameters);
    // Of what is in the catalogue, the answer tells.
    let answered = |key: &str| body?.as_object()?.values().next()?.get(key)?.as_str();
    let mut changes = call.trail.all_changes(kind, body);
    for change in &mut changes {
        if change.get("id").is_none() {
            change["id"] = id.or_else(|| answered("id")).into();
        }
        for name in VIP {
            if let Some(attribute) = change["attributes"].get_mut(name) {
                forget(attribute);
            }
        }
    }
    let (plan, effects) = match call.rehearsal.take() {
        Some(scene) => scene.play(call).await?,
        None => (Forecast { steps: vec![], new_amphorae: vec![] }, vec![]),
    };
    let names = names(&changes, &plan.new_amphorae);
    // Availability zones are called by the names that they are given.
    for change in changes.iter_mut().filter(|change| change["id"].is_null()) {
        change["id"] = answered("name").into();
    }
    let view = RehearsalView::new(status, changes, &effects, &plan.steps);
    let mut told = Answer::one(StatusCode::OK, ROOT, &view);
    if let Answer::Json(_, document) = &mut told {
        rename(document, &names);
    }
    Ok(told)
}

impl Scene {
    /// What workers would do, and what traffic would see of it.
    async fn play(self, call: &Call) -> Result<(Forecast, Vec<Impact>), Fault> {
        let Self { before, after, wish } = self;
        let root = &after.load_balancer;
        let mut amphorae = match &before {
            None => vec![],
            Some(_) => {
                let of = vec![("loadbalancer_id".to_owned(), vec![root.id.to_string()])];
                let query = ListQuery { filters: of, ..ListQuery::default() };
                call.state.store.amphora_list(&query).await?.items
            }
        };
        amphorae.sort_by_key(|amphora| (amphora.created_at, amphora.id));
        let desired = Desired {
            graph: after.clone(),
            amphorae: amphorae.iter().cloned().map(|amphora| wish.of(amphora)).collect(),
            deleting: root.statuses.provisioning.is_leaving(),
            pending_since: None,
            attempts: 0,
            last_error: None,
            fence: LEASE,
        };
        // The clock decides about patience only, and here everybody is patient.
        let agreeing = call.state.options.interfaces && root.topology == Topology::ActiveStandby;
        let plan = forecast(desired, agreeing, Timestamp::now(), &PlanOptions::default());
        let effects = impacts(before.as_ref(), &after, &amphorae, &plan.steps);
        Ok((plan, effects))
    }
}

/// The epoch of the lease that a worker would take, later than all that amphorae know of.
const LEASE: u64 = u64::MAX;

impl Wish {
    /// The amphora's row with the wish in it.
    fn of(self, mut amphora: Amphora) -> Amphora {
        match self {
            Self::Replace(Which::All) => amphora.to_replace = true,
            Self::Replace(Which::One(id)) => amphora.to_replace |= amphora.id == id,
            Self::Refresh(id) if amphora.id == id => amphora.refresh_after = Some(LEASE - 1),
            Self::Remove(id) if amphora.id == id => amphora.status = AmphoraStatus::PendingDelete,
            Self::Nothing | Self::Refresh(_) | Self::Remove(_) => {}
        }
        amphora
    }
}

/// Ids that nothing will have, and what stands for them: `new-pool-1`.
fn names(changes: &[Value], amphorae: &[AmphoraId]) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let created = changes.iter().filter(|change| change["change"] == "created");
    let created =
        created.filter_map(|change| Some((change["type"].as_str()?, change["id"].as_str()?.to_owned())));
    let amphorae = amphorae.iter().map(|id| ("amphora", id.to_string()));
    for (kind, id) in created.chain(amphorae) {
        let count = counts.entry(kind).or_default();
        *count += 1;
        names.insert(id, format!("new-{kind}-{count}"));
    }
    names
}

/// Puts names in the place of ids.
fn rename(value: &mut Value, names: &BTreeMap<String, String>) {
    match value {
        Value::String(text) => {
            if let Some(name) = names.get(text) {
                text.clone_from(name);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, names)),
        Value::Object(entries) => entries.values_mut().for_each(|entry| rename(entry, names)),
        _ => {}
    }
}

/// Attributes with ports and addresses of the network, and what stands for one that it has not given yet.
const VIP: [&str; 3] = ["vip_address", "vip_port_id", "additional_vips"];
const NOT_GIVEN: [&str; 3] = ["00000000-0000-0000-0000-000000000000", "0.0.0.0", "::"];

/// Puts null there.
fn forget(value: &mut Value) {
    match value {
        Value::String(text) if NOT_GIVEN.contains(&text.as_str()) => *value = Value::Null,
        Value::Array(items) => items.iter_mut().for_each(forget),
        Value::Object(entries) => entries.values_mut().for_each(forget),
        _ => {}
    }
}
