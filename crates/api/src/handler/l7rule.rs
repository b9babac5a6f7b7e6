//! L7 rules, below their policy.

use http::StatusCode;
use octavia_model::{L7PolicyId, L7Rule, L7RuleId, LoadBalancerGraph};

use crate::call::{Answer, Call};
use crate::fault::Fault;
use crate::page::Page;
use crate::request::Call as Kind;
use crate::request::l7rule::{ARGUMENT, L7RuleBody, ROOT};
use crate::rules::l7rule as rules;
use crate::view::Row;
use crate::view::l7rule::L7RuleView;

pub(super) async fn list(call: &Call) -> Result<Answer, Fault> {
    let (graph, policy) = call.parent_l7policy().await?;
    call.authorize(&graph.load_balancer.project_id)?;
    let arguments = call.list_arguments()?;
    let fields = call.fields();
    let rows = call.state.store.l7rule_list(policy, &call.nested_query(&arguments)).await?;
    let rows = rows.items.into_iter().map(|rule| (rule.id, Row::new(L7RuleView::flat(&rule), &fields)));
    let page = Page { key: "rules", links_key: "rules_links", rows: rows.collect() };
    Ok(page.answer(call, &arguments))
}

pub(super) async fn create(call: &Call) -> Result<Answer, Fault> {
    let (graph, policy) = call.parent_l7policy().await?;
    call.query.only(&[])?;
    let body = L7RuleBody::decode(&call.document(ARGUMENT)?, Kind::Create)?;
    call.authorize(&graph.load_balancer.project_id)?;
    rules::create_precheck(&graph, policy, &body)?;
    let id: L7RuleId = call.new_id();
    let options = &call.state.options;
    let create = |graph: &mut LoadBalancerGraph| rules::create(graph, policy, &body, id, options);
    let graph = call.create_below_l7policy(&graph, policy, create).await?;
    shown(StatusCode::CREATED, &graph, id)
}

pub(super) async fn replay(call: &Call, id: L7RuleId) -> Result<Answer, Fault> {
    let (graph, _) = call.parent_l7policy().await?;
    call.authorize(&graph.load_balancer.project_id)?;
    shown(StatusCode::CREATED, &graph, id)
}

pub(super) async fn show(call: &Call) -> Result<Answer, Fault> {
    let (graph, policy) = call.parent_l7policy().await?;
    let rule = rule_of_path(call, &graph, policy)?;
    call.authorize(&graph.load_balancer.project_id)?;
    Ok(Answer::selected(StatusCode::OK, ROOT, &L7RuleView::one(rule), &call.fields()))
}

pub(super) async fn update(call: &Call) -> Result<Answer, Fault> {
    let (graph, policy) = call.parent_l7policy().await?;
    call.query.only(&[])?;
    let body = L7RuleBody::decode(&call.document(ARGUMENT)?, Kind::Update)?;
    let id = rule_of_path(call, &graph, policy)?.id;
    let root = &graph.load_balancer;
    call.authorize(&root.project_id)?;
    rules::update_precheck(&graph, id, &body)?;
    let options = &call.state.options;
    rules::policy_precheck(&graph, policy, options)?;
    let update = |graph: &mut LoadBalancerGraph| rules::update(graph, policy, id, &body, options);
    let graph = call.change_below(root.id, update).await?;
    shown(StatusCode::OK, &graph, id)
}

pub(super) async fn delete(call: &Call) -> Result<Answer, Fault> {
    let (graph, policy) = call.parent_l7policy().await?;
    call.query.only(&[])?;
    let id = rule_of_path(call, &graph, policy)?.id;
    let root = &graph.load_balancer;
    call.authorize(&root.project_id)?;
    let options = &call.state.options;
    rules::policy_precheck(&graph, policy, options)?;
    call.change_below(root.id, |graph| rules::delete(graph, policy, id, options)).await?;
    Ok(Answer::Empty(StatusCode::NO_CONTENT))
}

/// The rule the path names, if it is one of the policy's. (The original looks at the rule's id alone.)
fn rule_of_path<'g>(
    call: &Call,
    graph: &'g LoadBalancerGraph,
    policy: L7PolicyId,
) -> Result<&'g L7Rule, Fault> {
    let id = call.id(1, "L7 Rule")?;
    graph.l7rule(id).filter(|rule| rule.l7policy_id == policy).ok_or_else(|| Fault::not_found("L7 Rule", id))
}

fn shown(status: StatusCode, graph: &LoadBalancerGraph, id: L7RuleId) -> Result<Answer, Fault> {
    Ok(Answer::one(status, ROOT, &L7RuleView::flat(rules::find(graph, id)?)))
}
