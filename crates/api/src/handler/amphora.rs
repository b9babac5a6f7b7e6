//! Amphorae, for administrators.

use http::StatusCode;
use octavia_model::{Amphora, AmphoraId, LoadBalancerGraph, ProvisioningStatus};
use octavia_store::{AmphoraError, Which};

use crate::call::{Answer, Call};
use crate::fault::Fault;
use crate::page::Page;
use crate::rehearsal::Wish;
use crate::storage::lb_immutable;
use crate::view::Row;
use crate::view::amphora::AmphoraView;
use crate::view::stats::AmphoraStatsView;

pub(super) async fn list(call: &Call) -> Result<Answer, Fault> {
    call.authorize_own()?;
    let arguments = call.list_arguments()?;
    let project = arguments.project_id.clone().map(octavia_model::ProjectId::new);
    let fields = call.fields();
    let rows = call.state.store.amphora_list(&call.list_query(&arguments, project)).await?;
    let rows =
        rows.items.into_iter().map(|amphora| (amphora.id, Row::new(AmphoraView::one(&amphora), &fields)));
    let page = Page { key: "amphorae", links_key: "amphorae_links", rows: rows.collect() };
    Ok(page.answer(call, &arguments))
}

pub(super) async fn show(call: &Call) -> Result<Answer, Fault> {
    let amphora = of_path(call).await?;
    call.authorize_own()?;
    Ok(Answer::selected(StatusCode::OK, "amphora", &AmphoraView::one(&amphora), &call.fields()))
}

pub(super) async fn stats(call: &Call) -> Result<Answer, Fault> {
    call.query.only(&[])?;
    let amphora = of_path(call).await?;
    call.authorize_own()?;
    let rows = call.state.store.amphora_stats(amphora.id).await?;
    if rows.is_empty() {
        return Err(Fault::not_found("Amphora stats for", amphora.id));
    }
    let views: Vec<_> = rows.iter().map(AmphoraStatsView::from).collect();
    Ok(Answer::one(StatusCode::OK, "amphora_stats", &views))
}

pub(super) async fn delete(call: &Call) -> Result<Answer, Fault> {
    call.query.only(&[])?;
    let amphora = of_path(call).await?;
    call.authorize_own()?;
    call.trail.before(&AmphoraView::one(&amphora));
    if let (true, Some(home)) = (call.rehearsal.is_on(), amphora.load_balancer_id) {
        let graph = call.load_balancer(home).await?;
        call.rehearsal.note(Some(&graph), &graph, Wish::Remove(amphora.id));
    }
    call.state.store.amphora_discard(amphora.id).await.map_err(|error| fault(error, amphora.id))?;
    Ok(Answer::Empty(StatusCode::NO_CONTENT))
}

pub(super) async fn configure(call: &Call) -> Result<Answer, Fault> {
    call.query.only(&[])?;
    let (amphora, graph) = at_work(call).await?;
    call.rehearsal.note(Some(&graph), &graph, Wish::Refresh(amphora));
    call.state.store.amphora_refresh(amphora).await.map_err(|error| fault(error, amphora))?;
    Ok(Answer::Empty(StatusCode::ACCEPTED))
}

pub(super) async fn failover(call: &Call) -> Result<Answer, Fault> {
    call.query.only(&[])?;
    let (amphora, graph) = at_work(call).await?;
    let home = graph.load_balancer.id;
    let refused = |_| lb_immutable(home);
    call.failover(home, &[ProvisioningStatus::Active], Which::One(amphora), refused).await?;
    Ok(Answer::Empty(StatusCode::ACCEPTED))
}

async fn of_path(call: &Call) -> Result<Amphora, Fault> {
    let id = call.id(0, "Amphora")?;
    call.state.store.amphora_fetch(id).await?.ok_or_else(|| Fault::not_found("Amphora", id))
}

/// The amphora of the path and its load balancer, of whose project callers are checked. Of no load balancer, it is not
/// found.
async fn at_work(call: &Call) -> Result<(AmphoraId, LoadBalancerGraph), Fault> {
    let amphora = of_path(call).await?;
    let Some(home) = amphora.load_balancer_id else {
        call.authorize_own()?;
        return Err(Fault::not_found("Amphora", amphora.id));
    };
    let graph = call.load_balancer(home).await?;
    call.authorize(&graph.load_balancer.project_id)?;
    Ok((amphora.id, graph))
}

fn fault(error: AmphoraError, id: AmphoraId) -> Fault {
    match error {
        AmphoraError::NotFound => Fault::not_found("Amphora", id),
        AmphoraError::Refused(_) => Fault::Immutable { resource: "amphora", id: id.to_string() },
        AmphoraError::Store(error) => error.into(),
    }
}
