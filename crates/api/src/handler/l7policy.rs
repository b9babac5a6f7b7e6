//! L7 policies.

use http::StatusCode;
use octavia_model::{L7PolicyId, LoadBalancerGraph, QuotaKind};

use crate::call::{Answer, Call};
use crate::fault::Fault;
use crate::page::Page;
use crate::request::Call as Kind;
use crate::request::l7policy::{ARGUMENT, L7PolicyBody, ROOT};
use crate::rules::l7policy as rules;
use crate::view::Row;
use crate::view::l7policy::L7PolicyView;

pub(super) async fn list(call: &Call) -> Result<Answer, Fault> {
    let arguments = call.list_arguments()?;
    let project = call.list_project(&arguments)?;
    let fields = call.fields();
    let rows = call.state.store.l7policy_list(&call.list_query(&arguments, project)).await?;
    let rows = rows.items.into_iter().map(|row| {
        let view = L7PolicyView::flat(&row.l7policy, row.rules);
        (row.l7policy.id, Row::new(view, &fields))
    });
    let page = Page { key: "l7policies", links_key: "l7policies_links", rows: rows.collect() };
    Ok(page.answer(call, &arguments))
}

pub(super) async fn create(call: &Call) -> Result<Answer, Fault> {
    call.query.only(&[])?;
    let body = L7PolicyBody::decode(&call.document(ARGUMENT)?, Kind::Create)?;
    let graph = call.listener_home(body.listener_id.required("listener_id")?).await?;
    let root = &graph.load_balancer;
    call.authorize(&root.project_id)?;
    rules::create_precheck(&graph, &body)?;
    let id: L7PolicyId = call.new_id();
    let create = |graph: &mut LoadBalancerGraph| rules::create(graph, &body, id);
    let graph = call.create_below(root, QuotaKind::L7Policy, create).await?;
    shown(StatusCode::CREATED, &graph, id)
}

pub(super) async fn replay(call: &Call, id: L7PolicyId) -> Result<Answer, Fault> {
    let graph = call.l7policy_home(id, "L7 Policy").await?;
    call.authorize(&graph.load_balancer.project_id)?;
    shown(StatusCode::CREATED, &graph, id)
}

pub(super) async fn show(call: &Call) -> Result<Answer, Fault> {
    let (graph, id) = call.l7policy_of_path().await?;
    call.authorize(&graph.load_balancer.project_id)?;
    let view = L7PolicyView::one(&graph, rules::find(&graph, id)?);
    Ok(Answer::selected(StatusCode::OK, ROOT, &view, &call.fields()))
}

pub(super) async fn update(call: &Call) -> Result<Answer, Fault> {
    call.query.only(&[])?;
    let body = L7PolicyBody::decode(&call.document(ARGUMENT)?, Kind::Update)?;
    let (graph, id) = call.l7policy_of_path().await?;
    let root = &graph.load_balancer;
    call.authorize(&root.project_id)?;
    rules::update_precheck(&graph, id, &body)?;
    let graph = call.change_below(root.id, |graph| rules::update(graph, id, &body)).await?;
    shown(StatusCode::OK, &graph, id)
}

pub(super) async fn delete(call: &Call) -> Result<Answer, Fault> {
    call.query.only(&[])?;
    let (graph, id) = call.l7policy_of_path().await?;
    let root = &graph.load_balancer;
    call.authorize(&root.project_id)?;
    call.change_below(root.id, |graph| rules::delete(graph, id)).await?;
    Ok(Answer::Empty(StatusCode::NO_CONTENT))
}

fn shown(status: StatusCode, graph: &LoadBalancerGraph, id: L7PolicyId) -> Result<Answer, Fault> {
    let policy = rules::find(graph, id)?;
    let view = L7PolicyView::flat(policy, graph.l7policy_rules(id).map(|rule| rule.id));
    Ok(Answer::one(status, ROOT, &view))
}
