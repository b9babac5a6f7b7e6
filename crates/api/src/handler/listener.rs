//! Listeners.

use http::StatusCode;
use octavia_model::{ListenerId, LoadBalancerGraph, QuotaKind};

use crate::call::{Answer, Call};
use crate::fault::Fault;
use crate::page::Page;
use crate::request::Call as Kind;
use crate::request::listener::{ARGUMENT, ListenerBody, ROOT};
use crate::rules::listener as rules;
use crate::secrets::Wanted;
use crate::view::Row;
use crate::view::listener::ListenerView;
use crate::view::stats::StatsView;

pub(super) async fn list(call: &Call) -> Result<Answer, Fault> {
    let arguments = call.list_arguments()?;
    let project = call.list_project(&arguments)?;
    let fields = call.fields();
    let rows = call.state.store.listener_list(&call.list_query(&arguments, project)).await?;
    let rows = rows.items.into_iter().map(|row| {
        let view = ListenerView::flat(&row.listener, row.l7policies);
        (row.listener.id, Row::new(view, &fields))
    });
    let page = Page { key: "listeners", links_key: "listeners_links", rows: rows.collect() };
    Ok(page.answer(call, &arguments))
}

pub(super) async fn create(call: &Call) -> Result<Answer, Fault> {
    call.query.only(&[])?;
    let mut body = ListenerBody::decode(&call.document(ARGUMENT)?, Kind::Create)?;
    let graph = call.load_balancer(body.load_balancer_id.required("loadbalancer_id")?).await?;
    let root = &graph.load_balancer;
    call.authorize(&root.project_id)?;
    rules::create_precheck(&graph, &body)?;
    let mut wanted = Wanted::default();
    wanted.listener(&body, None);
    body.found = wanted.fetch(call).await?;
    let id: ListenerId = call.new_id();
    let options = &call.state.options;
    let create = |graph: &mut LoadBalancerGraph| rules::create(graph, &body, id, options);
    let graph = call.create_below(root, QuotaKind::Listener, create).await?;
    shown(StatusCode::CREATED, &graph, id)
}

pub(super) async fn replay(call: &Call, id: ListenerId) -> Result<Answer, Fault> {
    let graph = call.listener_home(id).await?;
    call.authorize(&graph.load_balancer.project_id)?;
    shown(StatusCode::CREATED, &graph, id)
}

pub(super) async fn show(call: &Call) -> Result<Answer, Fault> {
    let (graph, id) = call.listener_of_path().await?;
    call.authorize(&graph.load_balancer.project_id)?;
    let listener = graph.listener(id).ok_or_else(|| Fault::not_found("Listener", id))?;
    Ok(Answer::selected(StatusCode::OK, ROOT, &ListenerView::one(&graph, listener), &call.fields()))
}

pub(super) async fn update(call: &Call) -> Result<Answer, Fault> {
    call.query.only(&[])?;
    let mut body = ListenerBody::decode(&call.document(ARGUMENT)?, Kind::Update)?;
    let (graph, id) = call.listener_of_path().await?;
    let root = &graph.load_balancer;
    call.authorize(&root.project_id)?;
    let mut wanted = Wanted::default();
    wanted.listener(&body, graph.listener(id));
    body.found = wanted.fetch(call).await?;
    let options = &call.state.options;
    rules::update_precheck(&graph, id, &body, options)?;
    let graph = call.change_below(root.id, |graph| rules::update(graph, id, &body, options)).await?;
    shown(StatusCode::OK, &graph, id)
}

pub(super) async fn delete(call: &Call) -> Result<Answer, Fault> {
    call.query.only(&[])?;
    let (graph, id) = call.listener_of_path().await?;
    let root = &graph.load_balancer;
    call.authorize(&root.project_id)?;
    call.change_below(root.id, |graph| rules::delete(graph, id)).await?;
    Ok(Answer::Empty(StatusCode::NO_CONTENT))
}

pub(super) async fn stats(call: &Call) -> Result<Answer, Fault> {
    call.query.only(&[])?;
    let (graph, id) = call.listener_of_path().await?;
    call.authorize(&graph.load_balancer.project_id)?;
    let stats = call.state.store.listener_stats(id).await?;
    Ok(Answer::one(StatusCode::OK, "stats", &StatsView::from(&stats)))
}

fn shown(status: StatusCode, graph: &LoadBalancerGraph, id: ListenerId) -> Result<Answer, Fault> {
    let listener = graph.listener(id).ok_or_else(|| Fault::not_found("Listener", id))?;
    let policies = graph.listener_l7policies(id).into_iter().map(|policy| policy.id);
    Ok(Answer::one(status, ROOT, &ListenerView::flat(listener, policies)))
}
