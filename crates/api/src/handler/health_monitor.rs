//! Health monitors.

use http::StatusCode;
use octavia_model::{Demand, HealthMonitorId, LoadBalancerGraph, QuotaKind};

use crate::call::{Answer, Call};
use crate::fault::Fault;
use crate::page::Page;
use crate::request::Call as Kind;
use crate::request::health_monitor::{ARGUMENT, HealthMonitorBody, ROOT};
use crate::rules::{health_monitor as rules, pool_precheck};
use crate::view::Row;
use crate::view::health_monitor::HealthMonitorView;

pub(super) async fn list(call: &Call) -> Result<Answer, Fault> {
    let arguments = call.list_arguments()?;
    let project = call.list_project(&arguments)?;
    let fields = call.fields();
    let rows = call.state.store.health_monitor_list(&call.list_query(&arguments, project)).await?;
    let rows = rows
        .items
        .into_iter()
        .map(|monitor| (monitor.id, Row::new(HealthMonitorView::flat(&monitor), &fields)));
    let page = Page { key: "healthmonitors", links_key: "healthmonitors_links", rows: rows.collect() };
    Ok(page.answer(call, &arguments))
}

pub(super) async fn create(call: &Call) -> Result<Answer, Fault> {
    call.query.only(&[])?;
    let body = HealthMonitorBody::decode(&call.document(ARGUMENT)?, Kind::Create)?;
    let pool = body.pool_id.required("pool_id")?;
    let graph = call.pool_home(pool).await?;
    call.authorize(&graph.load_balancer.project_id)?;
    let options = &call.state.options;
    rules::create_precheck(&graph, pool, &body, options)?;
    let id: HealthMonitorId = call.new_id();
    let demand = |_: &LoadBalancerGraph| Demand::one(QuotaKind::HealthMonitor);
    let create = |graph: &mut LoadBalancerGraph| rules::create(graph, pool, &body, id, options);
    let graph = call.create_below_pool(&graph, pool, &demand, create).await?;
    shown(StatusCode::CREATED, &graph, id)
}

pub(super) async fn replay(call: &Call, id: HealthMonitorId) -> Result<Answer, Fault> {
    let graph = call.health_monitor_home(id).await?;
    call.authorize(&graph.load_balancer.project_id)?;
    shown(StatusCode::CREATED, &graph, id)
}

pub(super) async fn show(call: &Call) -> Result<Answer, Fault> {
    let (graph, id) = call.health_monitor_of_path().await?;
    call.authorize(&graph.load_balancer.project_id)?;
    let monitor = rules::find(&graph, id)?;
    Ok(Answer::selected(StatusCode::OK, ROOT, &HealthMonitorView::one(monitor), &call.fields()))
}

pub(super) async fn update(call: &Call) -> Result<Answer, Fault> {
    call.query.only(&[])?;
    let body = HealthMonitorBody::decode(&call.document(ARGUMENT)?, Kind::Update)?;
    let (graph, id) = call.health_monitor_of_path().await?;
    let root = &graph.load_balancer;
    call.authorize(&root.project_id)?;
    let options = &call.state.options;
    rules::update_precheck(&graph, id, &body, options)?;
    pool_precheck(&graph, rules::find(&graph, id)?.pool_id, options)?;
    let graph = call.change_below(root.id, |graph| rules::update(graph, id, &body, options)).await?;
    shown(StatusCode::OK, &graph, id)
}

pub(super) async fn delete(call: &Call) -> Result<Answer, Fault> {
    call.query.only(&[])?;
    let (graph, id) = call.health_monitor_of_path().await?;
    let root = &graph.load_balancer;
    call.authorize(&root.project_id)?;
    let options = &call.state.options;
    pool_precheck(&graph, rules::find(&graph, id)?.pool_id, options)?;
    call.change_below(root.id, |graph| rules::delete(graph, id, options)).await?;
    Ok(Answer::Empty(StatusCode::NO_CONTENT))
}

fn shown(status: StatusCode, graph: &LoadBalancerGraph, id: HealthMonitorId) -> Result<Answer, Fault> {
    Ok(Answer::one(status, ROOT, &HealthMonitorView::flat(rules::find(graph, id)?)))
}
