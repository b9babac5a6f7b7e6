//! Pools.

use http::StatusCode;
use octavia_model::{LoadBalancerGraph, PoolId, QuotaKind};

use crate::call::{Answer, Call};
use crate::fault::Fault;
use crate::page::Page;
use crate::request::Call as Kind;
use crate::request::pool::{ARGUMENT, PoolBody, ROOT};
use crate::rules::pool as rules;
use crate::secrets::Wanted;
use crate::view::Row;
use crate::view::pool::PoolView;

pub(super) async fn list(call: &Call) -> Result<Answer, Fault> {
    let arguments = call.list_arguments()?;
    let project = call.list_project(&arguments)?;
    let fields = call.fields();
    let rows = call.state.store.pool_list(&call.list_query(&arguments, project)).await?;
    let rows = rows.items.into_iter().map(|row| {
        let view = PoolView::flat(&row.pool, row.listeners, row.members, row.health_monitor);
        (row.pool.id, Row::new(view, &fields))
    });
    let page = Page { key: "pools", links_key: "pools_links", rows: rows.collect() };
    Ok(page.answer(call, &arguments))
}

pub(super) async fn create(call: &Call) -> Result<Answer, Fault> {
    call.query.only(&[])?;
    let mut body = PoolBody::decode(&call.document(ARGUMENT)?, Kind::Create)?;
    let graph = match (body.load_balancer_id.value(), body.listener_id.value()) {
        (Some(id), _) => call.load_balancer(id).await?,
        (None, Some(id)) => call.listener_home(id).await?,
        (None, None) => {
            return Err(Fault::validation("Must provide at least one of: loadbalancer_id, listener_id."));
        }
    };
    let root = &graph.load_balancer;
    call.authorize(&root.project_id)?;
    rules::create_precheck(&graph, &body)?;
    let mut wanted = Wanted::default();
    wanted.pool(&body, None);
    body.found = wanted.fetch(call).await?;
    let id: PoolId = call.new_id();
    let options = &call.state.options;
    let create = |graph: &mut LoadBalancerGraph| rules::create(graph, &body, id, options);
    let graph = call.create_below(root, QuotaKind::Pool, create).await?;
    shown(StatusCode::CREATED, &graph, id)
}

pub(super) async fn replay(call: &Call, id: PoolId) -> Result<Answer, Fault> {
    let graph = call.pool_home(id).await?;
    call.authorize(&graph.load_balancer.project_id)?;
    shown(StatusCode::CREATED, &graph, id)
}

pub(super) async fn show(call: &Call) -> Result<Answer, Fault> {
    let (graph, id) = call.pool_of_path().await?;
    call.authorize(&graph.load_balancer.project_id)?;
    let pool = graph.pool(id).ok_or_else(|| Fault::not_found("Pool", id))?;
    Ok(Answer::selected(StatusCode::OK, ROOT, &PoolView::one(&graph, pool), &call.fields()))
}

pub(super) async fn update(call: &Call) -> Result<Answer, Fault> {
    call.query.only(&[])?;
    let mut body = PoolBody::decode(&call.document(ARGUMENT)?, Kind::Update)?;
    let (graph, id) = call.pool_of_path().await?;
    let root = &graph.load_balancer;
    call.authorize(&root.project_id)?;
    let mut wanted = Wanted::default();
    wanted.pool(&body, graph.pool(id));
    body.found = wanted.fetch(call).await?;
    let options = &call.state.options;
    rules::update_precheck(&graph, id, &body, options)?;
    let graph = call.change_below(root.id, |graph| rules::update(graph, id, &body, options)).await?;
    shown(StatusCode::OK, &graph, id)
}

pub(super) async fn delete(call: &Call) -> Result<Answer, Fault> {
    call.query.only(&[])?;
    let (graph, id) = call.pool_of_path().await?;
    let root = &graph.load_balancer;
    call.authorize(&root.project_id)?;
    call.change_below(root.id, |graph| rules::delete(graph, id)).await?;
    Ok(Answer::Empty(StatusCode::NO_CONTENT))
}

fn shown(status: StatusCode, graph: &LoadBalancerGraph, id: PoolId) -> Result<Answer, Fault> {
    let pool = graph.pool(id).ok_or_else(|| Fault::not_found("Pool", id))?;
    let view = PoolView::flat(
        pool,
        graph.pool_listeners(id).map(|listener| listener.id),
        graph.pool_members(id).map(|member| member.id),
        graph.pool_health_monitor(id).map(|monitor| monitor.id),
    );
    Ok(Answer::one(status, ROOT, &view))
}
